import { lstat, mkdir } from "node:fs/promises";
import { getuid } from "node:process";
import type { Batch, Elsewhere, Exchange, LoggedFrame } from "../store/elsewhere.ts";
import { acquireLock } from "../host/lock.ts";
import { UsageError } from "../model/errors.ts";
import { newId } from "../model/id.ts";
import { connect, localFolderOf, shownUrl } from "./connection.ts";
import { DatabaseFolder } from "./database_folder.ts";
import { DatabaseLog } from "./database_log.ts";
import { type Lease, type LeaseOptions, takeLease } from "./lease.ts";
import { StoredFiles } from "./stored_files.ts";

/** A database that this program works on: no other one does. */
export interface OpenDatabase {
  /** The folder on this machine for its files. */
  path: string;
  folder: DatabaseFolder;
  lease: Lease;
  /** For the store. */
  elsewhere: Elsewhere;
  /** Hands the database over. */
  close(): Promise<void>;
}

/**
 * Connects to a database, and waits until no other program works on it.
 * @throws UsageError if it cannot be used; the signal's reason
 */
export async function openDatabase(url: string, options: LeaseOptions): Promise<OpenDatabase> {
  const sql = await connect(url);
  let lease: Lease | undefined;
  const close = async () => {
    // If it cannot be handed over, the next program takes it after some seconds.
    await lease?.release().catch(() => {});
    await sql.end({ timeout: 1 });
  };
  try {
    lease = await takeLease(sql, options);
    const log = new DatabaseLog(sql, lease);
    const path = await freeFolder(url);
    const folder = new DatabaseFolder(path, new StoredFiles(sql, lease), log);
    const elsewhere: Elsewhere = {
      name: `the database ${shownUrl(url)}`,
      append: (seq, frame) => log.append(seq, frame),
      publish: () => folder.publishStore(),
      fetch: (part) => folder.fetch(part),
      exchange: new NoExchange(),
    };
    return { path, folder, lease, elsewhere, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Nobody else works on the database yet. */
class NoExchange implements Exchange {
  readonly me = newId(Date.now());
  send(): Promise<void> {
    return Promise.reject(new Error("Cannot send: this program decides"));
  }
  receive(): Promise<Batch[]> {
    return new Promise(() => {});
  }
  rest(): Promise<Batch[]> {
    return Promise.resolve([]);
  }
  forget(): Promise<void> {
    return Promise.resolve();
  }
  async *tail(): AsyncIterable<LoggedFrame[]> {}
  applied(): void {}
}

/** How many programs on one machine may have had the database and not ended yet. */
const MOST_FOLDERS = 10;

/** The usual folder, or another one if a program that was stopped still holds that, or it belongs to somebody else. */
async function freeFolder(url: string): Promise<string> {
  const first = localFolderOf(url);
  for (let number = 1; number < MOST_FOLDERS; number++) {
    const path = number === 1 ? first : `${first}-${number}`;
    await mkdir(path, { recursive: true, mode: 0o700 });
    if (!await isOwn(path)) continue;
    const lock = acquireLock(path);
    lock?.release();
    if (lock !== undefined) return path;
  }
  throw new UsageError(
    `Cannot use the database ${
      shownUrl(url)
    }: ${first} and others like it are held by programs, or belong to other users`,
  );
}

async function isOwn(path: string): Promise<boolean> {
  const facts = await lstat(path);
  return facts.isDirectory() && (getuid === undefined || facts.uid === getuid());
}
