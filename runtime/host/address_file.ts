import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { writePrivate } from "./private_file.ts";

/** Where a running program can be reached by commands; only the owner of the data folder can read it. */
export interface Address {
  url: string;
  /** A bearer token of this start of the program. */
  token: string;
  /** The rules folder, absolute: what a command loads where the program is not running any more. */
  folder: string;
}

/** Writes the address of the program that holds the data folder. It stays when the program ends. */
export async function writeAddress(dataFolder: string, address: Address): Promise<void> {
  await writePrivate(join(dataFolder, FILE), JSON.stringify(address) + "\n");
}

/** The address of the program that holds, or last held, the data folder; undefined where there was none. */
export async function readAddress(dataFolder: string): Promise<Address | undefined> {
  try {
    return JSON.parse(await readFile(join(dataFolder, FILE), "utf8"));
  } catch {
    return undefined;
  }
}

const FILE = "address";
