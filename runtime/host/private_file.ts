import { randomBytes } from "node:crypto";
import { rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Disk } from "./disk.ts";

/**
 * The key of the data folder, created on first use and readable only by its owner. Its signatures must still be valid after a
 * restart, so the key is on disk before it signs anything.
 * @returns 32 bytes
 */
export async function dataFolderKey(dataFolder: string, disk: Disk): Promise<Uint8Array> {
  const path = join(dataFolder, "key");
  const draft = `${path}.new`;
  const names = await disk.list(dataFolder);
  if (names.includes("key")) {
    const known = await disk.read(path);
    if (known.length === 32) return known;
  }
  const key = randomBytes(32);
  if (names.includes("key.new")) await disk.remove(draft);
  const file = await disk.create(draft);
  try {
    await file.write(key);
    await file.sync();
  } finally {
    await file.close();
  }
  await disk.rename(draft, path);
  await disk.syncFolder(dataFolder);
  return key;
}

/** Replaces a file atomically; only its owner can read it. */
export async function writePrivate(path: string, content: Uint8Array | string): Promise<void> {
  const temporary = `${path}.new`;
  await rm(temporary, { force: true });
  await writeFile(temporary, content, { mode: 0o600, flag: "wx" });
  await rename(temporary, path);
}
