import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { TerminalError } from "../model/errors.ts";
import type { SavedFile } from "./run_files.ts";

/** The states of files, by path relative to their folder. */
export type FileMarks = ReadonlyMap<string, string>;

/** Maximum number of files that a command may leave: each of them is read. */
const MOST_FILES = 1_000;

/**
 * The states of all regular files below a folder; links are not followed.
 * @param isOwn whether a name at the top belongs to the program itself
 */
export async function markFilesIn(folder: string, isOwn: (name: string) => boolean): Promise<FileMarks> {
  const marks = new Map<string, string>();
  const visit = async (below: string) => {
    for (const entry of await ifReachable(readdir(join(folder, below), { withFileTypes: true })) ?? []) {
      const path = below === "" ? entry.name : `${below}/${entry.name}`;
      if (below === "" && isOwn(entry.name)) continue;
      if (entry.isDirectory()) await visit(path);
      else if (entry.isFile()) {
        const state = await ifReachable(lstat(join(folder, path)));
        if (state) marks.set(path, `${state.mtimeMs} ${state.ctimeMs} ${state.size} ${state.ino}`);
      }
    }
  };
  await visit("");
  return marks;
}

/**
 * The files that are new or changed since that state, by name.
 * @throws TerminalError if there are more than 1,000
 */
export async function filesSince(
  folder: string,
  before: FileMarks,
  isOwn: (name: string) => boolean,
): Promise<SavedFile[]> {
  const now = await markFilesIn(folder, isOwn);
  const names = [...now].filter(([name, mark]) => before.get(name) !== mark).map(([name]) => name).sort();
  if (names.length > MOST_FILES) {
    throw new TerminalError(
      `Cannot list what was left in ${folder}: ${names.length} files, at most ${MOST_FILES} are read`,
    );
  }
  const files: SavedFile[] = [];
  for (const name of names) {
    const file = await ifReachable(describe(folder, name));
    if (file) files.push(file);
  }
  return files;
}

/**
 * Undefined for a file or folder that was removed meanwhile, for example by a concurrent command, or that only root may
 * read. The command has succeeded by then, so such a file must not fail its step.
 */
async function ifReachable<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (["ENOENT", "EACCES", "EPERM"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw error;
  }
}

async function describe(folder: string, name: string): Promise<SavedFile> {
  const path = join(folder, name);
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of createReadStream(path)) {
    hash.update(chunk as Uint8Array);
    bytes += (chunk as Uint8Array).length;
  }
  return { path, name, type: "application/octet-stream", bytes, sha256: hash.digest("hex") };
}
