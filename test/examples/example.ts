import { cp } from "node:fs/promises";
import { join } from "node:path";
import { rulesFolder } from "../e2e/folder.ts";

export const ROOT = new URL("../..", import.meta.url).pathname;

/** A copy of an example, with these files added or replaced, and a data folder beside it; removed with `await using`. */
export async function copyExample(name: string, files: Record<string, string> = {}) {
  const folder = await rulesFolder({});
  await cp(join(ROOT, "examples", name), folder.rules, { recursive: true });
  for (const [path, text] of Object.entries(files)) await folder.write(path, text);
  return folder;
}
