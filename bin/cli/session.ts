import { type Command, InvalidArgumentError, Option } from "commander";
import type { Ports } from "../../runtime/app/wire.ts";
import { readSet } from "../../runtime/folder/settings/config_layers.ts";
import { writeExactJson } from "../../runtime/formats/exact_json.ts";
import type { UpperValue } from "../../runtime/model/config.ts";
import { type Client, type Needs, openClient } from "./client.ts";
import { foldersInUse } from "./folders.ts";
import type { Terminal } from "./print/terminal.ts";
import { startLog } from "./start_log.ts";

/** One call of the program: its output, its machine, and the code with which it will exit. */
export class Session {
  exitCode: ExitCode = ExitCode.ok;

  constructor(readonly terminal: Terminal, readonly ports: Ports) {}
}

/** A new command with the options that all commands share. */
export function addCommand(program: Command, name: string, description: string, folder = folderOption()): Command {
  return program.command(name).description(description)
    .addOption(folder).addOption(dataOption())
    .addOption(envOption()).addOption(logOption()).addOption(jsonOption());
}

/**
 * Calls `question` with a client of the program, and closes the client afterwards.
 * @param needs what the answer comes from: a listing of the store loads no rules
 */
export async function ask(
  session: Session,
  options: CommonOptions,
  question: (client: Client) => Promise<void>,
  needs: Needs = "rules",
): Promise<void> {
  const folders = await foldersInUse(options);
  await startLog(options.log, "warning");
  const client = await openClient({ ...folders, env: options.env }, session.ports, needs);
  try {
    await question(client);
  } finally {
    await client.close();
  }
}

/** Prints what the program answers to a GET request. */
export function show<T>(
  session: Session,
  options: CommonOptions,
  path: string,
  forPeople: (terminal: Terminal, value: T) => void,
  { query, needs }: { query?: Record<string, string | undefined>; needs?: Needs } = {},
): Promise<void> {
  return ask(session, options, async (client) => {
    print(session, options, await client.get<T>(path, query), forPeople);
  }, needs);
}

/** Prints for people, or as JSON if requested. */
export function print<T>(
  session: Session,
  options: Pick<CommonOptions, "json">,
  value: T,
  forPeople: (terminal: Terminal, value: T) => void,
): void {
  if (options.json) session.terminal.write(writeExactJson(value, 2) + "\n");
  else forPeople(session.terminal, value);
}

/** Options that may be given before or after the command. */
export interface CommonOptions {
  folder?: string;
  data?: string;
  env?: string;
  log: "pretty" | "json";
  json?: true;
  /** Of commands that load rules for work. */
  set?: UpperValue[];
}

export const dataOption = () =>
  new Option(
    "--data <dir>",
    "where all state lives (default: .whenthen beside the rules; the current folder if they are packed into the program)",
  );

export const folderOption = (what = "the rules folder (default: the one that the data folder was last used with)") =>
  new Option("--folder <dir>", what);

/** Of commands that take the folder as an argument, too. */
export const sameFolderOption = () => folderOption("the rules folder, as the argument names it");

export const envOption = () => new Option("--env <name>", "also reads config.<name>.yaml").env("WHENTHEN_ENV");

/** `--set rule.key=value`, any number of times. */
export const setOption = () =>
  new Option("--set <rule.key=value>", "a config value, above all others; may be repeated").argParser(
    (text: string, before: UpperValue[] = []) => {
      const value = readSet(text);
      if (value !== undefined) return [...before, value];
      throw new InvalidArgumentError("expected a rule, a key and a value, such as ops/disk.threshold=90");
    },
  );

export const jsonOption = () => new Option("--json", "print JSON");

export const logOption = () =>
  new Option("--log <format>", "the format of log lines").choices(["pretty", "json"]).default("pretty");

/** Describes the argument that names a run. */
export const RUN = "id of a run, or its beginning if no other run's id begins so";

/** `--log-file` and the size at which it is rotated. */
export const logFileOptions = () => [
  new Option("--log-file <file>", "also writes the log to this file; it is renamed to FILE.1 when it is large"),
  new Option("--log-file-size <megabytes>", "how large that is")
    .argParser(wholeNumber("a number of megabytes", 1)).default(10),
];

export const limitOption = () =>
  new Option("--limit <count>", "the maximum number of entries").argParser(wholeNumber("a count")).default(20);

/** Parses a whole number. @param least the smallest that is accepted */
export function wholeNumber(what: string, least = 0): (text: string) => number {
  return (text) => {
    if (/^\d{1,9}$/.test(text) && Number(text) >= least) return Number(text);
    throw new InvalidArgumentError(`expected ${what}, got "${text}"`);
  };
}

/** What the program's exit codes mean; `docs/operating.md` lists them. */
export const ExitCode = {
  ok: 0,
  /** The command failed: a run or a poll failed, or the given run does not exist. */
  failed: 1,
  /** A rule does not load. */
  broken: 2,
  /** `once --require-state` found a new store. */
  newStore: 3,
  /** The command line is invalid (EX_USAGE of sysexits.h). */
  usage: 64,
} as const;

export type ExitCode = typeof ExitCode[keyof typeof ExitCode];
