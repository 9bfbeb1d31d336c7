import { stat } from "node:fs/promises";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import { isIgnored, isRuleFile } from "../../runtime/folder/folder_files.ts";
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
function placeOf(data: string): Pick<Folders, "data" | "database"> {
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

/** A rules folder to check, and which of its files, relative to it; all if that is undefined. */
export interface CheckTarget extends Folders {
  files?: string[];
}

/**
 * What `check` checks: a rules folder, or files, each with its rules folder.
 * @param paths of one folder, or of files
 * @throws UsageError if one is neither, or no rule can be in it
 */
export async function targetsToCheck(
  paths: string[],
  options: { folder?: string; data?: string },
): Promise<CheckTarget[]> {
  if (paths.length === 0 || (paths.length === 1 && !await isFile(paths[0]) && !isRuleFile(paths[0]))) {
    return [await foldersToLoad(paths[0] ?? options.folder, options.data)];
  }
  const targets = new Map<string, CheckTarget & { files: string[] }>();
  for (const path of paths) {
    if (await isFolder(resolve(path))) {
      throw new UsageError(`Cannot check the folder "${path}" besides others: name one folder, or files`);
    }
    if (!await isFile(path)) throw new UsageError(`Cannot find the file "${path}" (${resolve(path)})`);
    const folder = options.folder ?? await rulesFolderOf(resolve(path));
    const folders = await foldersToLoad(folder, options.data);
    const file = relative(folders.folder, resolve(path)).split(sep).join("/");
    expectRuleFile(path, file, folder);
    const target = targets.get(folders.folder) ?? { ...folders, files: [] };
    targets.set(folders.folder, target);
    target.files.push(file);
  }
  return [...targets.values()];
}

/** @param file the path in the folder */
function expectRuleFile(path: string, file: string, folder: string): void {
  const reason = file.startsWith("../")
    ? `it is not in the rules folder ${folder}; name its folder with --folder`
    : /\.test\.ts$/.test(file)
    ? "it has tests; run them with: whenthen test"
    : !isRuleFile(file)
    ? "a rules folder has *.yaml, *.yml and *.ts files"
    : file.split("/").some((name) => isIgnored(name, []))
    ? "hidden files and node_modules are not read as rules"
    : undefined;
  if (reason !== undefined) throw new UsageError(`Cannot check "${path}": ${reason}`);
}

/**
 * The rules folder that a file belongs to: the nearest one above it that is called "rules", has a `whenthen.yaml`, or was run
 * with a data folder beside it; else the file's own folder.
 */
async function rulesFolderOf(path: string): Promise<string> {
  for (let folder = dirname(path);; folder = dirname(folder)) {
    if (basename(folder) === RULES || await isFile(join(folder, "whenthen.yaml"))) return folder;
    const known = await readAddress(join(dirname(folder), DATA)).catch(() => undefined);
    if (known?.folder === folder) return folder;
    if (folder === dirname(folder)) return dirname(path);
  }
}

async function isFile(path: string): Promise<boolean> {
  const facts = await stat(path).catch(() => undefined);
  return facts?.isFile() ?? false;
}
