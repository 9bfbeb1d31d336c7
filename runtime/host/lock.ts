import { chmodSync, statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { codeOf, messageOf, UsageError } from "../model/errors.ts";
import type { Disk, DiskFile } from "./disk.ts";

/** The data folder is not the one that was locked: further writes would be lost, or go to another program's folder. */
export class FolderLostError extends Error {
  override name = "FolderLostError";
}

/**
 * Makes this the only runtime of a data folder, by an exclusive SQLite transaction on `<folder>/lock`. The operating
 * system releases it with the process, however that ends. No pid is compared, so containers where every pid is 1 are safe.
 * @returns the lock, or undefined if another runtime holds it
 * @throws UsageError if the folder does not exist or is not writable
 */
export function acquireLock(folder: string): FolderLock | undefined {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(join(folder, "lock"));
    database.exec("BEGIN EXCLUSIVE");
    chmodSync(join(folder, "lock"), 0o600);
    return new FolderLock(folder, database);
  } catch (error) {
    database?.close();
    // The hosts agree on SQLite's message, not on error codes.
    if (error instanceof Error && error.message.includes("database is locked")) return undefined;
    const why = `${messageOf(error)}; expected a writable folder`;
    throw new UsageError(`Cannot lock the data folder ${JSON.stringify(folder)}: ${why}`, { cause: error });
  }
}

/** A locked data folder. The lock is on an inode, so it does not cover a different folder that later appears at the path. */
export class FolderLock {
  readonly #paths: string[];
  readonly #locked: string[];
  #lost: FolderLostError | undefined;
  #isReleased = false;

  constructor(private readonly folder: string, private readonly database: DatabaseSync) {
    this.#paths = [folder, join(folder, "lock")];
    this.#locked = this.#paths.map(inodeOf);
  }

  /** Set after {@link assertHeld} has found the folder lost; it stays lost. */
  get lost(): FolderLostError | undefined {
    return this.#lost;
  }

  /**
   * Checks the folder and its lock file: two `stat` calls.
   * @throws FolderLostError if one of them was deleted, moved away or replaced
   */
  assertHeld(): void {
    if (this.#lost === undefined && this.#isGone()) {
      this.#lost = new FolderLostError(
        `The data folder ${JSON.stringify(this.folder)} was deleted or replaced while the program runs`,
      );
    }
    if (this.#lost) throw this.#lost;
  }

  /** May be repeated. */
  release(): void {
    if (!this.#isReleased) this.database.close();
    this.#isReleased = true;
  }

  #isGone(): boolean {
    try {
      return this.#paths.some((path, index) => inodeOf(path) !== this.#locked[index]);
    } catch (error) {
      // A network file system may fail for a while, which does not mean that the folder is lost.
      return ["ENOENT", "ENOTDIR"].includes(codeOf(error) ?? "");
    }
  }
}

function inodeOf(path: string): string {
  const { dev, ino } = statSync(path, { bigint: true });
  return `${dev}:${ino}`;
}

/**
 * A disk that makes no changes if the folder is no longer the locked one. It checks before each change of the folder. An append to
 * an open file goes to the locked inode, and fails only after the folder is known to be lost.
 */
export function lockedDisk(disk: Disk, lock: Pick<FolderLock, "assertHeld" | "lost">): Disk {
  const held = <A extends unknown[], R>(act: (...args: A) => Promise<R>) => async (...args: A): Promise<R> => {
    lock.assertHeld();
    return await act(...args);
  };
  const appending = (file: DiskFile): DiskFile => ({
    async write(bytes) {
      if (lock.lost) throw lock.lost;
      await file.write(bytes);
    },
    sync: () => file.sync(),
    close: () => file.close(),
  });
  return {
    list: (folder) => disk.list(folder),
    read: (path) => disk.read(path),
    open: (path) => disk.open(path),
    syncFolder: (folder) => disk.syncFolder(folder),
    syncFile: (path) => disk.syncFile(path),
    ...disk.space && { space: (folder) => disk.space!(folder) },
    ...disk.scratch && {
      scratch: (path) => {
        lock.assertHeld();
        return disk.scratch!(path);
      },
    },
    mkdir: held((path) => disk.mkdir(path)),
    create: held(async (path) => appending(await disk.create(path))),
    append: held(async (path) => appending(await disk.append(path))),
    truncate: held((path, length) => disk.truncate(path, length)),
    rename: held((from, to) => disk.rename(from, to)),
    remove: held((path) => disk.remove(path)),
    removeFolder: held((path) => disk.removeFolder(path)),
  };
}
