import { readdir, rename, rm } from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import { realDisk } from "../host/disk.ts";
import { acquireLock } from "../host/lock.ts";
import { messageOf, UsageError } from "../model/errors.ts";
import { openStore } from "../store/open_store.ts";
import { connect, isDatabaseUrl, shownUrl } from "./connection.ts";
import type { Sql } from "./pool.ts";
import { DatabaseFolder } from "./database_folder.ts";
import { DatabaseLog } from "./database_log.ts";
import { isKept } from "./kept_files.ts";
import { DEAD, takeLease } from "./lease.ts";
import { type StoredFile, StoredFiles } from "./stored_files.ts";

/** What was moved. */
export interface Moved {
  files: number;
  bytes: number;
}

/**
 * Copies all state from a folder to a database, or back, whole or not at all. The source stays as it is.
 * @param from a folder, absolute, or a URL
 * @param to the other one; without state
 * @throws UsageError if a program uses one of them, or the second one has state already
 */
export async function moveData(from: string, to: string, onWarning: (message: string) => void): Promise<Moved> {
  if (isDatabaseUrl(from) === isDatabaseUrl(to)) {
    throw new UsageError(
      "Cannot move: one of the two places must be a folder, the other one a database (postgres://…)",
    );
  }
  return isDatabaseUrl(to) ? await intoDatabase(from, to, onWarning) : await intoFolder(from, to);
}

async function intoDatabase(folder: string, url: string, onWarning: (message: string) => void): Promise<Moved> {
  const names = await realDisk.list(folder).catch((error) => {
    throw new UsageError(`Cannot read the data folder ${folder}: ${messageOf(error)}`);
  });
  if (!names.includes("key")) throw new UsageError(`Cannot move ${folder}: it is not a data folder of whenthen`);
  const lock = acquireLock(folder);
  if (lock === undefined) throw inUse(`the data folder ${folder}`);
  try {
    await foldAll(folder, onWarning);
    return await withDatabase(url, async (files) => {
      if ((await files.list()).size > 0) {
        throw new UsageError(`Cannot move to the database ${shownUrl(url)}: it has state already`);
      }
      const added = new Map<string, StoredFile>();
      for (const path of await pathsIn(folder)) added.set(path, await files.upload(realDisk, folder, path));
      await files.commit({ added, removed: [] });
      return countOf([...added.values()]);
    });
  } finally {
    lock.release();
  }
}

/** Afterwards no frame is in the log alone. */
async function foldAll(folder: string, onWarning: (message: string) => void): Promise<void> {
  const store = await openStore({ folder, onWarning, now: Date.now() });
  try {
    await store.checkpoint();
  } finally {
    await store.close();
  }
}

async function intoFolder(url: string, folder: string): Promise<Moved> {
  const there = await readdir(folder).catch(() => []);
  if (there.length > 0) throw new UsageError(`Cannot move to ${folder}: it is not empty; name a new folder`);
  const draft = `${folder}.moving`;
  await rm(draft, { recursive: true, force: true });
  await realDisk.mkdir(draft);
  try {
    const moved = await withDatabase(url, async (files, log) => {
      const stored = await files.list();
      if (stored.size === 0) throw new UsageError(`Cannot move from the database ${shownUrl(url)}: it has no state`);
      const source = new DatabaseFolder(draft, files, log, () => true);
      await source.load();
      for (const path of stored.keys()) await source.fetch(path);
      return countOf([...stored.values()]);
    });
    for (const path of await pathsIn(draft, () => true)) {
      await realDisk.syncFile(join(draft, path));
      await realDisk.syncFolder(dirname(join(draft, path)));
    }
    await rm(folder, { recursive: true, force: true });
    await rename(draft, folder);
    await realDisk.syncFolder(dirname(folder));
    return moved;
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

async function withDatabase(
  url: string,
  work: (files: StoredFiles, log: DatabaseLog) => Promise<Moved>,
): Promise<Moved> {
  const sql = await connect(url);
  try {
    const onHeld = (isAlive: boolean) => {
      if (isAlive) throw inUse(`the database ${shownUrl(url)}`);
    };
    const lease = await takeLease(sql, { onHeld });
    try {
      await assertUnused(sql, url);
      return await work(new StoredFiles(sql, () => lease), new DatabaseLog(sql, () => lease));
    } finally {
      await lease.release();
    }
  } finally {
    await sql.end({ timeout: 1 });
  }
}

/** Without the lease a replica still takes files, and sends calls that wait for the next one that decides. */
async function assertUnused(sql: Sql, url: string): Promise<void> {
  const [{ alive, waiting }] = await sql.unsafe(`
    select exists (
      select from whenthen.replicas where not fenced and clock_timestamp() - beaten < interval '${DEAD} milliseconds'
    ) as alive, exists (select from whenthen.inbox) as waiting`);
  if (alive) throw inUse(`the database ${shownUrl(url)}`);
  if (!waiting) return;
  const remedy = "start whenthen on it once, and stop it";
  throw new UsageError(`Cannot move the database ${shownUrl(url)}: its last whenthen has left work undone; ${remedy}`);
}

/** The files below a folder that are kept in a database, with slashes. */
async function pathsIn(folder: string, isWanted: (path: string) => boolean = isKept): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true });
  const paths = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => {
    return relative(folder, join(parentPath, name)).replaceAll(sep, "/");
  });
  return paths.filter(isWanted);
}

function countOf(files: StoredFile[]): Moved {
  return { files: files.length, bytes: files.reduce((sum, { bytes }) => sum + bytes, 0) };
}

function inUse(place: string): UsageError {
  return new UsageError(`Cannot move ${place}: a whenthen works on it; stop it first`);
}
