import { mkdir, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { temporaryFolder } from "./program.ts";

/** A rules folder with these files and a data folder beside it, removed with `await using`. */
export async function rulesFolder(files: Record<string, string>) {
  const temporary = await temporaryFolder();
  const rules = join(temporary.path, "rules");
  let drafts = 0;
  const folder = {
    rules,
    data: join(temporary.path, "data"),
    /**
     * Writes a file below the rules folder, as most editors save: atomically. On a busy machine a file that is written in
     * place may be empty for longer than the program waits for its content.
     */
    async write(name: string, text: string): Promise<void> {
      const draft = join(temporary.path, `draft-${++drafts}`);
      // Secrets that others can read get a warning; the rest may be run as another user.
      await writeFile(draft, text, { mode: name.endsWith(".env") ? 0o600 : name.endsWith(".sh") ? 0o755 : 0o644 });
      await mkdir(dirname(join(rules, name)), { recursive: true });
      await rename(draft, join(rules, name));
    },
    [Symbol.asyncDispose]: () => temporary[Symbol.asyncDispose](),
  };
  await mkdir(rules);
  for (const [name, text] of Object.entries(files)) await folder.write(name, text);
  return folder;
}
