import { env, env as environment } from "node:process";
import { faultOfProgram, programOf } from "../actions/call.ts";
import { logCode } from "../engine/run_log.ts";
import { stepKinds } from "../engine/steps/index.ts";
import type { Loaded } from "../folder/loaded.ts";
import { openLoading } from "../folder/open_folder.ts";
import type { LoadedTypeScript } from "../folder/typescript/typescript.ts";
import type { Prebuilt } from "../folder/typescript/typescript_files.ts";
import type { UpperValue } from "../model/config.ts";
import type { Problem } from "../model/problem.ts";
import type { Command } from "../model/rule.ts";
import { Secrets } from "../secrets/secrets.ts";

/** What to check, by absolute paths. */
export interface CheckFolderOptions {
  folder: string;
  /** A cache of what TypeScript rules declare, for the next load. */
  data: string;
  env?: string;
  /** Config values from the command line. */
  set?: UpperValue[];
  prebuilt?: Prebuilt;
}

/** The result of a check. */
export interface CheckedFolder extends Loaded {
  /** The TypeScript files, bundled, by path relative to the folder. */
  typescript: Map<string, LoadedTypeScript>;
  /** The packages that the code of the folder consists of, with their versions. */
  packages: Record<string, string>;
}

/**
 * Loads a folder and returns its problems, with secrets masked; without store, triggers or runs.
 */
export async function checkFolder(options: CheckFolderOptions): Promise<CheckedFolder> {
  const secrets = new Secrets({ environment, files: [], folders: [] });
  const loading = openLoading({ ...options, environment, stepKinds, secrets, now: Date.now, onLog: logCode });
  try {
    const loaded = await loading.loader.load();
    secrets.refresh({ environment, ...loaded.settings.secrets });
    secrets.use(loaded.secretNames);
    const problems = loaded.problems.map((problem) => ({
      ...problem,
      message: secrets.mask(problem.message),
      ...problem.hint !== undefined && { hint: secrets.mask(problem.hint) },
    }));
    const typescript = loading.loader.typescript();
    return { ...loaded, problems, typescript, packages: packagesOf(typescript) };
  } finally {
    await loading.close();
  }
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
export async function checkPrograms(commands: ReadonlyMap<string, Command>, folder: string): Promise<Problem[]> {
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
