import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";

const ROOT = new URL("../..", import.meta.url).pathname;

/** Packages that the worker loads through its imports, except types, each with the importing file. */
function packagesOf(file: string, seen = new Set<string>()): string[] {
  if (seen.has(file)) return [];
  seen.add(file);
  const text = readFileSync(join(ROOT, file), "utf8").replaceAll(/^(import|export) type [^;]*;/gms, "");
  const specifiers = [...text.matchAll(/^(?:import|export)\b[^;]*?from "([^"]+)"/gms)].map(([, specifier]) =>
    specifier
  );
  return specifiers.flatMap((specifier) => {
    if (specifier.startsWith(".")) return packagesOf(relative("", join(dirname(file), specifier)), seen);
    return specifier.startsWith("node:") ? [] : [`${specifier} by ${file}`];
  });
}

Deno.test("a worker loads no library: each would cost every rule's start and memory", () => {
  assert.deepEqual(packagesOf("runtime/workers/rule_thread.ts"), []);
  assert.deepEqual(packagesOf("runtime/fleet/fleet_thread.ts"), []);
  assert.ok(
    packagesOf("runtime/language/checker/test_kinds.ts").includes("zod by runtime/language/checker/test_kinds.ts"),
  );
});
