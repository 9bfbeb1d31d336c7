import { statSync } from "node:fs";
import { readdir, realpath, stat } from "node:fs/promises";
import { basename } from "node:path";
import { Slices } from "../host/slices.ts";

/** The extent of a rules folder. */
export interface FolderScope {
  /** Absolute. */
  folder: string;
  /** Absolute paths whose contents are ignored: the data folder. */
  ignore: string[];
}

/**
 * The scope of a rules folder: all of it except the data folder. A packed folder is unpacked below the data folder; then
 * nothing of it is left out.
 */
export function scopeOf(folder: string, dataFolder: string): FolderScope {
  return { folder, ignore: `${folder}/`.startsWith(`${dataFolder}/`) ? [] : [dataFolder] };
}

/** More files than this are no rules folder: the program was pointed at a disk, or a link leads to one. */
const MAX_FILES = 20_000;

/** Distinguishes states of a file without reading it. */
export interface Mark {
  state: string;
  /** When it was last changed, by its file system's clock. */
  savedAt: number;
}

/** The absolute path of a path in the folder. */
export function absolute({ folder }: FolderScope, path: string): string {
  return `${folder}/${path}`;
}

/** Milliseconds in which two states of a file may have the same mark: some file systems have a resolution of two seconds. */
const FRESH = 2_000;

/**
 * False if the same mark may stand for different content next time.
 * @param lookedAt when the mark was taken
 * @param fresh milliseconds after a save in which the file may change without a new mark
 */
export function isSettled({ savedAt }: Mark, lookedAt: number, fresh: number = FRESH): boolean {
  return savedAt > 0 && savedAt < lookedAt - fresh;
}

/** The state of a file that does not exist. */
export const ABSENT = "absent";

/** The marks of all files below the folder, by absolute path. */
export async function markFolder(scope: FolderScope): Promise<Map<string, Mark>> {
  return await markFiles((await listFolder(scope)).files.map((path) => absolute(scope, path)));
}

/** The same for given files; a missing file has a mark too. */
export async function markFiles(paths: string[]): Promise<Map<string, Mark>> {
  const marks = new Map<string, Mark>();
  const slices = new Slices();
  for (const path of paths) {
    marks.set(path, markFile(path));
    if (slices.isOver) await slices.next();
  }
  return marks;
}

/** Whether a path is ignored, in any folder. */
export function isIgnored(path: string, ignore: string[]): boolean {
  const name = basename(path);
  return name === "node_modules" || ignore.some((root) => path === root || path.startsWith(`${root}/`)) ||
    // Kubernetes swaps mounted files by renaming the link "..data"; that is the only hidden name that matters.
    (name.startsWith(".") && !name.startsWith("..") && name !== ".env");
}

/** True for `*.yaml`, `*.yml` and `*.ts`, but not for tests and type declarations. */
export function isRuleFile(path: string): boolean {
  return /\.(yaml|yml|ts)$/.test(path) && !/\.(test|d)\.ts$/.test(path);
}

/** The contents of the folder, by paths relative to it, sorted. */
export interface Listing {
  /** All files, whether rules can be made of them or not. */
  files: string[];
  /** Folders that cannot be read. */
  closed: { path: string; failure: string }[];
}

/**
 * Lists the folder.
 * @throws Error if the folder itself cannot be read, or has more than 20,000 files
 */
export async function listFolder(scope: FolderScope): Promise<Listing> {
  const { folder, ignore } = scope;
  const listing: Listing = { files: [], closed: [] };
  const visit = async (below: string, around: string[]): Promise<void> => {
    const real = await realpath(absolute(scope, below));
    if (around.includes(real)) return;
    const entries = await readdir(real, { withFileTypes: true });
    entries.sort((a, b) => a.name < b.name ? -1 : 1);
    for (const entry of entries) {
      const path = below === "" ? entry.name : `${below}/${entry.name}`;
      if (entry.name.startsWith(".") && entry.name !== ".env") continue;
      if (isIgnored(absolute(scope, path), ignore)) continue;
      const isFolder = entry.isSymbolicLink() ? await leadsToFolder(absolute(scope, path)) : entry.isDirectory();
      if (isFolder) await visit(path, [...around, real]).catch((error) => close(path, error));
      else if (listing.files.push(path) > MAX_FILES) {
        throw new Error(`Cannot load ${folder}: more than ${MAX_FILES} files; it does not look like a rules folder`);
      }
    }
  };
  const close = (path: string, error: NodeJS.ErrnoException) => {
    if (error.code === undefined) throw error;
    const isGone = error.code === "ENOENT";
    if (isGone && !hasUnreadableName(path)) return;
    const failure = isGone ? "the name of this folder is not UTF-8" : `the folder cannot be read: ${error.message}`;
    listing.closed.push({ path, failure });
  };
  await visit("", []);
  listing.files.sort();
  return listing;
}

/** Bytes of a name that are not UTF-8 are read as this character; such a name finds no file. */
export function hasUnreadableName(path: string): boolean {
  return path.includes("\uFFFD");
}

async function leadsToFolder(path: string): Promise<boolean> {
  return await stat(path).then((facts) => facts.isDirectory(), () => false);
}

/** The mark of one file. A synchronous call takes 1 µs, an asynchronous one 8. */
export function markFile(path: string): Mark {
  try {
    const { mtimeMs, ctimeMs, size, ino } = statSync(path);
    return { state: `${mtimeMs} ${ctimeMs} ${size} ${ino}`, savedAt: Math.max(mtimeMs, ctimeMs) };
  } catch {
    return { state: ABSENT, savedAt: 0 };
  }
}
