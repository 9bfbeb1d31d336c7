import { cp, readFile } from "node:fs/promises";
import { join } from "node:path";
import { rulesFolder } from "../e2e/folder.ts";

export const ROOT = new URL("../..", import.meta.url).pathname;

/** A copy of an example with its packages installed, with these files added or replaced, and a data folder beside it; removed with `await using`. */
export async function copyExample(name: string, files: Record<string, string> = {}) {
  const folder = await rulesFolder({});
  await cp(join(ROOT, "examples", name), folder.rules, { recursive: true });
  await install(name, folder.rules);
  for (const [path, text] of Object.entries(files)) await folder.write(path, text);
  return folder;
}

/** What `npm install` does with the packages of this project that an example names. */
async function install(example: string, folder: string): Promise<void> {
  const text = await readFile(join(folder, "package.json"), "utf8").catch(() => "{}");
  const { dependencies = {} } = JSON.parse(text) as { dependencies?: Record<string, string> };
  for (const [name, from] of Object.entries(dependencies)) {
    const source = join(ROOT, "examples", example, from.replace(/^file:/, ""));
    await cp(source, join(folder, "node_modules", name), { recursive: true });
  }
}
