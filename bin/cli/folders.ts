import { stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { checkRulesFolder } from "../../runtime/app/data_folder.ts";
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

/** The options that name folders. */
interface FolderOptions {
  folder?: string;
  data?: string;
}

const RULES = "rules";
/** The default data folder of commands. */
export const DATA = ".whenthen";

/**
 * The folders of a command that loads rules.
 * @param name @default `folder`, else the folder packed into this program, else "rules"
 * @param options `data`: @default ".whenthen" beside the rules folder; in the current one for a packed folder
 * @throws UsageError if there is no such rules folder
 */
export async function foldersToLoad(name?: string, { folder: named, data }: FolderOptions = {}): Promise<Folders> {
  if (name !== undefined && named !== undefined && resolve(name) !== resolve(named)) {
    throw new UsageError(`Cannot use two rules folders, "${name}" and "${named}": name one of them`);
  }
  const given = name ?? named;
  const own = await ownFolder();
  if (given === undefined && own) return await unpacked(own, placeOf(data ?? DATA));
  const folder = await rulesFolder(given ?? RULES);
  return { folder, ...placeOf(data ?? join(dirname(folder), DATA)) };
}

/** Where the state is: in a folder, or in a database with a copy on this machine. */
export function placeOf(data: string): Pick<Folders, "data" | "database"> {
  return isDatabaseUrl(data) ? { data: localFolderOf(data), database: data } : { data: resolve(data) };
}

/**
 * The folders of a command that reads events and runs.
 * @param given `folder`: @default the folder packed into this program, else the one that the data folder was last used with.
 *   `data`: @default ".whenthen" beside the given folder, else in the current one
 * @throws UsageError if nothing has run yet, or the data folder has the state of other rules
 */
export async function foldersInUse(given: FolderOptions = {}): Promise<Folders> {
  const data = given.data ?? (given.folder === undefined ? DATA : join(dirname(resolve(given.folder)), DATA));
  const place = placeOf(data);
  if (place.database === undefined && !await isFolder(place.data)) {
    throw new UsageError(
      `Cannot find the data folder "${data}" (${place.data}): nothing has run here yet; name another with --data, or start with: whenthen run`,
    );
  }
  if (given.folder !== undefined) {
    const folders = { folder: await rulesFolder(given.folder), ...place };
    if (place.database === undefined) await checkRulesFolder(folders);
    return folders;
  }
  const own = await ownFolder();
  if (own) return await unpacked(own, place);
  const known = await readAddress(place.data);
  if (known !== undefined) return { folder: known.folder, ...place };
  // It may be in use on another machine, which comes first.
  if (place.database !== undefined) return { folder: join(place.data, RULES), ...place };
  throw new UsageError(
    `Cannot tell which rules the data folder ${place.data} belongs to, as it does not say: name their folder with --folder`,
  );
}

/** The rules folder with this name, absolute. @throws UsageError if there is none */
async function rulesFolder(name: string): Promise<string> {
  const absolute = resolve(name);
  if (await isFolder(absolute)) return absolute;
  throw new UsageError(`Cannot find the rules folder "${name}" (${absolute}); make one with: whenthen init ${name}`);
}

async function unpacked(own: OwnFolder, place: Pick<Folders, "data" | "database">): Promise<Folders> {
  const folder = await unpackFolder(own, join(place.data, "cache"));
  return { folder, ...place, prebuilt: placePrebuilt(own.prebuilt, folder) };
}

async function isFolder(path: string): Promise<boolean> {
  const facts = await stat(path).catch(() => undefined);
  return facts?.isDirectory() ?? false;
}
