import { lstat, mkdir } from "node:fs/promises";
import { getuid } from "node:process";
import { acquireLock, type FolderLock } from "../host/lock.ts";
import { UsageError } from "../model/errors.ts";
import { localFolderOf, shownUrl } from "./connection.ts";

/** How many programs on one machine may work on one database. */
const MOST_FOLDERS = 20;

/**
 * Locks the usual folder, or another one like it if another program holds that, or it belongs to somebody else.
 * @throws UsageError if there are too many of them
 */
export async function lockFreeFolder(url: string): Promise<{ path: string; lock: FolderLock }> {
  const first = localFolderOf(url);
  for (let number = 1; number <= MOST_FOLDERS; number++) {
    const path = number === 1 ? first : `${first}-${number}`;
    await mkdir(path, { recursive: true, mode: 0o700 });
    const lock = await isOwn(path) ? acquireLock(path) : undefined;
    if (lock !== undefined) return { path, lock };
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
