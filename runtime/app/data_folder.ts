import { createHmac } from "node:crypto";
import { chmod, stat } from "node:fs/promises";
import { join } from "node:path";
import { platform } from "node:process";
import type { Clock } from "../host/clock.ts";
import type { Disk } from "../host/disk.ts";
import { acquireLock, type FolderLock } from "../host/lock.ts";
import { dataFolderKey } from "../host/private_file.ts";
import { messageOf, UsageError } from "../model/errors.ts";
import { openStore } from "../store/open_store.ts";
import type { Store } from "../store/store.ts";
import { CauseSigner } from "../ingest/cause.ts";

/** The mark of a store that a whenthen has worked on. */
const BEGUN = { rule: "", trigger: "begun" };

/** A data folder in the hands of this program. */
export interface DataFolder {
  store: Store;
  signer: CauseSigner;
  /** This folder's own key for one purpose: what is signed with it means nothing anywhere else. */
  keyFor(purpose: string): Uint8Array;
  /** True where no whenthen has worked on this store: nothing is known of earlier passes. */
  isNew(): Promise<boolean>;
  /** From here on it is not new any more. */
  begin(): Promise<void>;
  /** Resolves if the folder is deleted or replaced, within a second: nothing is saved any more. */
  lost: Promise<Error>;
  /** Closes the store and gives the folder back. */
  close(): Promise<void>;
}

/** What a data folder is opened with. */
export interface DataFolderOptions {
  path: string;
  clock: Clock;
  disk: Disk;
  onWarning: (message: string) => void;
}

/**
 * Takes a data folder: one program at a time.
 * @throws UsageError where another program holds it, or it cannot be made or written to
 */
export async function openDataFolder(options: DataFolderOptions): Promise<DataFolder> {
  const { path, clock, disk, onWarning } = options;
  await disk.mkdir(path).catch((error) => {
    throw new UsageError(`Cannot make the data folder ${path}: ${(error as Error).message}; name another with --data`);
  });
  await makePrivate(path, onWarning);
  const lock = acquireLock(path);
  if (lock === undefined) {
    throw new UsageError(
      `Cannot use the data folder ${path}: another whenthen is running on it; stop it, or choose another with --data`,
    );
  }
  try {
    await probe(path, disk);
    const store = await openStore({ folder: path, disk, lock, onWarning, now: clock.now() });
    const key = await dataFolderKey(path, disk);
    const signer = new CauseSigner(key);
    const watch = watchLock(lock);
    return {
      store,
      signer,
      keyFor: (purpose) => createHmac("sha256", key).update(purpose).digest(),
      isNew: async () => await store.getMark(BEGUN) === undefined,
      async begin() {
        const now = clock.now();
        await store.accept([], [{ ...BEGUN, mark: now }], now);
      },
      lost: watch.lost,
      async close() {
        watch.end();
        await store.close();
        lock.release();
      },
    };
  } catch (error) {
    lock.release();
    throw error;
  }
}

/** Milliseconds between two looks at the folder. */
const LOOK = 1_000;

/** By the machine's own time: a folder is lost whatever time a test says it is. */
function watchLock(lock: FolderLock): { lost: Promise<Error>; end(): void } {
  const { promise, resolve } = Promise.withResolvers<Error>();
  const timer = setInterval(() => {
    try {
      lock.assertHeld();
    } catch (error) {
      clearInterval(timer);
      resolve(error as Error);
    }
  }, LOOK);
  return { lost: promise, end: () => clearInterval(timer) };
}

/** What is in it is data as it came, secrets that rules made data of included: only its user may read it. */
async function makePrivate(folder: string, onWarning: (message: string) => void): Promise<void> {
  const { mode } = await stat(folder);
  if (platform === "win32" || (mode & 0o077) === 0) return;
  try {
    await chmod(folder, 0o700);
  } catch (error) {
    onWarning(`The data folder ${folder} can be read by others, which cannot be changed: ${messageOf(error)}`);
  }
}

/** What the first commits of a program take on disk, generously. */
const PROBE_BYTES = 64 * 1024;

/**
 * A disk that takes nothing is found out before anything begins: later a commit waits for it, and a program that starts would
 * hang without a word to whoever started it.
 */
async function probe(folder: string, disk: Disk): Promise<void> {
  const path = join(folder, "probe");
  try {
    // A program that was killed may have left one.
    if ((await disk.list(folder)).includes("probe")) await disk.remove(path);
    const file = await disk.create(path);
    try {
      await file.write(new Uint8Array(PROBE_BYTES));
      await file.sync();
    } finally {
      await file.close();
      await disk.remove(path);
    }
    await disk.syncFolder(folder);
  } catch (error) {
    const why = messageOf(error);
    throw new UsageError(`Cannot write to the data folder ${folder}: ${why}; make room, or name another with --data`);
  }
}
