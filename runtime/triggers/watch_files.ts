import { readdir, stat } from "node:fs/promises";
import { join, relative, resolve, sep } from "node:path";
import picomatch from "picomatch";
import { codeOf } from "../model/errors.ts";

/** Identifies one state of a file. */
export interface Stamp {
  size: number;
  /** Milliseconds since the epoch. */
  modified: number;
  /** When the file's content or metadata last changed. A program can set `modified`, but not this. */
  changed: number;
  /** A different file under the same name has a different inode. */
  inode: number;
}

/** The files that match a pattern. */
export interface FilePattern {
  /** The folder with all the files, or the one file itself; absolute. */
  base: string;
  /** How many folders deep below `base` the files can be. */
  depth: number;
  /** @param path absolute */
  matches(path: string): boolean;
}

/**
 * Reads a pattern such as `./inbox/*.csv`. A pattern without wildcards matches the file, or all files in the folder, of that
 * name. Names that begin with a dot match only if the pattern has the dot: programs use such names for unfinished files.
 * @param folder absolute; the pattern is relative to it
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
      return inside === "" ? !isGlob : !inside.startsWith("./") && matches(inside);
    },
  };
}

/**
 * All files that match the pattern, absolute. Files and folders that cannot be read are left out.
 * @param onUnreadable gets what is there and is left out, such as a link to a file on a share that is away
 */
export async function listFiles(
  { base, depth, matches }: FilePattern,
  onUnreadable: (path: string) => void = () => {},
): Promise<string[]> {
  const files: string[] = [];
  const visit = async (folder: string, left: number): Promise<void> => {
    for (const entry of await entriesOf(folder, onUnreadable)) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) {
        if (left > 0) await visit(path, left - 1);
      } else if (matches(path)) {
        if (await stampOf(path) !== undefined) files.push(path);
        else if (entry.isFile() || entry.isSymbolicLink()) onUnreadable(path);
      }
    }
  };
  if (matches(base) && await stampOf(base) !== undefined) return [base];
  await visit(base, depth);
  return files.sort();
}

/** The state of a file; undefined if there is no such file. A link to a file counts as a file. */
export async function stampOf(path: string): Promise<Stamp | undefined> {
  try {
    const found = await stat(path);
    if (!found.isFile()) return undefined;
    const { size, mtimeMs, ctimeMs, ino } = found;
    return { size, modified: Math.floor(mtimeMs), changed: Math.floor(ctimeMs), inode: ino };
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "EACCES", "ELOOP"].includes(codeOf(error) ?? "")) return undefined;
    throw error;
  }
}

export function isSameStamp(one: Stamp | undefined, other: Stamp | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  return one.size === other.size && one.modified === other.modified && one.changed === other.changed &&
    one.inode === other.inode;
}

/** The path with forward slashes, as in a pattern. */
export function slashed(path: string): string {
  return path.replaceAll(sep, "/");
}

async function entriesOf(folder: string, onUnreadable: (path: string) => void) {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (error) {
    const code = codeOf(error) ?? "";
    if (!["ENOENT", "ENOTDIR", "EACCES"].includes(code)) throw error;
    if (code === "EACCES") onUnreadable(folder);
    return [];
  }
}
