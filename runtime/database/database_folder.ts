import { readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { realDisk } from "../host/disk.ts";
import type { FoldTask, UploadedFile } from "../store/fold_order.ts";
import { foldedSeq, sortFiles, superseded } from "../store/log/files.ts";
import { CopiedFiles, folderOf } from "./copied_files.ts";
import type { DatabaseLog } from "./database_log.ts";
import { LATE, OF_IDENTITIES, OF_STORE } from "./kept_files.ts";
import type { StoredFile, StoredFiles } from "./stored_files.ts";
import { writeSegment, writeSegments } from "./write_segments.ts";

/** What stays in the folder of an earlier start on this machine. */
const STAYS = /^(?:lock|cache)/;

/** A data folder whose files are in a database, with those of the store: for these see {@link loadStore}. */
export class DatabaseFolder extends CopiedFiles {
  /** @param decides whether this program decides at the moment: others do not change files of the store */
  constructor(folder: string, files: StoredFiles, private readonly log: DatabaseLog, decides: () => boolean) {
    super(folder, files, decides);
  }

  /** Fills the folder on this machine with the files of the database, except those of runs, and with the log as segments. */
  async load(): Promise<void> {
    for (const name of await readdir(this.folder)) {
      if (!STAYS.test(name)) await rm(join(this.folder, name), { recursive: true, force: true });
    }
    this.stored.clear();
    this.absent.clear();
    if (this.decides()) await this.files.removeAbandoned();
    await this.loadStore();
  }

  /**
   * Brings the files at the top, and the log as segments, to the state of the database. Files of runs stay as they are: runs may be
   * using them.
   */
  loadStore(): Promise<void> {
    return this.alone("", async () => {
      let top: string[];
      do {
        top = await this.#learn(await this.files.list());
        await this.fetchAll(top.filter((path) => !LATE.test(path)));
        // The one that decides replaces some meanwhile.
      } while (top.some((path) => !this.stored.has(path)));
      await writeSegments(this.folder, this.log, foldedSeq(sortFiles(top)));
      // The rows of parts are in the log: those that were made meanwhile, too.
      for (const [path, file] of await this.files.list()) {
        if (LATE.test(path) && !this.stored.has(path)) this.add(path, file);
      }
    });
  }

  /**
   * The same for a replica that has followed and decides from now on. It has the identities in memory, so their files, which may be large,
   * are downloaded only before the next merge. Nobody else changes the store meanwhile.
   */
  takeOver(): Promise<void> {
    return this.alone("", async () => {
      const top = await this.#learn(await this.files.list());
      await this.fetchAll(top.filter((path) => !LATE.test(path) && !OF_IDENTITIES.test(path)));
      await writeSegments(this.folder, this.log, foldedSeq(sortFiles(top)));
    });
  }

  /** Downloads the files at the top that a task needs and that are not on this machine. A fold only looks which bases and deltas there are. */
  fetchStore(task: FoldTask["name"], signal?: AbortSignal): Promise<void> {
    const isNeeded = (path: string) => !LATE.test(path) && (task === "merge" || !OF_IDENTITIES.test(path));
    return this.fetchAll([...this.absent].filter((path) => folderOf(path) === "" && isNeeded(path)), signal);
  }

  /** For one that follows: see {@link Elsewhere.prepareFold}. */
  prepareFold(task: FoldTask, signal: AbortSignal): Promise<void> {
    return this.alone("", async () => {
      const stored = await this.files.listStore();
      const first = task.name === "fold" ? task.args.firstSeq : Infinity;
      if (foldedSeq(sortFiles([...stored.keys()])) >= first) throw new Error(`Frame ${first} is folded already`);
      await this.#learn(stored, (path) => OF_STORE.test(path));
      await this.fetchStore(task.name, signal);
      if (task.name === "fold") await writeSegment(this.folder, this.log, task.args, signal);
    });
  }

  /** For one that follows: copies what a task has written to the database. It counts when the one that decides has published it. */
  uploadStore(signal: AbortSignal): Promise<UploadedFile[]> {
    return this.alone("", async () => {
      const { added } = await this.upload((await this.#storeHere()).filter((name) => !this.stored.has(name)), signal);
      for (const [path, file] of added) this.stored.set(path, file);
      return [...added].map(([path, file]) => ({ path, ...file }));
    });
  }

  /**
   * Copies what a fold or merge has written here to the database, adds what another replica has uploaded there, and removes what these
   * replace. Only for who decides.
   */
  publishStore(uploaded: UploadedFile[] = []): Promise<void> {
    return this.alone("", async () => {
      const given = new Map(uploaded.map(({ path, ...file }) => [path, file]));
      const here = new Set(await this.#storeHere());
      for (const name of here) if (!this.stored.has(name) && !given.has(name)) this.changed.add(name);
      const stored = namesOf([...this.stored.keys()]);
      const all = sortFiles([...new Set([...here, ...given.keys(), ...stored])]);
      const replaced = new Set(superseded(all));
      for (const name of stored) {
        if (replaced.has(name)) {
          // If another replica has made the merge, the file is still here.
          await rm(join(this.folder, name), { force: true });
          this.changed.add(name);
        } else if (!here.has(name) && !this.changed.has(name)) {
          // It was lost on this machine only.
          this.absent.add(name);
        }
      }
      await this.commit([...this.changed].filter((path) => folderOf(path) === ""), foldedSeq(all), given);
    });
  }

  /**
   * Takes over the list of the database, and removes what is here of the store and not there, or not whole.
   * @param isListed the files that are in the list if they are in the database
   * @returns the files at the top
   */
  async #learn(stored: Map<string, StoredFile>, isListed = (_path: string) => true): Promise<string[]> {
    const here = new Set(await realDisk.list(this.folder));
    for (const [path, { blob }] of this.stored) {
      if (isListed(path) && stored.get(path)?.blob !== blob) this.drop(path);
    }
    for (const name of here) {
      if (!OF_STORE.test(name)) continue;
      const path = join(this.folder, name);
      if (this.stored.get(name)?.bytes === (await stat(path)).size) continue;
      await realDisk.remove(path);
      here.delete(name);
    }
    for (const [path, file] of stored) {
      if (!this.stored.has(path) || (OF_STORE.test(path) && !here.has(path))) this.add(path, file);
    }
    return [...stored.keys()].filter((path) => !path.includes("/"));
  }

  /** The files of the store that are on this machine. */
  async #storeHere(): Promise<string[]> {
    return namesOf(await realDisk.list(this.folder));
  }
}

/** Those of the names that are files of the store. */
function namesOf(names: string[]): string[] {
  const { bases, deltas, ids, parts } = sortFiles(names);
  return [bases, deltas, ids, parts].flat().map(({ name }) => name);
}
