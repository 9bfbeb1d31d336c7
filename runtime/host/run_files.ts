import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { lstat, mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { basename, dirname, join, resolve, sep } from "node:path";
import { sourceOf } from "../formats/lazy_json.ts";
import { codeOf, messageOf, TerminalError } from "../model/errors.ts";
import type { SavedFile } from "../model/event.ts";
import type { Disk, DiskFile } from "./disk.ts";

/** A file that is being written. It appears under its name all or nothing, when `keep` resolves. */
export interface FileDraft {
  /** @throws TerminalError if it exceeds the size limit of a file; Error if it cannot be written */
  write(bytes: Uint8Array): Promise<void>;
  /** Moves it to its place, durably, replacing the file of an earlier attempt. */
  keep(type: string): Promise<SavedFile>;
  /** Removes the part that was written. */
  discard(): Promise<void>;
}

/** The file to write. */
export interface NewFile {
  run: string;
  /** The step's path: each step has its own folder, so that no step replaces a file of another. */
  step: string;
  name: string;
  /** For messages: `the answer to GET https://example.org/`. */
  what: string;
}

/** Maximum size of a file, in bytes. */
const MOST_FILE_BYTES = 1_000_000_000;
/** Bytes that are written at once. */
const PIECE = 1_000_000;
/** Folders checked per sweep, so that even 100,000 of them cause no burst of work. */
const SWEPT = 100;
/** The folder of private folders, beside those of runs. */
const PRIVATE = ".private";
/** See `newId`: only names of this form are folders of runs. */
const RUN_ID = /^[0-9a-z]{20}$/;

/** Whether it is a plain file name, safe in any folder. */
export function isFileName(name: string): boolean {
  if (name === "" || name === "." || name === ".." || Buffer.byteLength(name) > 255) return false;
  // deno-lint-ignore no-control-regex
  return name.isWellFormed() && !/[/\\\u0000-\u001f\u007f]/.test(name);
}

/**
 * The folders of programs that share their state, see `localFolderOf`, in a text. What follows is the folder of a run, or of the
 * files that came with an event.
 */
const SHARED = "[^\\s\"']*[/\\\\]whenthen-[0-9a-f]{16}(?:-\\d+)?[/\\\\]files";
const BELOW = "[/\\\\]((?:\\.uploads[/\\\\])?[0-9a-z]{20})(?![0-9a-z])";

/** The files that runs have saved: a folder for each run, `<folder>/<run>/<step>/<name>`. */
export class RunFiles {
  /** Runs that the sweep has not checked in this round. */
  #round: string[] = [];
  /** Where files may be, as it was recorded: here, too, the path may have spaces then. */
  readonly #places: RegExp;

  /**
   * @param folder absolute; it is made with the first file
   * @param bring copies the files of a folder to this machine, by its path below `folder`, if other programs may have saved them
   */
  constructor(
    private readonly folder: string,
    private readonly disk: Disk,
    private readonly most = MOST_FILE_BYTES,
    private readonly bring?: (folder: string) => Promise<void>,
  ) {
    const own = folder.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    this.#places = new RegExp(`(?:${own}|${SHARED})${BELOW}`, "g");
  }

  /** Whether other programs may have saved files, in folders of theirs. */
  get isShared(): boolean {
    return this.bring !== undefined;
  }

  /** @throws TerminalError if the name is not a plain file name */
  async create({ run, step, name, what }: NewFile): Promise<FileDraft> {
    const task = `Cannot save ${what} as ${JSON.stringify(name)}`;
    if (!isFileName(name)) throw new TerminalError(`${task}: expected a plain file name such as report.csv`);
    // A step's path may contain characters that a file name cannot, and may be longer.
    const place = join(this.folder, run, createHash("sha256").update(step).digest("hex").slice(0, 16));
    const draft = `${place}.new`;
    try {
      await this.disk.mkdir(place);
      // A killed program may have left one.
      if ((await this.disk.list(dirname(draft))).includes(basename(draft))) await this.disk.remove(draft);
      const file = await this.disk.create(draft);
      return new Draft({ disk: this.disk, file, draft, path: join(place, name), task, most: this.most });
    } catch (error) {
      throw new Error(`${task}: ${messageOf(error)}`, { cause: error });
    }
  }

  /** Saves a file that somebody sent. A name that is no plain file name becomes `file`. */
  async saveSent({ name, ...place }: NewFile, bytes: Uint8Array, type: string): Promise<SavedFile> {
    const draft = await this.create({ ...place, name: isFileName(name) ? name : "file" });
    try {
      await draft.write(bytes);
      return await draft.keep(type);
    } catch (error) {
      await draft.discard();
      throw error;
    }
  }

  /**
   * Reads a file that a run has saved or a sender has uploaded, and no other: its path may come from outside.
   * @throws TerminalError if it is another file, was removed, or has another hash than the recorded one
   */
  async read({ path, name, bytes, sha256 }: SavedFile): Promise<Uint8Array> {
    const task = `Cannot read the file ${JSON.stringify(name)}`;
    const here = this.#placeOf(path);
    if (here === undefined) {
      throw new TerminalError(`${task}: it is not one that a run has saved or a sender has uploaded`);
    }
    let content: Uint8Array | undefined;
    try {
      const file = await this.disk.open(here);
      if (file.size === bytes) content = await file.read(0, bytes).finally(() => file.close());
      else await file.close();
    } catch (error) {
      if (codeOf(error) === "ENOENT") throw new TerminalError(`${task}: it is no longer there`, { cause: error });
      throw new Error(`${task}: ${messageOf(error)}`, { cause: error });
    }
    if (content && createHash("sha256").update(content).digest("hex") === sha256) return content;
    throw new TerminalError(`${task}: it has changed since it was saved`);
  }

  /** Where a recorded file is. The data folder may have been another one when it was recorded. */
  #placeOf(path: string): string | undefined {
    const below = path.lastIndexOf(`${sep}${basename(this.folder)}${sep}`);
    const here = resolve(below < 0 ? path : join(this.folder, path.slice(below + basename(this.folder).length + 2)));
    return here.startsWith(this.folder + sep) ? here : undefined;
  }

  /**
   * What another program may have recorded of a run or an event, with the paths of files as they are here. All files in the same
   * folders are here when it resolves.
   */
  async localize<T>(recorded: T): Promise<T> {
    if (this.bring === undefined) return recorded;
    const folders = new Set<string>();
    const place = (_: string, folder: string) => {
      folders.add(folder);
      return join(this.folder, folder);
    };
    const local = mapTexts(recorded, (text) => text.replace(this.#places, place)) as T;
    for (const folder of folders) await this.bring(folder);
    return local;
  }

  /** Makes files durable that another program has written into a run's folder. */
  async keepLeft(files: SavedFile[]): Promise<void> {
    for (const { path } of files) await this.disk.syncFile(path);
  }

  /** Removes a file that nothing refers to. */
  async remove({ path }: Pick<SavedFile, "path">): Promise<void> {
    await this.disk.removeFolder(dirname(path));
  }

  /** The folder of a run, absolute; it is made if it does not exist yet. What other programs have put there is in it. */
  async folderOf(run: string): Promise<string> {
    const folder = join(this.folder, run);
    await this.disk.mkdir(folder);
    await this.bring?.(run);
    return folder;
  }

  /** A new folder that only this user can read, for secrets that a program gets as files. Remove it after use. */
  async privateFolder(): Promise<string> {
    const place = join(this.folder, PRIVATE);
    await mkdir(place, { recursive: true, mode: 0o700 });
    return await mkdtemp(join(place, "of-"));
  }

  /** Removes the private folders that a killed program has left. */
  async removePrivate(): Promise<void> {
    await rm(join(this.folder, PRIVATE), { recursive: true, force: true });
  }

  /**
   * Removes files of runs that are no longer known. Checks some of the folders; the next call continues after them.
   * @param isKnown whether the run is live or in history
   */
  async sweep(isKnown: (run: string) => Promise<boolean>): Promise<void> {
    if (this.#round.length === 0) this.#round = await this.#runs();
    for (const run of this.#round.splice(0, SWEPT)) {
      if (!await isKnown(run)) await this.disk.removeFolder(join(this.folder, run));
    }
  }

  async #runs(): Promise<string[]> {
    try {
      return (await this.disk.list(this.folder)).filter((name) => RUN_ID.test(name));
    } catch (error) {
      if (codeOf(error) === "ENOENT") return [];
      throw error;
    }
  }
}

/** What every path that {@link RunFiles.localize} changes has in it. */
const TRACE = "whenthen-";

/** A value with its texts changed; itself if none was. What came as JSON without such a text is not parsed for it. */
function mapTexts(value: unknown, change: (text: string) => string): unknown {
  if (typeof value === "string") return value.includes(TRACE) ? change(value) : value;
  if (typeof value !== "object" || value === null || sourceOf(value)?.includes(TRACE) === false) return value;
  let changed: [string, unknown][] | undefined;
  for (const key in value) {
    const inner = (value as Record<string, unknown>)[key];
    const mapped = mapTexts(inner, change);
    if (mapped !== inner) (changed ??= []).push([key, mapped]);
  }
  if (changed === undefined) return value;
  const copy = Array.isArray(value) ? [...value] : { ...value };
  return Object.assign(copy, Object.fromEntries(changed));
}

interface DraftParts {
  disk: Disk;
  file: DiskFile;
  /** The temporary path while it is written. */
  draft: string;
  path: string;
  /** The prefix of its error messages. */
  task: string;
  most: number;
}

class Draft implements FileDraft {
  readonly #parts: DraftParts;
  readonly #hash = createHash("sha256");
  #bytes = 0;
  #unwritten: Uint8Array[] = [];
  #unwrittenBytes = 0;
  #isOpen = true;

  constructor(parts: DraftParts) {
    this.#parts = parts;
  }

  async write(bytes: Uint8Array): Promise<void> {
    // In pieces: other work goes on while one is written.
    for (let at = 0; at < bytes.length; at += PIECE) await this.#add(bytes.subarray(at, at + PIECE));
  }

  async #add(bytes: Uint8Array): Promise<void> {
    const { task, most } = this.#parts;
    this.#bytes += bytes.length;
    if (this.#bytes > most) {
      throw new TerminalError(`${task}: it has over ${most} bytes, the most that a saved file may have`);
    }
    this.#hash.update(bytes);
    this.#unwritten.push(bytes);
    this.#unwrittenBytes += bytes.length;
    if (this.#unwrittenBytes >= PIECE) await this.#trying(() => this.#flush());
  }

  async keep(type: string): Promise<SavedFile> {
    const { disk, file, draft, path } = this.#parts;
    await this.#trying(async () => {
      await this.#flush();
      await file.sync();
      await this.#close();
      await disk.rename(draft, path);
      await disk.syncFolder(dirname(path));
      await disk.syncFolder(dirname(draft));
    });
    return { path, name: basename(path), type, bytes: this.#bytes, sha256: this.#hash.digest("hex") };
  }

  /** If removal fails, the file is removed later with the run's folder. */
  async discard(): Promise<void> {
    this.#unwritten = [];
    await this.#close().catch(() => {});
    await this.#parts.disk.remove(this.#parts.draft).catch(() => {});
  }

  async #flush(): Promise<void> {
    const bytes = Buffer.concat(this.#unwritten);
    this.#unwritten = [];
    this.#unwrittenBytes = 0;
    if (bytes.length > 0) await this.#parts.file.write(bytes);
  }

  async #close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    await this.#parts.file.close();
  }

  /** A full disk may have space at the next attempt. */
  async #trying(act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (error) {
      throw new Error(`${this.#parts.task}: ${messageOf(error)}`, { cause: error });
    }
  }
}

/** The states of files, by path relative to their folder. */
type FileStates = ReadonlyMap<string, string>;

/** Maximum number of files that a command may leave behind. Each of them is read. */
const MOST_FILES = 1_000;

/**
 * The states of all regular files below a folder; links are not followed.
 * @param isOwn whether a name at the top belongs to the program itself
 */
export async function fileStatesIn(folder: string, isOwn: (name: string) => boolean): Promise<FileStates> {
  const states = new Map<string, string>();
  const visit = async (below: string) => {
    for (const entry of await ifReachable(readdir(join(folder, below), { withFileTypes: true })) ?? []) {
      const path = below === "" ? entry.name : `${below}/${entry.name}`;
      if (below === "" && isOwn(entry.name)) continue;
      if (entry.isDirectory()) await visit(path);
      else if (entry.isFile()) {
        const facts = await ifReachable(lstat(join(folder, path)));
        if (facts) states.set(path, `${facts.mtimeMs} ${facts.ctimeMs} ${facts.size} ${facts.ino}`);
      }
    }
  };
  await visit("");
  return states;
}

/**
 * The files that are new or changed since that state, by name.
 * @throws TerminalError if there are more than 1,000
 */
export async function filesSince(
  folder: string,
  before: FileStates,
  isOwn: (name: string) => boolean,
): Promise<SavedFile[]> {
  const now = await fileStatesIn(folder, isOwn);
  const names = [...now].filter(([name, state]) => before.get(name) !== state).map(([name]) => name).sort();
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
    if (["ENOENT", "EACCES", "EPERM"].includes(codeOf(error) ?? "")) return undefined;
    throw error;
  }
}

async function describe(folder: string, name: string): Promise<SavedFile> {
  const path = join(folder, name);
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of createReadStream(path)) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return { path, name, type: "application/octet-stream", bytes, sha256: hash.digest("hex") };
}
