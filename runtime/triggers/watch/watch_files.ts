import { readdir, stat } from "node:fs/promises";
import { join, relative, resolve, sep } from "node:path";
import picomatch from "picomatch";

/** What tells one state of a file from another. */
export interface Stamp {
  size: number;
  /** Milliseconds since the epoch. */
  modified: number;
  /** When the system last changed the file or what it knows of it: a program can set `modified`, but not this. */
  changed: number;
  /** Another file under the same name has another one. */
  inode: number;
}

/** The files that a pattern means. */
export interface FilePattern {
  /** The folder, or the one file, that holds them all; absolute. */
  base: string;
  /** How many folders deep below it they can be. */
  depth: number;
  /** @param path absolute */
  matches(path: string): boolean;
}

/**
 * Reads a pattern such as `./inbox/*.csv`. One without wildcards means the file, or all files in the folder of that name. Names that
 * begin with a dot are meant only where the pattern says so: programs write those while a file is not finished.
 * @param folder absolute, that the pattern is relative to
 */
export function readPattern(pattern: string, folder: string): FilePattern {
  const { base, glob, isGlob } = picomatch.scan(pattern);
  const root = resolve(folder, isGlob ? base : pattern);
  const matches = picomatch(isGlob ? glob : "**");
  return {
    base: root,
    depth: !isGlob || glob.includes("**") ? Infinity : glob.split("/").length - 1,
    matches(path) {
      const inside = slashed(relative(root, path));
      return inside === "" ? !isGlob : !inside.startsWith("../") && matches(inside);
    },
  };
}

/** All files that the pattern means, absolute. What cannot be read is not there. */
export async function listFiles({ base, depth, matches }: FilePattern): Promise<string[]> {
  const files: string[] = [];
  const visit = async (folder: string, left: number): Promise<void> => {
    for (const entry of await entriesOf(folder)) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) {
        if (left > 0) await visit(path, left - 1);
      } else if (matches(path) && await stampOf(path) !== undefined) files.push(path);
    }
  };
  if (matches(base) && await stampOf(base) !== undefined) return [base];
  await visit(base, depth);
  return files.sort();
}

/** Undefined where there is no such file. Links to files count as files. */
export async function stampOf(path: string): Promise<Stamp | undefined> {
  try {
    const found = await stat(path);
    if (!found.isFile()) return undefined;
    const { size, mtimeMs, ctimeMs, ino } = found;
    return { size, modified: Math.floor(mtimeMs), changed: Math.floor(ctimeMs), inode: ino };
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "EACCES", "ELOOP"].includes((error as NodeJS.ErrnoException).code ?? "")) {
      return undefined;
    }
    throw error;
  }
}

export function isSameStamp(one: Stamp | undefined, other: Stamp | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  return one.size === other.size && one.modified === other.modified && one.changed === other.changed &&
    one.inode === other.inode;
}

/** With forward slashes, as a pattern has them. */
export function slashed(path: string): string {
  return path.replaceAll(sep, "/");
}

async function entriesOf(folder: string) {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "EACCES"].includes((error as NodeJS.ErrnoException).code ?? "")) return [];
    throw error;
  }
}
