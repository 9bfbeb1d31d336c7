import { join, relative, sep } from "node:path";
import { env, env as environment } from "node:process";
import { faultOfProgram, programOf } from "../actions/call.ts";
import { logCode } from "../engine/run_log.ts";
import { stepKinds } from "../engine/steps/index.ts";
import { calleeOf, callsInRaw } from "../folder/calls.ts";
import { arrange } from "../folder/folder_files.ts";
import type { Loaded } from "../folder/loaded.ts";
import type { Loader } from "../folder/loader.ts";
import { openLoading } from "../folder/open_folder.ts";
import { refuseUnusedSet } from "../folder/rule_configs.ts";
import type { LoadedTypeScript } from "../folder/typescript/typescript.ts";
import { readLine } from "../folder/typescript/typescript_bundle.ts";
import type { Prebuilt } from "../folder/typescript/typescript_files.ts";
import { parseYaml } from "../folder/yaml/yaml.ts";
import { readRegularText } from "../host/regular_file.ts";
import type { UpperValue } from "../model/config.ts";
import type { Problem } from "../model/problem.ts";
import type { Command } from "../model/rule.ts";
import { Secrets } from "../secrets/secrets.ts";
import { checkOutside } from "./check_outside.ts";

/** What to check, by absolute paths. */
export interface CheckFolderOptions {
  folder: string;
  /** A cache of what TypeScript rules declare, for the next load. */
  data: string;
  env?: string;
  /** Config values from the command line. */
  set?: UpperValue[];
  prebuilt?: Prebuilt;
  /** Files of the folder, relative to it: only these and what they call or import is reported. @default all */
  files?: string[];
  /** Whether to start the programs of commands and to ask for their versions. */
  programs?: true;
}

/** The result of a check. */
export interface CheckedFolder extends Loaded {
  /** The TypeScript files, bundled, by path relative to the folder. */
  typescript: Map<string, LoadedTypeScript>;
  /** The packages that the code of the folder consists of, with their versions. */
  packages: Record<string, string>;
}

/**
 * Loads a folder and returns its problems, with secrets masked; without store, triggers or runs. Also warns about programs and
 * folders that do not exist on this machine.
 * @throws UsageError if a value of `set` cannot be used
 */
export async function checkFolder(options: CheckFolderOptions): Promise<CheckedFolder> {
  const secrets = new Secrets({ environment, files: [], folders: [] });
  const loading = openLoading({ ...options, environment, stepKinds, secrets, now: Date.now, onLog: logCode });
  try {
    const loaded = await loading.loader.load();
    refuseUnusedSet(loaded.refused);
    secrets.refresh({ environment, ...loaded.settings.secrets });
    secrets.use(loaded.secretNames);
    const typescript = loading.loader.typescript();
    const found = arrange([...loaded.problems, ...await outsideOf(loading.loader, loaded, options)], []);
    const problems = found.map((problem) => ({
      ...problem,
      message: secrets.mask(problem.message),
      ...problem.hint !== undefined && { hint: secrets.mask(problem.hint) },
      ...problem.sourceLine !== undefined && { sourceLine: secrets.mask(problem.sourceLine) },
    }));
    const checked = { ...loaded, problems, typescript, packages: packagesOf(typescript) };
    return options.files === undefined
      ? checked
      : onlyOf(checked, await reachedFrom(options.files, options.folder, typescript));
  } finally {
    await loading.close();
  }
}

/** The problems outside of the rule files, each with its source line. */
async function outsideOf(loader: Loader, loaded: Loaded, { folder, programs }: CheckFolderOptions): Promise<Problem[]> {
  const problems = checkOutside({ rules: loaded.rules, commands: programs ? new Map() : loaded.commands }, {
    folder,
    path: env.PATH,
    typescript: loader.typescript(),
    originOf(file) {
      const source = loader.ruleSources().get(file);
      return source?.exactOrigin?.() ?? source?.origin;
    },
  });
  if (programs) problems.push(...await checkPrograms(loaded.commands, folder));
  return await Promise.all(problems.map(async (problem) => {
    const sourceLine = await readLine(join(folder, problem.file), problem.at.line);
    return { ...problem, ...sourceLine !== undefined && { sourceLine } };
  }));
}

/** The given files with all that they call or import, relative to the folder. */
async function reachedFrom(
  files: string[],
  folder: string,
  typescript: ReadonlyMap<string, LoadedTypeScript>,
): Promise<Set<string>> {
  const reached = new Set<string>();
  const add = async (file: string): Promise<void> => {
    if (reached.has(file)) return;
    reached.add(file);
    for (const path of typescript.get(file)?.inputs ?? []) reached.add(relative(folder, path).split(sep).join("/"));
    if (!/\.ya?ml$/.test(file)) return;
    const text = await readRegularText(join(folder, file)).catch(() => "");
    const { value, origin } = parseYaml(text, file);
    const calls = value === undefined ? [] : callsInRaw(value, origin);
    for (const { target } of calls) {
      const { path } = calleeOf(folder, file, target);
      if (path !== undefined) await add(path);
    }
  };
  for (const file of files) await add(file);
  return reached;
}

function onlyOf(checked: CheckedFolder, files: ReadonlySet<string>): CheckedFolder {
  const isOf = ({ file }: { file: string }) => files.has(file);
  const only = <T extends { file: string }>(all: ReadonlyMap<string, T>) =>
    new Map([...all].filter(([, one]) => isOf(one)));
  const typescript = new Map([...checked.typescript].filter(([file]) => files.has(file)));
  return {
    ...checked,
    rules: only(checked.rules),
    commands: only(checked.commands),
    problems: checked.problems.filter(isOf),
    typescript,
    packages: packagesOf(typescript),
  };
}

function packagesOf(typescript: ReadonlyMap<string, LoadedTypeScript>): Record<string, string> {
  const all = [...typescript.values()].flatMap(({ packages }) => Object.entries(packages ?? {}));
  return Object.fromEntries(all.sort(([a], [b]) => a < b ? -1 : 1));
}

/**
 * Starts the program of each command to ask for its version, and returns what is wrong: it is not there, or has another version than
 * the command says.
 * @param folder the rules folder, absolute
 */
async function checkPrograms(commands: ReadonlyMap<string, Command>, folder: string): Promise<Problem[]> {
  const inherited = Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined);
  const environment = Object.fromEntries(inherited);
  const problems: Problem[] = [];
  for (const command of commands.values()) {
    const { file, at } = command;
    const message = await faultOfProgram(command, programOf(command, folder), { cwd: folder, env: environment });
    if (message !== undefined) {
      problems.push({ severity: "error", file, at, message, hint: "install it, or change version:" });
    }
  }
  return problems;
}
