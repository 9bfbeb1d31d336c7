import { randomBytes } from "node:crypto";
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

/**
 * The data folder's own key, made on first use and readable by its owner only. Signs what must be recognised again
 * after a restart.
 * @returns 32 bytes
 */
export async function dataFolderKey(dataFolder: string): Promise<Uint8Array> {
  const path = join(dataFolder, "key");
  const known = await readFile(path).catch(() => undefined);
  if (known?.length === 32) return known;
  const key = randomBytes(32);
  await writePrivate(path, key);
  return key;
}

/** Replaces a file in one step; only its owner can read it. */
export async function writePrivate(path: string, content: Uint8Array | string): Promise<void> {
  const temporary = `${path}.new`;
  await rm(temporary, { force: true });
  await writeFile(temporary, content, { mode: 0o600, flag: "wx" });
  await rename(temporary, path);
}
