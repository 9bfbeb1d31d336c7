import { statSync } from "node:fs";
import { lstat, readdir, realpath, stat } from "node:fs/promises";
import { basename } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Slices } from "../host/large_work.ts";
import { IrregularFileError, readRegularText } from "../host/regular_file.ts";
import { codeOf, messageOf } from "../model/errors.ts";
import type { Problem } from "../model/problem.ts";
import { hideTokens } from "../secrets/tokens.ts";
import { lineOf } from "./yaml/yaml.ts";

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

/** A folder with more files is not a rules folder: it is a whole disk, or has a link to one. */
const MAX_FILES = 20_000;

/** Distinguishes states of a file without reading it. */
export interface Mark {
  state: string;
  /** When it was last changed, by its file system's clock. */
  savedAt: number;
}

/** The absolute path of a path in the folder. */
function absolute({ folder }: FolderScope, path: string): string {
  return `${folder}/${path}`;
}

/** Milliseconds in which two states of a file may have the same mark: some file systems have a resolution of two seconds. */
const FRESH = 2_000;

/**
 * Whether a mark identifies the content: false if the file may change again without a new mark.
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
  /** All files, including those that cannot define rules. */
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
function hasUnreadableName(path: string): boolean {
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

/** A file of the rules folder that may define rules. */
export interface FolderFile {
  /** Relative to the folder, with forward slashes. */
  path: string;
  /** Its content, or why it cannot be read. */
  text?: string;
  failure?: string;
  /** It is a folder that cannot be read: the files in it are unknown. */
  isFolder?: true;
}

/** A file as it was read, with its mark from just before. */
interface Known {
  path: string;
  mark: Mark;
  file?: FolderFile;
}

/** How often a file that was just emptied is read again, and the milliseconds in between. */
const LOOKS = 10;
const BETWEEN_LOOKS = 10;
/** Files read at the same time, far below the usual limit of open files. */
const AT_ONCE = 64;

/**
 * Reads the rules folder repeatedly. Each time it looks at every file's mark, but it reads only files whose mark has
 * changed.
 */
export class FolderReader {
  #known = new Map<string, Known>();

  /** @param fresh see {@link isSettled} */
  constructor(private readonly scope: FolderScope, private readonly fresh?: number) {}

  /**
   * All rule files: `*.yaml`, `*.yml` and `*.ts` in nested folders, without hidden ones, `node_modules`, the data folder,
   * tests and type declarations. Links are followed, but never in a circle. Then the folders that cannot be read.
   * @throws Error if the folder itself cannot be read
   */
  async read(): Promise<FolderFile[]> {
    const { files, closed } = await listFolder(this.scope);
    const paths = files.filter(isRuleFile);
    const lookedAt = Date.now();
    const marks = await markFiles(paths.map((path) => absolute(this.scope, path)));
    const all = paths.map((path): Known => {
      const mark = marks.get(absolute(this.scope, path))!;
      const before = this.#known.get(path);
      return before?.mark.state === mark.state ? before : { path, mark };
    });
    await this.#readEach(all.filter(({ file }) => file === undefined));
    const lasting = all.filter(({ file, mark }) => file!.text !== undefined && isSettled(mark, lookedAt, this.fresh));
    this.#known = new Map(lasting.map((one) => [one.path, one]));
    return [
      ...all.map(({ file }) => file!).filter(isThere),
      ...closed.map((one) => ({ ...one, isFolder: true as const })),
    ];
  }

  async #readEach(changed: Known[]): Promise<void> {
    for (let index = 0; index < changed.length; index += AT_ONCE) {
      await Promise.all(
        changed.slice(index, index + AT_ONCE).map(async (one) => one.file = await this.#read(one.path)),
      );
    }
  }

  async #read(path: string): Promise<FolderFile> {
    const at = absolute(this.scope, path);
    try {
      return { path, text: await readSaved(at) };
    } catch (error) {
      // Removed since it was listed: the event of its removal triggers the next load. A dangling link stays and is
      // reported.
      const facts = await lstat(at).catch(() => undefined);
      if (facts === undefined) {
        return hasUnreadableName(path) ? { path, failure: "the name of this file is not UTF-8" } : { path };
      }
      if (codeOf(error) === "ENOENT") return { path, failure: "this link leads to no file" };
      const message = messageOf(error);
      return { path, failure: error instanceof IrregularFileError ? message : `the file cannot be read: ${message}` };
    }
  }
}

function isThere({ text, failure }: FolderFile): boolean {
  return text !== undefined || failure !== undefined;
}

/**
 * Most programs save by emptying the file and then writing it. If it were read in between, the rule would seem to be
 * removed: its webhook would answer 404 for a moment.
 */
async function readSaved(path: string): Promise<string> {
  for (let look = 1;; look++) {
    const text = await readRegularText(path);
    if (text !== "" || look === LOOKS) return text;
    const { mtimeMs } = await stat(path);
    if (Date.now() - mtimeMs > LOOKS * BETWEEN_LOOKS) return text;
    await sleep(BETWEEN_LOOKS);
  }
}

/**
 * Sorts problems by file, line and column, without duplicates, and adds the source line of each. Values of secrets are masked:
 * those that a problem is about, and the tokens of well-known services.
 */
export function arrange(problems: Problem[], files: FolderFile[]): Problem[] {
  const texts = new Map(files.map(({ path, text }) => [path, text]));
  const secrets = problems.filter(({ hidden }) => hidden);
  const shown = problems.map(({ hidden: _hidden, ...problem }): Problem => {
    const { file, at, message, hint } = problem;
    const text = texts.get(file);
    const line = problem.sourceLine ?? (text === undefined ? undefined : lineOf(text, at.line));
    const masked = secrets.filter((secret) => secret.file === file && secret.at.line === at.line)
      .reduce((line, secret) => line && maskAt(line, secret.at), line);
    return {
      ...problem,
      message: hideTokens(message),
      ...(hint !== undefined && { hint: hideTokens(hint) }),
      ...(masked !== undefined && { sourceLine: hideTokens(masked) }),
    };
  });
  const key = ({ file, at, message }: Problem) => `${file}\0${at.line}\0${at.column}\0${message}`;
  const once = [...new Map(shown.map((problem) => [key(problem), problem])).values()];
  return once.sort((a, b) => compare(a.file, b.file) || a.at.line - b.at.line || a.at.column - b.at.column);
}

/** Masks a value; if its length is unknown, as that of an object is, the rest of the line. */
function maskAt(line: string, { column, length = 1 }: Problem["at"]): string {
  const from = column - 1;
  const to = length === 1 ? line.length : Math.min(from + length, line.length);
  return line.slice(0, from) + "*".repeat(Math.max(0, to - from)) + line.slice(to);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
