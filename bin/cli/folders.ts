import { stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { readAddress } from "../../runtime/host/private_file.ts";
import { placePrebuilt, type Prebuilt } from "../../runtime/folder/typescript/typescript_files.ts";
import { isDatabaseUrl, localFolderOf } from "../../runtime/database/connection.ts";
import { UsageError } from "../../runtime/model/errors.ts";
import { type OwnFolder, ownFolder, unpackFolder } from "../build/packed_folder.ts";

/** The rules folder and the data folder, both absolute; the data folder may be the URL of a database instead. */
export interface Folders {
  folder: string;
  data: string;
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
  if (given === undefined && own) return await unpacked(own, dataPlace(data ?? DATA));
  const folder = given ?? RULES;
  const absolute = resolve(folder);
  if (!await isFolder(absolute)) {
    throw new UsageError(
      `Cannot find the rules folder "${folder}" (${absolute}); make one with: whenthen init ${folder}`,
    );
  }
  return { folder: absolute, data: dataPlace(data ?? join(dirname(absolute), DATA)) };
}

function dataPlace(data: string): string {
  return isDatabaseUrl(data) ? data : resolve(data);
}

/**
 * The folders of a command that reads events and runs. The rules are those packed into this program, or else those that the
 * data folder was last used with.
 * @throws UsageError if nothing has run yet
 */
export async function foldersInUse(data: string = DATA): Promise<Folders> {
  const absolute = dataPlace(data);
  const onMachine = folderOnMachine(absolute);
  if (!isDatabaseUrl(data) && !await isFolder(absolute)) {
    throw new UsageError(
      `Cannot find the data folder "${data}" (${absolute}): nothing has run here yet; name another with --data, or start with: whenthen run`,
    );
  }
  const own = await ownFolder();
  if (own) return await unpacked(own, absolute);
  const address = await readAddress(onMachine);
  return { folder: address?.folder ?? resolve(isDatabaseUrl(data) ? "." : dirname(absolute), RULES), data: absolute };
}

async function unpacked(own: OwnFolder, data: string): Promise<Folders> {
  const folder = await unpackFolder(own, join(folderOnMachine(data), "cache"));
  return { folder, data, prebuilt: placePrebuilt(own.prebuilt, folder) };
}

/** The data folder, or the folder on this machine for the files of a database. */
export function folderOnMachine(data: string): string {
  return isDatabaseUrl(data) ? localFolderOf(data) : data;
}

async function isFolder(path: string): Promise<boolean> {
  const facts = await stat(path).catch(() => undefined);
  return facts?.isDirectory() ?? false;
}
