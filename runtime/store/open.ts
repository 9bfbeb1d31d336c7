import process from "node:process";
import { type Disk, realDisk } from "../host/disk.ts";
import { noDisk } from "../host/no_disk.ts";
import { chooseDisk } from "../host/test_disk.ts";
import { Checkpointer } from "./sqlite/checkpoint.ts";
import { DEFAULT_RETENTION, Ids, newSweep } from "./sqlite/context.ts";
import { Journal } from "./sqlite/journal.ts";
import { CommitQueue } from "./sqlite/queue.ts";
import { recover } from "./sqlite/recover.ts";
import { SqliteStore } from "./sqlite/sqlite_store.ts";
import type { Store } from "./store.ts";

/** What a store is opened with. */
export interface StoreOptions {
  /** Where its files are; made where it is missing. */
  folder: string;
  /** @default the machine's disk */
  disk?: Disk;
  /** Takes secrets out of every text before it reaches the database or the journal. @default none are known */
  mask?: (text: string) => string;
  /** Told of what an operator must know: a store set aside, a disk that refuses writes. */
  onWarning: (message: string) => void;
  /** It lives in memory only: nothing of it is found again. @default false */
  volatile?: boolean;
  /** Milliseconds since the epoch; names the folder that a broken store is set aside into. */
  now: number;
}

/**
 * Opens the embedded store of a data folder, recovering what the journal holds.
 * @throws Error where a newer version of the program wrote it
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const { folder, onWarning, now, volatile = false } = options;
  const disk = volatile ? noDisk : options.disk ?? chooseDisk(realDisk, process.env.WHENTHEN_TEST_DISK);
  const mask = options.mask ?? ((text: string) => text);
  const { database, seq, segments, checkpoints, checkpointBytes, migrated } = await recover({
    disk,
    folder,
    mask,
    onWarning,
    now,
  });
  const journal = new Journal(seq, segments, { disk, folder, onWarning, onRefused: () => queue.refuseIntake() });
  const checkpointer = new Checkpointer(checkpoints, checkpointBytes, journal, { disk, folder, onWarning });
  const queue = new CommitQueue(database, journal, () => volatile || checkpointer.makeIfDue());
  const context = {
    database,
    ids: new Ids(database),
    retention: DEFAULT_RETENTION,
    sweep: newSweep(),
  };
  if (migrated) await checkpointer.make();
  return new SqliteStore({ context, queue, journal, checkpointer, onWarning, volatile });
}
