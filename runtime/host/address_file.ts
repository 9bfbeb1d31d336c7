import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { writePrivate } from "./private_file.ts";

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
