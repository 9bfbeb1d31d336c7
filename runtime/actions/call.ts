import { accessSync, constants, statSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { delimiter, join, resolve } from "node:path";
import process from "node:process";
import { z } from "zod";
import { checkSet, type Pairs, secretInArgv } from "../commands/check_set.ts";
import { versionFault } from "../commands/program_version.ts";
import { writeExactJson } from "../formats/exact_json.ts";
import { filesSince, fileStatesIn } from "../host/run_files.ts";
import { runChild } from "../host/spawn.ts";
import { connection, json, target } from "../language/arg_types.ts";
import { type FieldProblem, sayProblem } from "../language/fields/check_values.ts";
import { isOn } from "../language/fields/relations.ts";
import { messageOf, TerminalError, withDetail } from "../model/errors.ts";
import { asJson, isObject, type Json, type JsonObject } from "../model/json.ts";
import type { Command } from "../model/rule.ts";
import { readTarget } from "../model/target.ts";
import { type Action, type ActionContext, defineAction, type Outcome } from "./action.ts";
import { checkOutput, OUTPUT_OPTIONS, run } from "./run.ts";

/** The options of a command, which are those of `run`. */
const COMMAND_OPTIONS = {
  stdin: json().optional().describe("For a command: its standard input"),
  ...OUTPUT_OPTIONS,
};

/**
 * Calls an exported function in a worker. A YAML action has its own steps, which `engine/` interprets; a command file is
 * executed by {@link commandAction}.
 */
export const call = defineAction({
  kind: "call",
  summary: "Calls a function of a TypeScript file or a package, a YAML action, or a command",
  main: target().describe("./file.ts#function, package#export, ./action.yaml or ./command.yaml, relative to this file"),
  options: {
    with: z.record(z.string(), json()).optional().describe(
      "The function's argument, or the inputs of the action or command",
    ),
    auth: z.strictObject({ connection: connection() }).optional().describe(
      "For code: the connection of the requests that it sends, { connection: name }",
    ),
    ...COMMAND_OPTIONS,
  },
  defaults: { timeout: 600_000, attempts: 1 },
  check({ call: target, auth, keep, format, save, ...args }) {
    if (auth !== undefined && /\.ya?ml$/.test(target)) {
      return [`auth: only code has it; take it out, or write it at the requests of ${target}`];
    }
    const given = Object.entries({ keep, format, save, ...args }).filter(([, value]) => value !== undefined);
    const key = Object.keys(COMMAND_OPTIONS).find((each) => given.some(([name]) => name === each));
    if (key !== undefined && !/\.ya?ml$/.test(target)) return [`${key}: only a command has it; take it out`];
    return checkOutput({ keep, format, save });
  },
  async execute({ call: target, with: input = {}, auth }, context) {
    const callee = readTarget(context.folder, context.ruleFolder, target);
    return { output: await context.services.callModule({ ...callee, inputs: input, ...auth && { auth } }, context) };
  },
});

/** Whether a file of the run's folder was saved by a step: those have names of their own; see `RunFiles`. */
const isSaved = (name: string) => /^[0-9a-f]{16}(\.new)?$/.test(name);
/** Timeout in milliseconds for a program to print its version, and how many bytes of its output are read. */
const VERSION_TIMEOUT = 30_000;
const VERSION_OUTPUT = 100_000;

/** Runs a command file: the step of kind `call` whose target it is. */
export function commandAction(command: Command): Action {
  return {
    ...call,
    retries: run.retries,
    execute: (args, context) => executeCommand(command, args, context),
  } as Action;
}

/**
 * Checks the values that a step passes to a command, before anything starts.
 * @param recorded the same with expressions instead of secrets
 * @throws TerminalError with all problems
 */
export function checkCall(command: Command, values: JsonObject, recorded: JsonObject, args: JsonObject): void {
  const pairs: Pairs = Object.entries(values);
  const { problems } = checkSet(command, pairs);
  const isSecret = ([name, value]: Pairs[number]) => writeExactJson(value) !== writeExactJson(recorded[name] ?? null);
  const secret = new Set(pairs.filter(isSecret).map(([name]) => name));
  const hidden = problems.map((problem): FieldProblem => {
    return secret.has(problem.key) && problem.kind === "unfit" ? secretInArgv(problem.key) : problem;
  });
  const all = [...hidden, ...[...secret].filter((key) => !hidden.some((each) => each.key === key)).map(secretInArgv)];
  const said = all.map(sayProblem);
  const stdin = Object.keys(command.inputs).find((name) => command.inputs[name].pass === "stdin" && isOn(values[name]));
  if (stdin !== undefined && args.stdin !== undefined) {
    said.push(`${stdin} goes to the standard input, so the step cannot have "stdin"`);
  }
  if (said.length > 0) throw new TerminalError(`Cannot call ${command.file}: ${said.join("; ")}`);
}

async function executeCommand(command: Command, args: JsonObject, context: ActionContext): Promise<Outcome> {
  const { services } = context;
  const folder = await services.runFolder(context.run.id);
  const program = programOf(command, context.folder);
  await checkVersion(command, program, folder, context);
  const values = isObject(args.with) ? args.with : {};
  const handed = await handSecrets(command, values, context);
  try {
    const { argv, problems } = checkSet(command, Object.entries(values), {
      fileOf: (input) => handed.files[input],
    });
    if (argv === undefined) {
      throw new TerminalError(`Cannot call ${command.file}: ${problems.map(sayProblem).join("; ")}`);
    }
    const before = await fileStatesIn(folder, isSaved);
    const files = async () => {
      const left = await filesSince(folder, before, isSaved);
      await services.keepFiles(left);
      return asJson(left);
    };
    const line = commandLine(command, program, argv, Object.keys(handed.env));
    try {
      const { output } = await run.execute(runArgs(args, line, folder, handed), withoutRecorded(context));
      return { output: { ...isObject(output) && output, argv, files: await files() } };
    } catch (error) {
      const { detail } = error as { detail?: Json };
      // A program that has not ended has no detail.
      if (isObject(detail)) withDetail(error as Error, { ...detail, argv, files: await files().catch(() => []) });
      throw error;
    }
  } finally {
    await handed.remove();
  }
}

/** The arguments of the `run` step that executes a command. */
export function runArgs(
  { stdin, save, ok, format, charset, keep }: JsonObject,
  line: string[],
  cwd: string,
  handed: { env: Record<string, string>; stdin?: string } = { env: {} },
): Parameters<typeof run.execute>[0] {
  const options = { stdin: handed.stdin ?? stdin, save, ok, format, charset, keep };
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  return { ...given, run: line, cwd, env: handed.env } as Parameters<typeof run.execute>[0];
}

/** `run` names its own arguments in messages; those hold no secret. */
function withoutRecorded({ recorded: _recorded, ...context }: ActionContext): ActionContext<never> {
  return context as ActionContext<never>;
}

/**
 * The program with its arguments, run as root by sudo. `sudo` clears the environment except for the variables that it
 * is to keep.
 */
export function commandLine(command: Command, program: string, argv: string[], variables: string[] = []): string[] {
  if (!command.root || process.getuid?.() === 0) return [program, ...argv];
  const kept = variables.length > 0 ? [`--preserve-env=${variables.join(",")}`] : [];
  return ["sudo", "-n", ...kept, program, ...argv];
}

/** A program in PATH by its name, any other by its absolute path. */
export function programOf({ program }: Pick<Command, "program">, folder: string): string {
  return program.includes("/") ? resolve(folder, program) : program;
}

interface Handed {
  env: Record<string, string>;
  stdin?: string;
  /** Paths by input. */
  files: Record<string, string>;
  remove(): Promise<void>;
}

/** Passes secrets to the program by environment, standard input or a private file, so that no other user can read them. */
async function handSecrets(
  command: Command,
  values: JsonObject,
  { services }: ActionContext,
): Promise<Handed> {
  const handed: Handed = { env: {}, files: {}, remove: () => Promise.resolve() };
  const set = checkSet(command, Object.entries(values)).values;
  for (const [name, { type, pass = "file" }] of Object.entries(command.inputs)) {
    const secret = set[name];
    if (type !== "secret" || typeof secret !== "string") continue;
    const value = services.secretOf(secret);
    if (value === undefined) {
      throw new TerminalError(`Cannot call ${command.file}: the secret ${secret} for ${name} is not set`);
    }
    if (pass === "stdin") handed.stdin = value;
    else if (pass !== "file") handed.env[pass.slice("env ".length)] = value;
    else handed.files[name] = value;
  }
  if (Object.keys(handed.files).length === 0) return handed;
  const place = await services.privateFolder();
  handed.remove = () => rm(place, { recursive: true, force: true });
  try {
    for (const [index, [name, value]] of Object.entries(handed.files).entries()) {
      handed.files[name] = join(place, String(index));
      await writeFile(handed.files[name], value, { mode: 0o600, flag: "wx" });
    }
    return handed;
  } catch (error) {
    await handed.remove();
    throw error;
  }
}

/** Makes paths in the run's folder relative to it, so that a command accepts a file that an earlier step saved. */
export function relativeToRun(command: Command, values: JsonObject, folder: string): JsonObject {
  const shorten = (value: Json): Json =>
    typeof value === "string" && value.startsWith(`${folder}/`) ? value.slice(folder.length + 1) : value;
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => {
      const input = command.inputs[name];
      const isPath = input !== undefined && input.type === "path" && input.under === undefined;
      const ofPaths = input?.type === "list" && input.of?.type === "path" && input.of.under === undefined;
      if (isPath) return [name, shorten(value)];
      return [name, ofPaths && Array.isArray(value) ? value.map(shorten) : value];
    }),
  );
}

/** Versions that were accepted: each program is asked only once. */
const rightVersions = new Set<string>();

async function checkVersion(command: Command, program: string, cwd: string, context: ActionContext): Promise<void> {
  const { version } = command;
  const env = context.services.childEnv();
  const key = JSON.stringify([program, version ?? null, env.PATH ?? ""]);
  if (version === undefined || rightVersions.has(key)) return;
  const fault = await faultOfProgram(command, program, { cwd, env, signal: context.signal });
  if (fault !== undefined) throw new TerminalError(`Cannot call ${command.file}: ${fault}`);
  rightVersions.add(key);
}

/**
 * The problem with a command's program: it is missing, or has the wrong version; undefined if there is none. A program
 * without `version` is not started, because the effect of `--version` on it is unknown.
 */
export async function faultOfProgram(
  { version }: Pick<Command, "version">,
  program: string,
  { cwd, env, signal }: { cwd: string; env: Record<string, string>; signal?: AbortSignal },
): Promise<string | undefined> {
  if (!isProgram(program, env.PATH)) {
    return program.includes("/")
      ? `there is no program ${program}, or it is not executable`
      : `there is no command "${program}" in PATH (${env.PATH ?? ""})`;
  }
  if (version === undefined) return undefined;
  const timeout = AbortSignal.timeout(VERSION_TIMEOUT);
  try {
    const { stdout, stderr } = await runChild({
      program,
      args: version.by,
      cwd,
      env,
      keep: { stdout: VERSION_OUTPUT, stderr: VERSION_OUTPUT },
      signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
    });
    return versionFault(program, version, `${stdout.text}\n${stderr.text}`);
  } catch (error) {
    if (signal?.aborted) throw error;
    return `${[program, ...version.by].join(" ")} cannot be run: ${messageOf(error)}`;
  }
}

/** Whether a program exists and may be executed: one with a slash at its path, any other in one of the folders of `PATH`. */
export function isProgram(program: string, PATH = ""): boolean {
  const places = program.includes("/") ? [program] : PATH.split(delimiter).map((folder) => join(folder, program));
  return places.some((place) => {
    try {
      accessSync(place, constants.X_OK);
      return statSync(place).isFile();
    } catch {
      return false;
    }
  });
}
