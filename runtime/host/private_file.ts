import { randomBytes } from "node:crypto";
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Disk, replaceFile } from "./disk.ts";

/**
 * The key of the data folder, created on first use and readable only by its owner. Its signatures must still be valid after a
 * restart, so the key is on disk before it signs anything.
 * @returns 32 bytes
 */
export async function dataFolderKey(dataFolder: string, disk: Disk): Promise<Uint8Array> {
  if ((await disk.list(dataFolder)).includes("key")) {
    const known = await disk.read(join(dataFolder, "key"));
    if (known.length === 32) return known;
  }
  const key = randomBytes(32);
  await replaceFile(disk, dataFolder, "key", key);
  return key;
}

/** Which rules a data folder belongs to, and how commands reach the running program. Only its owner can read it. */
export interface Address {
  /** The rules folder, absolute. */
  folder: string;
  /** Where the program listens; absent if the last one did not. */
  url?: string;
  /** A bearer token, new at each start of the program. */
  token?: string;
}

/** Writes the address of the program that holds the data folder, atomically. It stays when the program ends. */
export async function writeAddress(dataFolder: string, address: Address): Promise<void> {
  const path = join(dataFolder, FILE);
  const draft = `${path}.new`;
  await rm(draft, { force: true });
  await writeFile(draft, JSON.stringify(address) + "\n", { mode: 0o600, flag: "wx" });
  await rename(draft, path);
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
