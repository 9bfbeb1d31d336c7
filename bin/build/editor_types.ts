import { readFile } from "node:fs/promises";
import { posix } from "node:path";
import { embedded } from "../../runtime/host/embedded.ts";

const ENTRY = "sdk/mod.ts";
const RUNTIME = new URL("../../runtime/", import.meta.url);

/**
 * The source that `import … from "whenthen"` refers to, with all its imports, for editors.
 * @returns sources by path; the first one is the entry
 */
export async function editorTypes(): Promise<Map<string, string>> {
  if (embedded) return new Map(Object.entries(embedded.editorTypes));
  const sources = new Map<string, string>();
  const open = [ENTRY];
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    if (sources.has(path)) continue;
    const source = await readFile(new URL(path, RUNTIME), "utf8");
    sources.set(path, source);
    for (const [, specifier] of source.matchAll(/from "(\.{1,2}\/[^"]+)"/g)) {
      open.push(posix.join(posix.dirname(path), specifier));
    }
  }
  return sources;
}
