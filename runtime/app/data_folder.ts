import { createHmac } from "node:crypto";
import { chmod, stat } from "node:fs/promises";
import { basename, join, sep } from "node:path";
import { platform } from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { type StoredAttempt, type StoredHook, Vault } from "../connections/vault.ts";
import type { Clock } from "../host/clock.ts";
import type { Disk } from "../host/disk.ts";
import { acquireLock, type FolderLock, lockedDisk } from "../host/lock.ts";
import { dataFolderKey, readAddress, writeAddress } from "../host/private_file.ts";
import { RunFiles } from "../host/run_files.ts";
import { Uploads } from "../host/uploads.ts";
import { messageOf, UsageError } from "../model/errors.ts";
import type { OpenDatabase } from "../database/open_database.ts";
import { openStore } from "../store/open_store.ts";
import { type Store, StoreFullError } from "../store/store.ts";
import { CauseSigner } from "../ingest/cause.ts";
import { openReplica, type Replica } from "./replica.ts";

/** The mark that a store has after the program has worked on it. */
const BEGUN = { rule: "", trigger: "begun" };

/** The mark with the names of the secrets that rules have used: values of secrets are not in the store. */
const SECRET_NAMES = { rule: "", trigger: "secrets" };

/** Another program is running on the data folder. */
export class FolderHeldError extends UsageError {
  override name = "FolderHeldError";
}

/** A data folder that this program holds. */
export interface DataFolder {
  store: Store;
  /** This program among those that share the store; absent if it has the folder for itself. */
  replica?: Replica;
  signer: CauseSigner;
  /** The tokens of connections, sealed. */
  vault: Vault;
  /** The secrets that webhooks got in handshakes, sealed. */
  hookVault: Vault<StoredHook>;
  /** The attempts to connect, with what is sealed of them. */
  attemptVault: Vault<StoredAttempt>;
  /** Reads again what other replicas have changed in what is sealed. */
  followChanges(): Promise<void>;
  /** The files that runs have saved. */
  files: RunFiles;
  /** The files that came with events. */
  uploads: Uploads;
  /** A key of this folder for one purpose: signatures made with it are not valid elsewhere. */
  keyFor(purpose: string): Uint8Array;
  /** True if no program has worked on this store: nothing is known of earlier passes. */
  isNew(): Promise<boolean>;
  /** Records which rules it belongs to. */
  recordRules(): Promise<void>;
  /** Marks it as not new, and as that of its rules. */
  begin(): Promise<void>;
  /** The names of all secrets that rules have used; undefined if rules were only loaded by versions that did not note them. */
  secretNames(): Promise<string[] | undefined>;
  /** Notes the names of secrets that rules use, besides those noted before. */
  noteSecretNames(names: string[]): Promise<void>;
  /** Resolves within a second after the folder is deleted or replaced; from then on nothing is saved. */
  lost: Promise<Error>;
  /** Closes the store and releases the folder. */
  close(): Promise<void>;
}

/** The options for opening a data folder. */
export interface DataFolderOptions {
  path: string;
  /** The rules that it is used with. @default unknown: neither checked nor recorded */
  rules?: Omit<RulesPlace, "data">;
  clock: Clock;
  disk: Disk;
  /** Where its files are durable, if that is not the disk. */
  database?: OpenDatabase;
  onWarning: (message: string) => void;
}

/**
 * Takes a data folder: one program at a time, and always with the same rules.
 * @throws UsageError if another program holds it, it has the state of other rules, or it cannot be created or written
 */
export async function openDataFolder(options: DataFolderOptions): Promise<DataFolder> {
  const { path, clock, database, onWarning, rules } = options;
  const disk = database?.folder.disk ?? options.disk;
  await disk.mkdir(path).catch((error) => {
    throw new UsageError(
      `Cannot create the data folder ${path}: ${messageOf(error)}; name another with --data`,
    );
  });
  await makePrivate(path, onWarning);
  const lock = database?.lock ?? await lockWithin(HELD, path);
  if (lock === undefined) {
    throw new FolderHeldError(
      `Cannot use the data folder ${path}: another whenthen is running on it; stop it, or choose another with --data`,
    );
  }
  let store: Store | undefined;
  try {
    // The place in a database says nothing about the folders of other machines.
    if (rules !== undefined && database === undefined) await checkRulesFolder({ ...rules, data: path });
    await database?.folder.load();
    if (database) await awaitKey(path, database);
    await probe(path, disk);
    const held = database ? heldBoth(lock, database) : lock;
    const opening = { folder: path, disk, lock: held, onWarning, now: clock.now() };
    const replica = database && await openReplica(database, opening, clock);
    const opened = store = replica?.store ?? await openStore(opening);
    const key = await dataFolderKey(path, disk);
    const signer = new CauseSigner(key);
    const lockedFiles = lockedDisk(disk, held);
    const vault = await Vault.open(path, lockedFiles, onWarning, "connections", replica?.files);
    const hookVault = await Vault.open<StoredHook>(path, lockedFiles, onWarning, "hooks", replica?.files);
    const attemptVault = await Vault.open<StoredAttempt>(path, lockedFiles, onWarning, "attempts", replica?.files);
    const bring = database && ((folder: string) => database.folder.bring(`files/${folder.replaceAll(sep, "/")}`));
    const files = new RunFiles(join(path, "files"), lockedFiles, undefined, bring);
    // On a database, copies are on this machine, too.
    const space = options.disk.space && { space: options.disk.space };
    const kept = database && (() => database.uploadBytes());
    const uploads = new Uploads(join(path, "files"), files, { ...lockedFiles, ...space }, kept);
    await files.removePrivate();
    const watch = watchLock(held, replica?.failed);
    const recordRules = async () => {
      if (rules !== undefined) await recordRulesFolder({ ...rules, data: path });
    };
    return {
      store: opened,
      ...replica && { replica },
      signer,
      vault,
      hookVault,
      attemptVault,
      async followChanges() {
        await Promise.all([vault, hookVault, attemptVault].map((each) => each.followChanges()));
      },
      files,
      uploads,
      keyFor: (purpose) => createHmac("sha256", key).update(purpose).digest(),
      recordRules,
      isNew: async () => await opened.getMark(BEGUN) === undefined,
      async begin() {
        await recordRules();
        const mark = async () => {
          const now = clock.now();
          await opened.accept([], [{ ...BEGUN, mark: now }], now);
        };
        await (replica === undefined ? mark() : untilDecided(mark));
      },
      secretNames: async () => await opened.getMark(SECRET_NAMES) as string[] | undefined,
      async noteSecretNames(names) {
        const known = await opened.getMark(SECRET_NAMES) as string[] | undefined;
        const all = [...new Set([...known ?? [], ...names])];
        if (all.length === known?.length) return;
        await opened.accept([], [{ ...SECRET_NAMES, mark: all }], clock.now());
      },
      lost: watch.lost,
      async close() {
        watch.end();
        await replica?.stop();
        await opened.close();
        lock.release();
        await database?.close();
      },
    };
  } catch (error) {
    await store?.close();
    lock.release();
    throw error;
  }
}

/** The rules that a data folder is about to be used with. */
interface RulesPlace {
  /** The rules folder, absolute. */
  folder: string;
  data: string;
  /** Whether the rules were in another folder before, as somebody says. */
  moved?: boolean;
}

/**
 * Refuses a data folder with the state of other rules: runs would continue with rules of the same name, and what the other rules
 * wait for would be lost.
 * @throws UsageError
 */
export async function checkRulesFolder({ folder, data, moved = false }: RulesPlace): Promise<void> {
  const known = (await readAddress(data))?.folder;
  if (moved || known === undefined || (isUnpacked(known) && isUnpacked(folder))) return;
  const [before, now] = await Promise.all([known, folder].map(inodeOf));
  // A folder that is gone was moved or renamed.
  if (before === undefined || before === now) return;
  throw new UsageError(
    `Cannot use the data folder ${data} with ${describeRules(folder)}: it has the state of ${describeRules(known)}; ` +
      `name another data folder with --data, or if these rules have moved, start with: ${
        startOf(folder, data)
      } --moved`,
  );
}

/** Records which rules a data folder belongs to. */
async function recordRulesFolder({ folder, data }: RulesPlace): Promise<void> {
  if ((await readAddress(data))?.folder !== folder) await writeAddress(data, { folder });
}

function describeRules(folder: string): string {
  return isUnpacked(folder) ? "rules that are packed into the program" : `the rules in ${folder}`;
}

function startOf(folder: string, data: string): string {
  return `whenthen run${isUnpacked(folder) ? "" : ` ${folder}`} --data ${data}`;
}

/** Whether a folder was packed into the program: then its name is the hash of its content, and a newer one has another name. */
function isUnpacked(folder: string): boolean {
  return /^folder-[0-9a-f]{16}$/.test(basename(folder));
}

async function inodeOf(path: string): Promise<string | undefined> {
  const facts = await stat(path, { bigint: true }).catch(() => undefined);
  return facts && `${facts.dev}:${facts.ino}`;
}

/** For how long it waits for the lock: commands that open the folder themselves hold it for a fraction of that. */
const HELD = 3_000;
/** Milliseconds between two attempts to lock the folder. */
const AGAIN = 50;

/** Uses the machine's own time, as the lock is held by another process. */
async function lockWithin(ms: number, path: string): Promise<FolderLock | undefined> {
  const start = performance.now();
  for (;;) {
    const lock = acquireLock(path);
    if (lock !== undefined || performance.now() - start > ms) return lock;
    await sleep(AGAIN);
  }
}

/**
 * Of several replicas that start at once on a new database, the one that decides makes its key. Waits for that; if that one ends before,
 * this one decides.
 */
async function awaitKey(path: string, database: OpenDatabase): Promise<void> {
  const { folder } = database;
  const isThere = async () => {
    await folder.refresh("key");
    return (await folder.disk.list(path)).includes("key");
  };
  if (database.lease !== undefined || await isThere()) return;
  const stop = new AbortController();
  const deciding = database.decide(stop.signal).catch(() => {});
  try {
    while (database.lease === undefined && !await isThere()) await sleep(AGAIN);
  } finally {
    stop.abort();
    await deciding;
  }
  await folder.load();
}

/** Repeats what is refused while no replica decides. */
async function untilDecided(work: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof StoreFullError)) throw error;
      await sleep(error.retryAfter * 1_000);
    }
  }
}

/** The folder on this machine must be ours, and the database must take what this replica sends. */
function heldBoth(lock: FolderLock, database: OpenDatabase): Held {
  return {
    get lost() {
      return lock.lost ?? database.lost;
    },
    assertHeld() {
      lock.assertHeld();
      if (database.lost !== undefined) throw database.lost;
    },
  };
}

type Held = Pick<FolderLock, "assertHeld" | "lost">;

/** Milliseconds between two checks of the folder. */
const LOOK = 1_000;

/** Uses the machine's own time: a folder can be lost whatever the time of a test is. */
function watchLock(lock: Held, failed?: Promise<Error>): { lost: Promise<Error>; end(): void } {
  const { promise, resolve } = Promise.withResolvers<Error>();
  failed?.then(resolve);
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
