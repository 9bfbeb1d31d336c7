import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { temporaryFolder } from "./program.ts";

/** A rules folder with these files and a data folder beside it, removed with `await using`. */
export async function rulesFolder(files: Record<string, string>) {
  const temporary = await temporaryFolder();
  const rules = join(temporary.path, "rules");
  const folder = {
    rules,
    data: join(temporary.path, "data"),
    /** Writes a file below the rules folder. */
    async write(name: string, text: string): Promise<void> {
      await mkdir(dirname(join(rules, name)), { recursive: true });
      await writeFile(join(rules, name), text);
    },
    [Symbol.asyncDispose]: () => temporary[Symbol.asyncDispose](),
  };
  await mkdir(rules);
  for (const [name, text] of Object.entries(files)) await folder.write(name, text);
  return folder;
}
