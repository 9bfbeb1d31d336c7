import { stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { readAddress } from "../../runtime/host/private_file.ts";
import { placePrebuilt, type Prebuilt } from "../../runtime/folder/typescript/typescript_files.ts";
import { isDatabaseUrl, localFolderOf } from "../../runtime/database/connection.ts";
import { UsageError } from "../../runtime/model/errors.ts";
import { type OwnFolder, ownFolder, unpackFolder } from "../build/packed_folder.ts";

/** The rules folder and the data folder, both absolute. */
export interface Folders {
  folder: string;
  data: string;
  /** The URL of the database that is given as `--data`; the data folder is its copy on this machine then. */
  database?: string;
  /** The TypeScript files of the folder packed into this program. */
  prebuilt?: Prebuilt;
}

const RULES = "rules";
/** The default data folder of commands. */
export const DATA = ".whenthen";

/**
 * The folders of a command that loads rules.
 * @param given @default the folder packed into this program, else "rules"
 * @param data @default ".whenthen" beside the rules folder; in the current one for a packed folder
 * @throws UsageError if there is no such rules folder
 */
export async function foldersToLoad(given?: string, data?: string): Promise<Folders> {
  const own = await ownFolder();
  if (given === undefined && own) return await unpacked(own, placeOf(data ?? DATA));
  const folder = given ?? RULES;
  const absolute = resolve(folder);
  if (!await isFolder(absolute)) {
    throw new UsageError(
      `Cannot find the rules folder "${folder}" (${absolute}); make one with: whenthen init ${folder}`,
    );
  }
  return { folder: absolute, ...placeOf(data ?? join(dirname(absolute), DATA)) };
}

/** Where the state is: in a folder, or in a database with a copy on this machine. */
export function placeOf(data: string): Pick<Folders, "data" | "database"> {
  return isDatabaseUrl(data) ? { data: localFolderOf(data), database: data } : { data: resolve(data) };
}

/**
 * The folders of a command that reads events and runs. The rules are those packed into this program, or else those that the
 * data folder was last used with.
 * @throws UsageError if nothing has run yet
 */
export async function foldersInUse(data: string = DATA): Promise<Folders> {
  const place = placeOf(data);
  if (place.database === undefined && !await isFolder(place.data)) {
    throw new UsageError(
      `Cannot find the data folder "${data}" (${place.data}): nothing has run here yet; name another with --data, or start with: whenthen run`,
    );
  }
  const own = await ownFolder();
  if (own) return await unpacked(own, place);
  const address = await readAddress(place.data);
  const beside = place.database === undefined ? dirname(place.data) : "";
  return { folder: address?.folder ?? resolve(beside, RULES), ...place };
}

async function unpacked(own: OwnFolder, place: Pick<Folders, "data" | "database">): Promise<Folders> {
  const folder = await unpackFolder(own, join(place.data, "cache"));
  return { folder, ...place, prebuilt: placePrebuilt(own.prebuilt, folder) };
}

async function isFolder(path: string): Promise<boolean> {
  const facts = await stat(path).catch(() => undefined);
  return facts?.isDirectory() ?? false;
}
