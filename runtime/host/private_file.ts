import { randomBytes } from "node:crypto";
import { readFile, rename, rm, writeFile } from "node:fs/promises";
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
async function writePrivate(path: string, content: Uint8Array | string): Promise<void> {
  const temporary = `${path}.new`;
  await rm(temporary, { force: true });
  await writeFile(temporary, content, { mode: 0o600, flag: "wx" });
  await rename(temporary, path);
}

/** The address at which commands reach the running program. Only the owner of the data folder can read it. */
export interface Address {
  url: string;
  /** A bearer token, new at each start of the program. */
  token: string;
  /** The rules folder, absolute: a command loads it if the program no longer runs. */
  folder: string;
}

/** Writes the address of the program that holds the data folder. It stays when the program ends. */
export async function writeAddress(dataFolder: string, address: Address): Promise<void> {
  await writePrivate(join(dataFolder, FILE), JSON.stringify(address) + "\n");
}

/** The address of the program that holds, or last held, the data folder; undefined if there was none. */
export async function readAddress(dataFolder: string): Promise<Address | undefined> {
  try {
    return JSON.parse(await readFile(join(dataFolder, FILE), "utf8"));
  } catch {
    return undefined;
  }
}

const FILE = "address";
