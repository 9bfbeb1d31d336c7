import { mkdir, rm } from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import { type Disk, type DiskFile, realDisk } from "../host/disk.ts";
import { codeOf } from "../model/errors.ts";
import { isKept, OF_RUNS, OF_STORE } from "./kept_files.ts";
import { FileChangedError, FileGoneError, type StoredFile, type StoredFiles } from "./stored_files.ts";

/** How many files are downloaded at once. */
const DOWNLOADS = 8;

/**
 * Files in a database, of which those in use are also in a folder on this machine, which may be lost. A change is durable when
 * {@link Disk.syncFolder} of its folder resolves, as on a disk. Other replicas change files too: those of runs are looked up whenever they
 * are read; for others see {@link refresh}.
 */
export class CopiedFiles {
  readonly disk: Disk;
  /** The files in the database that this program knows of, by path below the folder. */
  protected readonly stored = new Map<string, StoredFile>();
  /** Those of them that are not on this machine yet. */
  protected readonly absent = new Set<string>();
  /** Files changed here since they were last copied to the database. */
  protected readonly changed = new Set<string>();
  /** The last change of each folder: those of one folder are made one after the other. */
  readonly #last = new Map<string, Promise<unknown>>();
  /** Downloads under way, by path. */
  readonly #fetching = new Map<string, Promise<void>>();
  #drafts = 0;

  /** @param decides whether this program decides at the moment: others do not change files of the store */
  constructor(
    protected readonly folder: string,
    protected readonly files: StoredFiles,
    protected readonly decides: () => boolean,
  ) {
    this.disk = this.#asDisk();
  }

  /** There is such a file in the database, and not here. */
  protected add(path: string, file: StoredFile): void {
    this.stored.set(path, file);
    this.absent.add(path);
  }

  protected drop(path: string): void {
    this.stored.delete(path);
    this.absent.delete(path);
  }

  /** Downloads files; those that were removed meanwhile are forgotten. */
  protected async fetchAll(paths: string[], signal?: AbortSignal): Promise<void> {
    const next = paths.values();
    // Each takes the next one.
    await Promise.all(Array.from({ length: DOWNLOADS }, async () => {
      for (const path of next) await this.fetch(path, signal);
    }));
  }

  /** Downloads a file that is in the database and not here. Does nothing if there is none. */
  async fetch(path: string, signal?: AbortSignal): Promise<void> {
    if (this.changed.has(path) || !isKept(path)) return;
    if (!this.stored.has(path)) {
      // Another replica may have added it.
      const found = await this.files.find(path);
      if (found === undefined || this.stored.has(path) || this.changed.has(path)) return;
      this.add(path, found);
    }
    if (!this.absent.has(path)) return;
    const fetching = this.#fetching.get(path) ??
      this.#download(path, signal).finally(() => this.#fetching.delete(path));
    this.#fetching.set(path, fetching);
    await fetching;
  }

  /**
   * Downloads a file that another replica may have replaced or removed.
   * @returns whether its content here has changed
   */
  refresh(path: string): Promise<boolean> {
    return this.alone(folderOf(path), () => this.#refresh(path));
  }

  async #refresh(path: string): Promise<boolean> {
    if (this.changed.has(path) || !isKept(path)) return false;
    const found = await this.files.find(path);
    const known = this.stored.get(path);
    if (found?.blob === known?.blob && !this.absent.has(path)) return false;
    if (this.changed.has(path)) return false;
    if (found !== undefined) {
      if (found.blob !== known?.blob) this.add(path, found);
      await this.fetch(path);
      return true;
    }
    this.drop(path);
    await rm(join(this.folder, path), { force: true });
    return true;
  }

  /** Downloads what is in a folder, as it is in the database now. */
  async bring(folder: string): Promise<void> {
    for (const [path, file] of await this.files.listBelow(folder)) {
      if (this.changed.has(path)) continue;
      if (this.stored.get(path)?.blob !== file.blob) this.add(path, file);
      await this.fetch(path);
    }
  }

  /** Removes copies of files of runs that are not in the database any more; and there, what uploads left that did not end. */
  async tidy(): Promise<void> {
    const known = [...this.stored.keys()];
    const stored = await this.files.list();
    for (const path of known) {
      if (!OF_RUNS.test(path) || stored.has(path) || this.changed.has(path)) continue;
      this.drop(path);
      await rm(join(this.folder, path), { force: true });
    }
    // `load` does this, too, but only in a program that decides when it loads.
    if (this.decides()) await this.files.removeAbandoned();
  }

  /** A file that is gone meanwhile is looked up again, and forgotten if it was not replaced. */
  async #download(path: string, signal?: AbortSignal): Promise<void> {
    const draft = `download-${++this.#drafts}.tmp`;
    for (let file = this.stored.get(path); file !== undefined; file = await this.files.find(path)) {
      try {
        await mkdir(dirname(join(this.folder, path)), { recursive: true, mode: 0o700 });
        await this.files.download(realDisk, this.folder, draft, file, signal);
      } catch (error) {
        await rm(join(this.folder, draft), { force: true });
        if (error instanceof FileGoneError) continue;
        throw error;
      }
      await realDisk.rename(join(this.folder, draft), join(this.folder, path));
      this.stored.set(path, file);
      this.absent.delete(path);
      return;
    }
    this.drop(path);
  }

  /** Changes of one folder wait for each other, but not for large files in others. */
  protected alone<T>(folder: string, work: () => Promise<T>): Promise<T> {
    const result = (this.#last.get(folder) ?? Promise.resolve()).then(work);
    const settled: Promise<unknown> = result.catch(() => {}).finally(() => {
      if (this.#last.get(folder) === settled) this.#last.delete(folder);
    });
    this.#last.set(folder, settled);
    return result;
  }

  /**
   * Copies changed files to the database, or removes them there if they are gone.
   * @param given files whose content is there already
   */
  protected async commit(paths: string[], folded?: number, given = new Map<string, StoredFile>()): Promise<void> {
    const shared = paths.filter((path) => !OF_STORE.test(path) && !OF_RUNS.test(path));
    const expected = new Map(shared.map((path) => [path, this.stored.get(path)?.blob]));
    for (const path of paths) this.changed.delete(path);
    try {
      const { added: own, removed } = await this.upload(paths);
      if (own.size + removed.length === 0 && folded === undefined) return;
      const added = new Map([...given, ...own]);
      await this.files.commit({ added, removed, expected, ...folded !== undefined && { folded } });
      for (const [path, file] of own) this.stored.set(path, file);
      for (const [path, file] of given) this.add(path, file);
      for (const path of removed) this.drop(path);
    } catch (error) {
      // Whether it was made is not known, so what was uploaded stays.
      for (const path of paths) this.changed.add(path);
      if (error instanceof FileChangedError) await this.#giveUp(shared);
      throw error;
    }
  }

  /** Copies files to the database: all of them or none. `removed` are those that are gone here. */
  protected async upload(
    paths: string[],
    signal?: AbortSignal,
  ): Promise<{ added: Map<string, StoredFile>; removed: string[] }> {
    const added = new Map<string, StoredFile>();
    const removed: string[] = [];
    for (const path of paths) {
      try {
        added.set(path, await this.files.upload(realDisk, this.folder, path, signal));
      } catch (error) {
        if (codeOf(error) !== "ENOENT") {
          await this.files.discard([...added.values()].map(({ blob }) => blob));
          throw error;
        }
        removed.push(path);
      }
    }
    return { added, removed };
  }

  /** Takes the content of other replicas instead of our own. */
  async #giveUp(paths: string[]): Promise<void> {
    for (const path of paths) {
      this.changed.delete(path);
      this.drop(path);
      await rm(join(this.folder, path), { force: true });
      await this.fetch(path);
    }
  }

  #note(path: string): void {
    const below = this.#below(path);
    // Those who follow only have copies of the store's files, and remove what they do not need.
    if (!isKept(below) || (OF_STORE.test(below) && !this.decides())) return;
    this.absent.delete(below);
    this.changed.add(below);
  }

  #below(path: string): string {
    return relative(this.folder, path).replaceAll(sep, "/");
  }

  #publishIn(folder: string): Promise<void> {
    const below = this.#below(folder);
    return this.alone(below, () => this.commit([...this.changed].filter((path) => folderOf(path) === below)));
  }

  async #removeFolder(path: string): Promise<void> {
    await realDisk.removeFolder(path);
    const folder = this.#below(path);
    const below = `${folder}/`;
    for (const changed of this.changed) if (changed.startsWith(below)) this.changed.delete(changed);
    // Other replicas may have added some.
    const stored = [...(await this.files.listBelow(folder)).keys()];
    for (const path of [...this.stored.keys()]) if (path.startsWith(below)) this.drop(path);
    if (stored.length > 0) await this.alone(folder, () => this.commit(stored));
  }

  /** The names in a folder, here or in the database. */
  async #list(folder: string): Promise<string[]> {
    const below = this.#below(folder);
    const inside = below === "" ? "" : `${below}/`;
    const paths = below !== "" && OF_RUNS.test(inside)
      ? (await this.files.listBelow(below)).keys()
      : [...this.absent].filter((path) => path.startsWith(inside));
    const stored = [...paths].map((path) => path.slice(inside.length).split("/")[0]);
    const here = await realDisk.list(folder).catch((error) => {
      // It may have been made on another machine.
      if (codeOf(error) === "ENOENT" && stored.length > 0) return [];
      throw error;
    });
    return [...new Set([...here, ...stored])];
  }

  /** Brings the newest content of a file that somebody wants to read. */
  async #find(path: string): Promise<void> {
    const below = this.#below(path);
    if (!OF_RUNS.test(below)) return await this.fetch(below);
    try {
      await this.refresh(below);
    } catch (error) {
      // Without the database it is read as it is here.
      if (this.absent.has(below) || !this.stored.has(below)) throw error;
    }
  }

  #asDisk(): Disk {
    const changing = async (path: string, opening: Promise<DiskFile>): Promise<DiskFile> => {
      const file = await opening;
      this.#note(path);
      // The database keeps what is durable.
      return { write: (bytes) => file.write(bytes), sync: () => Promise.resolve(), close: () => file.close() };
    };
    return {
      mkdir: async (path) => void await mkdir(path, { recursive: true, mode: 0o700 }),
      list: (folder) => this.#list(folder),
      read: async (path) => {
        await this.#find(path);
        return await realDisk.read(path);
      },
      open: async (path) => {
        await this.#find(path);
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
        if (!this.absent.has(this.#below(path))) await realDisk.remove(path);
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

/** The folder of a file of the data folder; empty for the data folder itself. */
export function folderOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}
