import { createHmac } from "node:crypto";
import { chmod, stat } from "node:fs/promises";
import { join } from "node:path";
import { platform } from "node:process";
import { type StoredHook, Vault } from "../connections/vault.ts";
import type { Clock } from "../host/clock.ts";
import type { Disk } from "../host/disk.ts";
import { acquireLock, type FolderLock, lockedDisk } from "../host/lock.ts";
import { dataFolderKey } from "../host/private_file.ts";
import { RunFiles } from "../host/run_files.ts";
import { Uploads } from "../host/uploads.ts";
import { messageOf, UsageError } from "../model/errors.ts";
import type { OpenDatabase } from "../database/open_database.ts";
import { openStore } from "../store/open_store.ts";
import type { Store } from "../store/store.ts";
import { CauseSigner } from "../ingest/cause.ts";

/** The mark that a store has after the program has worked on it. */
const BEGUN = { rule: "", trigger: "begun" };

/** A data folder that this program holds. */
export interface DataFolder {
  store: Store;
  signer: CauseSigner;
  /** The tokens of connections, sealed. */
  vault: Vault;
  /** The secrets that webhooks got in handshakes, sealed. */
  hookVault: Vault<StoredHook>;
  /** The files that runs have saved. */
  files: RunFiles;
  /** The files that came with events. */
  uploads: Uploads;
  /** A key of this folder for one purpose: signatures made with it are not valid elsewhere. */
  keyFor(purpose: string): Uint8Array;
  /** True if no program has worked on this store: nothing is known of earlier passes. */
  isNew(): Promise<boolean>;
  /** Marks it as not new. */
  begin(): Promise<void>;
  /** Resolves within a second after the folder is deleted or replaced; from then on nothing is saved. */
  lost: Promise<Error>;
  /** Closes the store and releases the folder. */
  close(): Promise<void>;
}

/** The options for opening a data folder. */
export interface DataFolderOptions {
  path: string;
  clock: Clock;
  disk: Disk;
  /** Where its files are durable, if that is not the disk. */
  database?: OpenDatabase;
  onWarning: (message: string) => void;
}

/**
 * Takes a data folder: one program at a time.
 * @throws UsageError if another program holds it, or it cannot be created or written
 */
export async function openDataFolder(options: DataFolderOptions): Promise<DataFolder> {
  const { path, clock, database, onWarning } = options;
  const disk = database?.folder.disk ?? options.disk;
  await disk.mkdir(path).catch((error) => {
    throw new UsageError(
      `Cannot create the data folder ${path}: ${messageOf(error)}; name another with --data`,
    );
  });
  await makePrivate(path, onWarning);
  const lock = acquireLock(path);
  if (lock === undefined) {
    throw new UsageError(
      `Cannot use the data folder ${path}: another whenthen is running on it; stop it, or choose another with --data`,
    );
  }
  try {
    await database?.folder.load();
    await probe(path, disk);
    const held = database ? heldBoth(lock, database) : lock;
    const elsewhere = database && { elsewhere: database.elsewhere };
    const store = await openStore({ folder: path, disk, lock: held, onWarning, now: clock.now(), ...elsewhere });
    const key = await dataFolderKey(path, disk);
    const signer = new CauseSigner(key);
    const lockedFiles = lockedDisk(disk, held);
    const vault = await Vault.open(path, lockedFiles, onWarning);
    const hookVault = await Vault.open<StoredHook>(path, lockedFiles, onWarning, "hooks");
    const files = new RunFiles(join(path, "files"), lockedFiles);
    const uploads = new Uploads(join(path, "files"), files, lockedFiles);
    await files.removePrivate();
    const watch = watchLock(held);
    return {
      store,
      signer,
      vault,
      hookVault,
      files,
      uploads,
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
        await database?.close();
      },
    };
  } catch (error) {
    lock.release();
    throw error;
  }
}

/** Both the folder on this machine and the database behind it must be ours. */
function heldBoth(lock: FolderLock, { lease }: Pick<OpenDatabase, "lease">): Held {
  return {
    get lost() {
      return lock.lost ?? lease.lost;
    },
    assertHeld() {
      lock.assertHeld();
      lease.assertHeld();
    },
  };
}

type Held = Pick<FolderLock, "assertHeld" | "lost">;

/** Milliseconds between two checks of the folder. */
const LOOK = 1_000;

/** Uses the machine's own time: a folder can be lost whatever the time of a test is. */
function watchLock(lock: Held): { lost: Promise<Error>; end(): void } {
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

/** It contains data as received, and secrets if rules put them into data: only its user may read it. */
async function makePrivate(folder: string, onWarning: (message: string) => void): Promise<void> {
  const { mode } = await stat(folder);
  if (platform === "win32" || (mode & 0o077) === 0) return;
  try {
    await chmod(folder, 0o700);
  } catch (error) {
    onWarning(`The data folder ${folder} can be read by others, and its mode cannot be changed: ${messageOf(error)}`);
  }
}

/** A generous estimate of the disk space for the first commits of a program. */
const PROBE_BYTES = 64 * 1024;

/**
 * Detects a disk that accepts no writes before anything starts. Later a commit would wait for the disk, and the start would hang
 * without a message.
 */
async function probe(folder: string, disk: Disk): Promise<void> {
  const path = join(folder, "probe");
  try {
    // A killed program may have left one.
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
    throw new UsageError(`Cannot write to the data folder ${folder}: ${why}; free space, or name another with --data`);
  }
}
