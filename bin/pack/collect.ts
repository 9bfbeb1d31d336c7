import { readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { listFolder, scopeOf } from "../../runtime/load/folder.ts";
import { prebuild } from "../../runtime/load/prebuilt.ts";
import type { Problem } from "../../runtime/model/problem.ts";
import { type CheckedFolder, checkFolder } from "../../runtime/run/check_folder.ts";
import type { PackedFile, PackedFolder } from "./packed_folder.ts";

/** What there is to pack, or why it cannot be packed. */
export interface Collected {
  /** Warnings too; with an error among them there is no `packed`. */
  problems: Problem[];
  rules: number;
  packed?: PackedFolder;
}

/** What to collect; absolute paths. */
export interface CollectOptions {
  folder: string;
  data: string;
  env?: string;
  /** Where the packed file will be; an earlier one may lie in the folder. */
  out: string;
}

/** Checks a folder and gathers all that its rules need from it: their own files, and everything beside them. */
export async function collect(options: CollectOptions): Promise<Collected> {
  const { folder, data } = options;
  const checked = await checkFolder(options);
  const problems = [...checked.problems, ...callsOutside(checked)];
  const rules = checked.rules.size;
  if (problems.some(({ severity }) => severity === "error")) return { problems, rules };
  const prebuilt = await prebuild(folder, checked.typescript, join(data, "cache"));
  return { problems, rules, packed: { files: await filesOf(options), prebuilt } };
}

/** What rules call outside of the folder would not be there. What TypeScript imports is in its bundle. */
function callsOutside({ rules }: CheckedFolder): Problem[] {
  return [...rules.values()].flatMap(({ file, actions, modules }) =>
    [...Object.keys(actions), ...Object.keys(modules)].filter((path) => path.startsWith("../")).map((
      path,
    ): Problem => ({
      severity: "error",
      file,
      at: { line: 1, column: 1 },
      message: `calls ${path}, which lies outside of the folder and would not be packed`,
      hint: "move it into the folder, or pack the folder above",
    }))
  );
}

/** All that is not hidden. Secrets (`.env`) stay outside: the file is copied around. */
async function filesOf({ folder, data, out }: CollectOptions): Promise<PackedFile[]> {
  const { files: listed } = await listFolder(scopeOf(folder, data));
  const paths = listed.filter((path) => basename(path) !== ".env" && join(folder, path) !== out);
  const files: PackedFile[] = [];
  for (const path of paths) {
    const [content, { mode }] = await Promise.all([readFile(join(folder, path), "base64"), stat(join(folder, path))]);
    files.push({ path, executable: (mode & 0o100) !== 0, content });
  }
  return files;
}
