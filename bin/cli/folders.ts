import { stat } from "node:fs/promises";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import { checkRulesFolder } from "../../runtime/app/data_folder.ts";
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
    return [await foldersToLoad(paths[0], options)];
  }
  const targets = new Map<string, CheckTarget & { files: string[] }>();
  for (const path of paths) {
    if (await isFolder(resolve(path))) {
      throw new UsageError(`Cannot check the folder "${path}" besides others: name one folder, or files`);
    }
    if (!await isFile(path)) throw new UsageError(`Cannot find the file "${path}" (${resolve(path)})`);
    const folder = options.folder ?? await rulesFolderOf(resolve(path));
    const folders = await foldersToLoad(folder, { data: options.data });
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
