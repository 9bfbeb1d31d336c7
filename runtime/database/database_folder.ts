import { mkdir, readdir, rm } from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import { type Disk, type DiskFile, realDisk } from "../host/disk.ts";
import { codeOf } from "../model/errors.ts";
import { foldedSeq, FORMAT_VERSION, segmentName, sortFiles, type StoreFiles, superseded } from "../store/log/files.ts";
import { encodeHead } from "../store/log/log_frame.ts";
import type { DatabaseLog } from "./database_log.ts";
import type { StoredFile, StoredFiles } from "./stored_files.ts";

/** What is of this machine, or not finished: it is not kept in the database. Frames of the log are, in a table of their own. */
const LOCAL = new RegExp(
  [
    "^(?:lock|address|probe|scratch)\\b",
    "^cache/",
    "^log-",
    // Drafts, in their places only: a run may save a file of any name.
    "^[^/]*\\.(?:new|tmp)$",
    "^files/\\.private/",
    "^files/(?:\\.uploads/)?[^/]+/(?:[0-9a-f]{16}|owners\\.json)\\.new$",
  ].join("|"),
);

/** Whether a file of a data folder is kept in the database. */
export function isKept(path: string): boolean {
  return !LOCAL.test(path);
}

/** Parts of history are many, and are downloaded when somebody looks at them. */
const LATE = /^part-/;
/** How many files are downloaded at once. */
const DOWNLOADS = 8;
/** What stays in the folder of an earlier start on this machine. */
const STAYS = /^(?:lock|cache)/;
/** A new segment file is begun above this size: each is folded in memory. */
const SEGMENT_BYTES = 6 * 1024 * 1024;

/**
 * A data folder whose files are in a database. Those in use are also in a folder on this machine, which may be lost. A
 * change is durable when {@link Disk.syncFolder} of its folder resolves, as on a disk.
 */
export class DatabaseFolder {
  readonly disk: Disk;
  /** The files in the database, by path below the folder. */
  #stored = new Map<string, StoredFile>();
  /** Those of them that are not on this machine yet. */
  readonly #absent = new Set<string>();
  /** Files changed here since they were last copied to the database. */
  readonly #changed = new Set<string>();
  /** The last change of each folder: those of one folder are made one after the other. */
  readonly #last = new Map<string, Promise<unknown>>();
  /** Downloads under way, by path. */
  readonly #fetching = new Map<string, Promise<void>>();
  #drafts = 0;

  constructor(
    private readonly folder: string,
    private readonly files: StoredFiles,
    private readonly log: DatabaseLog,
  ) {
    this.disk = this.#asDisk();
  }

  /** Fills the folder on this machine with the files of the database, and with the log as segments. */
  async load(): Promise<void> {
    for (const name of await readdir(this.folder)) {
      if (!STAYS.test(name)) await rm(join(this.folder, name), { recursive: true, force: true });
    }
    this.#stored = await this.files.list();
    for (const path of this.#stored.keys()) this.#absent.add(path);
    const paths = [...this.#stored.keys()].filter((path) => !LATE.test(path)).values();
    // Each takes the next one.
    await Promise.all(Array.from({ length: DOWNLOADS }, async () => {
      for (const path of paths) await this.fetch(path);
    }));
    await this.#loadLog(foldedSeq(sortFiles([...this.#stored.keys()])));
  }

  /** Downloads a file that is in the database and not here. */
  async fetch(path: string): Promise<void> {
    const file = this.#absent.has(path) ? this.#stored.get(path) : undefined;
    if (file === undefined) return;
    const fetching = this.#fetching.get(path) ?? this.#download(path, file).finally(() => this.#fetching.delete(path));
    this.#fetching.set(path, fetching);
    await fetching;
  }

  async #download(path: string, file: StoredFile): Promise<void> {
    const draft = `download-${++this.#drafts}.tmp`;
    await mkdir(dirname(join(this.folder, path)), { recursive: true, mode: 0o700 });
    await this.files.download(realDisk, this.folder, draft, file);
    await realDisk.rename(join(this.folder, draft), join(this.folder, path));
    this.#absent.delete(path);
  }

  /** Copies what a fold or merge has written to the database, and removes there what it has replaced. */
  publishStore(): Promise<void> {
    return this.#alone("", async () => {
      const here = sortFiles(await realDisk.list(this.folder));
      const namesOf = (files: StoreFiles) =>
        [files.bases, files.deltas, files.ids, files.parts].flat().map(({ name }) => name);
      const present = new Set(namesOf(here));
      for (const name of present) if (!this.#stored.has(name)) this.#changed.add(name);
      const stored = sortFiles([...this.#stored.keys()]);
      const replaced = new Set(superseded(sortFiles([...present, ...namesOf(stored)])));
      for (const name of namesOf(stored)) {
        if (present.has(name) || this.#changed.has(name)) continue;
        // What is gone without having been replaced was lost on this machine only.
        if (replaced.has(name)) this.#changed.add(name);
        else this.#absent.add(name);
      }
      await this.#commit([...this.#changed].filter((path) => !path.includes("/")), foldedSeq(here));
      for (const name of this.#absent) if (!LATE.test(name) && !name.includes("/")) await this.fetch(name);
    });
  }

  async #loadLog(seq: number): Promise<void> {
    let pieces: Uint8Array[] = [];
    let bytes = 0;
    let first = seq + 1;
    const write = async () => {
      const file = await realDisk.create(join(this.folder, segmentName(first)));
      for (const piece of [encodeHead(first, FORMAT_VERSION), ...pieces]) await file.write(piece);
      await file.close();
    };
    for await (const { seq: next, frame } of this.log.read(seq)) {
      if (bytes > SEGMENT_BYTES) {
        await write();
        [pieces, bytes, first] = [[], 0, next];
      }
      pieces.push(frame);
      bytes += frame.length;
    }
    if (pieces.length > 0) await write();
  }

  /** Changes of one folder wait for each other, but not for large files in others. */
  #alone<T>(folder: string, work: () => Promise<T>): Promise<T> {
    const result = (this.#last.get(folder) ?? Promise.resolve()).then(work);
    const settled: Promise<unknown> = result.catch(() => {}).finally(() => {
      if (this.#last.get(folder) === settled) this.#last.delete(folder);
    });
    this.#last.set(folder, settled);
    return result;
  }

  /** Copies changed files to the database, or removes them there if they are gone. */
  async #commit(paths: string[], folded?: number): Promise<void> {
    const added = new Map<string, StoredFile>();
    const removed: string[] = [];
    for (const path of paths) {
      this.#changed.delete(path);
      try {
        added.set(path, await this.files.upload(realDisk, this.folder, path));
      } catch (error) {
        if (codeOf(error) === "ENOENT") {
          if (this.#stored.has(path)) removed.push(path);
          continue;
        }
        for (const each of paths) this.#changed.add(each);
        await this.files.discard([...added.values()].map(({ blob }) => blob));
        throw error;
      }
    }
    if (added.size + removed.length === 0 && folded === undefined) return;
    try {
      await this.files.commit({ added, removed, ...folded !== undefined && { folded } });
    } catch (error) {
      // Whether it was made is not known, so what was uploaded stays.
      for (const path of paths) this.#changed.add(path);
      throw error;
    }
    for (const [path, file] of added) this.#stored.set(path, file);
    for (const path of removed) this.#stored.delete(path);
  }

  #note(path: string): void {
    const below = this.#below(path);
    if (!isKept(below)) return;
    this.#absent.delete(below);
    this.#changed.add(below);
  }

  #below(path: string): string {
    return relative(this.folder, path).replaceAll(sep, "/");
  }

  #publishIn(folder: string): Promise<void> {
    const below = this.#below(folder);
    const isHere = (path: string) => (dirname(path) === "." ? "" : dirname(path)) === below;
    return this.#alone(below, () => this.#commit([...this.#changed].filter(isHere)));
  }

  async #removeFolder(path: string): Promise<void> {
    await realDisk.removeFolder(path);
    const below = `${this.#below(path)}/`;
    for (const changed of this.#changed) if (changed.startsWith(below)) this.#changed.delete(changed);
    const inside = [...this.#stored.keys()].filter((stored) => stored.startsWith(below));
    for (const stored of inside) this.#absent.delete(stored);
    if (inside.length > 0) await this.#alone(below, () => this.#commit(inside));
  }

  #asDisk(): Disk {
    const folderNames = async (folder: string) => {
      const below = this.#below(folder);
      const absent = [...this.#absent].filter((path) => (below === "" ? !path.includes("/") : dirname(path) === below));
      return [...await realDisk.list(folder), ...absent.map((path) => path.slice(path.lastIndexOf("/") + 1))];
    };
    const changing = async (path: string, opening: Promise<DiskFile>): Promise<DiskFile> => {
      const file = await opening;
      this.#note(path);
      // The database keeps what is durable.
      return { write: (bytes) => file.write(bytes), sync: () => Promise.resolve(), close: () => file.close() };
    };
    return {
      mkdir: async (path) => void await mkdir(path, { recursive: true, mode: 0o700 }),
      list: folderNames,
      read: async (path) => {
        await this.fetch(this.#below(path));
        return await realDisk.read(path);
      },
      open: async (path) => {
        await this.fetch(this.#below(path));
        return await realDisk.open(path);
      },
      create: (path) => changing(path, realDisk.create(path)),
      append: (path) => changing(path, realDisk.append(path)),
      truncate: async (path, length) => {
        await realDisk.truncate(path, length);
        this.#note(path);
      },
      rename: async (from, to) => {
        await this.fetch(this.#below(from));
        await realDisk.rename(from, to);
        this.#note(from);
        this.#note(to);
      },
      remove: async (path) => {
        if (!this.#absent.has(this.#below(path))) await realDisk.remove(path);
        this.#note(path);
      },
      removeFolder: (path) => this.#removeFolder(path),
      syncFolder: (folder) => this.#publishIn(folder),
      syncFile: (path) => {
        this.#note(path);
        return this.#publishIn(dirname(path));
      },
      scratch: realDisk.scratch,
    };
  }
}
