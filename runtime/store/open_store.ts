import { Worker } from "node:worker_threads";
import { type Disk, noDisk, readOnlyDisk, realDisk } from "../host/disk.ts";
import { type FolderLock, type FolderLostError, lockedDisk } from "../host/lock.ts";
import { DAY } from "../model/duration.ts";
import { Background, storeTasks } from "./background.ts";
import type { StoreSettings } from "./decider.ts";
import type { Elsewhere } from "./elsewhere.ts";
import { LedgerStore } from "./ledger_store.ts";
import { openDecider, type StoreHost } from "./open_decider.ts";
import { openSharedStore } from "./shared/shared_ledger_store.ts";
import type { SharedStore } from "./shared_store.ts";
import type { Retention, Store } from "./store.ts";

/** Options of `openStore`. */
export interface StoreOptions {
  /** The folder of its files; created if missing. */
  folder: string;
  /** @default the machine's disk */
  disk?: Disk;
  /** The lock of the folder. After it is lost, every change fails. */
  lock?: Pick<FolderLock, "assertHeld" | "lost">;
  /** Where the files are durable, if that is not the disk; other programs may share the store there. */
  elsewhere?: Elsewhere;
  /** Another program that shares the store decides. @default false */
  follow?: boolean;
  /** Called when this program can no longer follow and must open the store anew. */
  onLost?: (error: FolderLostError) => void;
  /** Milliseconds that an event waits for its decision before it is refused. @default 10 s */
  intakeTimeout?: number;
  /** If the files are durable elsewhere: the disk with the copy, for threads. @default the machine's disk */
  copy?: Disk;
  /** Called with problems that an operator must know about: a store set aside, failed writes. */
  onWarning: (message: string) => void;
  /** Keeps the store in memory only; it is lost when the program ends. @default false */
  volatile?: boolean;
  /** Only reads the files: all changes stay in memory and are lost. @default false */
  readOnly?: boolean;
  /** Milliseconds since the epoch; part of the name of the folder for a damaged store that is set aside. */
  now: number;
}

/** 1 GB of history, 30 days, 256 MB of live state. */
const DEFAULT_RETENTION: Retention = {
  bytes: 1024 * 1024 * 1024,
  identities: 30 * DAY,
  live: 256 * 1024 * 1024,
};

/**
 * Opens the store of a data folder in the state of its last durable frame.
 * @throws UsageError if an older or newer version of the program wrote it
 */
export async function openStore(options: StoreOptions & { elsewhere: Elsewhere }): Promise<SharedStore>;
export async function openStore(options: StoreOptions): Promise<Store>;
export async function openStore(options: StoreOptions): Promise<Store> {
  const { folder, lock, elsewhere, onWarning, now, readOnly = false, disk: given = realDisk } = options;
  const volatile = options.volatile || readOnly;
  const base = readOnly ? readOnlyDisk(given) : volatile ? noDisk : given;
  const disk = lock ? lockedDisk(base, lock) : base;
  const assertHeld = () => lock?.assertHeld();
  const place = elsewhere ? options.copy ?? realDisk : base;
  const own = { disk: place, folder, assertHeld, tasks: storeTasks, startWorker };
  const background = () => new Background({ ...own, elsewhere });
  const settings: StoreSettings = {
    retention: DEFAULT_RETENTION,
    own: { hasListener: () => false, onNotice() {} },
  };
  const host: StoreHost = {
    folder,
    disk,
    ...elsewhere && { elsewhere },
    // Folds take long, so reads have a separate thread.
    folds: background(),
    reads: background(),
    orderedFolds: new Background(own),
    settings,
    onWarning,
    volatile,
    now,
  };
  if (elsewhere === undefined) return new LedgerStore(await openDecider(host));
  const { follow = false, onLost, intakeTimeout } = options;
  return await openSharedStore(host, {
    elsewhere,
    follow,
    ...onLost && { onLost },
    ...intakeTimeout !== undefined && { intakeTimeout },
  });
}

function startWorker(): Worker {
  return new Worker(new URL("./store_worker.ts", import.meta.url));
}
