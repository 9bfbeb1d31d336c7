import type { Dirent } from "node:fs";
import { lstat, readdir, readFile, realpath, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** A file of the rules folder that rules may be made of. */
export interface FolderFile {
  /** Relative to the folder, with forward slashes. */
  path: string;
  /** Its content, or why it cannot be read. */
  text?: string;
  failure?: string;
}

/** What belongs to a rules folder. */
export interface FolderScope {
  /** Absolute. */
  folder: string;
  /** Absolute paths below which nothing is looked at: the data folder. */
  ignore: string[];
}

/**
 * The scope of a rules folder: all of it but the data folder. A packed folder is unpacked below the data folder; then
 * nothing of it is left out.
 */
export function scopeOf(folder: string, dataFolder: string): FolderScope {
  return { folder, ignore: `${folder}/`.startsWith(`${dataFolder}/`) ? [] : [dataFolder] };
}

/** More than this is no rules folder: somebody pointed the program at a disk, or a link leads to one. */
const MAX_FILES = 20_000;
/** How often a file that was emptied just now is looked at, and the milliseconds between. */
const LOOKS = 10;
const BETWEEN_LOOKS = 10;
/** Files read at the same time, far below the usual limit of open files. */
const AT_ONCE = 64;

/**
 * Reads all rule files: `*.yaml`, `*.yml` and `*.ts` in nested folders, without hidden ones, `node_modules`, the data
 * folder, tests and type declarations. Links are followed, but never in a circle.
 * @throws Error where the folder itself cannot be read
 */
export async function readFolder(scope: FolderScope): Promise<FolderFile[]> {
  const paths = (await listFolder(scope)).filter(isRuleFile);
  const files: FolderFile[] = [];
  for (let index = 0; index < paths.length; index += AT_ONCE) {
    files.push(...await Promise.all(paths.slice(index, index + AT_ONCE).map((path) => read(scope.folder, path))));
  }
  return files.filter((file) => file.text !== undefined || file.failure !== undefined);
}

/** What tells one state of a file from another without reading it, by absolute path. */
export async function markFolder(scope: FolderScope): Promise<Map<string, string>> {
  return await markFiles((await listFolder(scope)).map((path) => join(scope.folder, path)));
}

/** The same for some files; one that is not there has a mark too. */
export async function markFiles(paths: string[]): Promise<Map<string, string>> {
  const marks = new Map<string, string>();
  for (let index = 0; index < paths.length; index += AT_ONCE) {
    await Promise.all(paths.slice(index, index + AT_ONCE).map(async (path) => marks.set(path, await mark(path))));
  }
  return marks;
}

/** True for what is never looked at, wherever it stands. */
export function isIgnored(path: string, ignore: string[]): boolean {
  const name = basename(path);
  return name === "node_modules" || ignore.some((root) => path === root || path.startsWith(`${root}/`)) ||
    // Kubernetes swaps mounted files by renaming the link "..data"; that is the one hidden name worth an event.
    (name.startsWith(".") && !name.startsWith("..") && name !== ".env");
}

function isRuleFile(path: string): boolean {
  return /\.(yaml|yml|ts)$/.test(path) && !/\.(test|d)\.ts$/.test(path);
}

/** Paths of all files below the folder, relative to it, sorted: those that rules can be made of, and all others. */
export async function listFolder({ folder, ignore }: FolderScope): Promise<string[]> {
  const paths: string[] = [];
  const visit = async (below: string, around: string[]): Promise<void> => {
    const real = await realpath(join(folder, below));
    if (around.includes(real)) return;
    const entries = await readdir(real, { withFileTypes: true });
    entries.sort((a, b) => a.name < b.name ? -1 : 1);
    for (const entry of entries) {
      const path = below === "" ? entry.name : `${below}/${entry.name}`;
      if (entry.name.startsWith(".") && entry.name !== ".env") continue;
      if (isIgnored(join(folder, path), ignore)) continue;
      if (await isFolder(entry, join(folder, path))) await visit(path, [...around, real]);
      else if (paths.push(path) > MAX_FILES) {
        throw new Error(`Cannot load ${folder}: more than ${MAX_FILES} files; it does not look like a rules folder`);
      }
    }
  };
  await visit("", []);
  return paths.sort();
}

async function isFolder(entry: Dirent, path: string): Promise<boolean> {
  if (!entry.isSymbolicLink()) return entry.isDirectory();
  return await stat(path).then((facts) => facts.isDirectory(), () => false);
}

async function read(folder: string, path: string): Promise<FolderFile> {
  try {
    return { path, text: await readSaved(join(folder, path)) };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    // Gone since it was listed: the event of its removal brings the next load. A dangling link stays and is reported.
    const facts = await lstat(join(folder, path)).catch(() => undefined);
    if (facts === undefined) return { path };
    if (code === "ENOENT") return { path, failure: "this link leads to no file" };
    return { path, failure: `the file cannot be read: ${message}` };
  }
}

/**
 * Most programs save by emptying the file and then writing it. Read in between, a rule would look as if it had been
 * taken out: its webhook would answer 404 for a moment.
 */
async function readSaved(path: string): Promise<string> {
  for (let look = 1;; look++) {
    const text = await readFile(path, "utf8");
    if (text !== "" || look === LOOKS) return text;
    const { mtimeMs } = await stat(path);
    if (Date.now() - mtimeMs > LOOKS * BETWEEN_LOOKS) return text;
    await sleep(BETWEEN_LOOKS);
  }
}

async function mark(path: string): Promise<string> {
  try {
    const { mtimeMs, ctimeMs, size, ino } = await stat(path);
    return `${mtimeMs} ${ctimeMs} ${size} ${ino}`;
  } catch {
    return "absent";
  }
}
