import { readFile } from "node:fs/promises";
import { posix } from "node:path";
import { embedded } from "../../runtime/host/embedded.ts";

const ENTRY = "sdk/mod.ts";
const RUNTIME = new URL("../../runtime/", import.meta.url);

/** Packages that the types use, with the files of their types, which an editor gets beside ours. */
const PACKAGES: Record<string, { file: string; copy: string }> = {
  "@octokit/webhooks-types": { file: "@octokit/webhooks-types/schema.d.ts", copy: "packages/webhooks-types.d.ts" },
};

/**
 * The source that `import … from "whenthen"` refers to, with all its imports, for editors.
 * @returns sources by path; the first one is the entry
 */
export async function editorTypes(): Promise<Map<string, string>> {
  if (embedded) return new Map(Object.entries(JSON.parse(await readFile(embedded.editorTypes, "utf8"))));
  const sources = new Map<string, string>();
  const open = [ENTRY];
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    if (sources.has(path)) continue;
    const source = withCopies(await readFile(fileOf(path), "utf8"), path);
    sources.set(path, source);
    for (const [, specifier] of source.matchAll(/from "(\.{1,2}\/[^"]+)"/g)) {
      open.push(posix.join(posix.dirname(path), specifier));
    }
  }
  return sources;
}

function fileOf(path: string): URL {
  const of = Object.values(PACKAGES).find(({ copy }) => copy === path);
  return of === undefined ? new URL(path, RUNTIME) : new URL(`../node_modules/${of.file}`, RUNTIME);
}

/** Imports of packages become imports of their copies. */
function withCopies(source: string, path: string): string {
  return source.replaceAll(/from "([^".][^"]*)"/g, (whole, name) => {
    if (!Object.hasOwn(PACKAGES, name)) return whole;
    return `from "${posix.relative(posix.dirname(path), PACKAGES[name].copy)}"`;
  });
}
