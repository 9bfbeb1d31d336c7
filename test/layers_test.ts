import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";

const ROOT = new URL("..", import.meta.url).pathname;

/** From top to bottom: a file imports only from its own layer and those before it. */
const LAYERS = [
  "runtime/model",
  "runtime/formats",
  "runtime/host",
  "runtime/secrets",
  "runtime/store",
  "runtime/database",
  "runtime/language",
  "runtime/connections",
  "runtime/commands",
  "runtime/sdk",
  "runtime/workers",
  "runtime/triggers",
  "runtime/actions",
  "runtime/ingest",
  "runtime/folder",
  "runtime/engine",
  "runtime/fleet",
  "runtime/web",
  "runtime/telemetry",
  "runtime/app",
  "runtime/testing",
  "bin",
];

const files = ["runtime", "bin"].flatMap((folder) =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .map((file) => join(folder, file))
);
const texts = new Map(files.map((file) => [file, readFileSync(join(ROOT, file), "utf8")]));

function importsOf(file: string): string[] {
  const specifiers = texts.get(file)!.matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g);
  return [...specifiers].map(([, specifier]) => relative(ROOT, join(ROOT, dirname(file), specifier)))
    .filter((imported) => texts.has(imported));
}

function layerOf(file: string): number {
  return LAYERS.findIndex((layer) => file === layer || file.startsWith(`${layer}/`));
}

Deno.test("every file belongs to a layer and imports only its own layer and those before it", () => {
  const wrong = files.flatMap((file) =>
    layerOf(file) === -1 ? [`${file} is in no layer`] : importsOf(file)
      .filter((imported) => layerOf(imported) > layerOf(file))
      .map((imported) => `${file} imports ${imported}`)
  );
  assert.deepEqual(wrong, []);
});

Deno.test("there are no import cycles", () => {
  const done = new Set<string>();
  const cycles: string[] = [];
  const visit = (file: string, path: string[]) => {
    if (path.includes(file)) return void cycles.push([...path.slice(path.indexOf(file)), file].join(" → "));
    if (done.has(file)) return;
    for (const imported of importsOf(file)) visit(imported, [...path, file]);
    done.add(file);
  };
  files.forEach((file) => visit(file, []));
  assert.deepEqual(cycles, []);
});

function withoutStrings(text: string): string {
  return text.replace(/"(?:[^"\\\n]|\\.)*"/g, '""');
}

Deno.test("only host/ and bin/ use Deno or Bun", () => {
  const wrong = files.filter((file) => !file.startsWith("runtime/host/") && !file.startsWith("bin/"))
    .filter((file) => /^(?!\s*(?:\/\/|\*|\/\*)).*(?<![\w.`])(?:Deno|Bun)\.\w/m.test(withoutStrings(texts.get(file)!)));
  assert.deepEqual(wrong, []);
});

Deno.test("no file has more than 400 lines", () => {
  const long = [...texts].map(([file, text]) => `${file}: ${text.split("\n").length}`)
    .filter((line) => Number(line.split(": ")[1]) > 400);
  assert.deepEqual(long, []);
});

Deno.test("no environment variable makes the clock or the disk of the released program misbehave", () => {
  assert.deepEqual(files.filter((file) => texts.get(file)!.includes("WHENTHEN_TEST")), []);
});
