import { dirname, resolve } from "node:path";
import { checkCommandTests } from "../commands/command_tests.ts";
import { importOto } from "../commands/oto.ts";
import { COMMAND_KEYS, isUse, type ReadCommand, readCommand } from "../commands/read_command.ts";
import { readExactJson } from "../formats/exact_json.ts";
import { readRegularFileSync, readRegularText } from "../host/regular_file.ts";
import { Checking, type Origin } from "../language/checker/checking.ts";
import { messageOf, UsageError } from "../model/errors.ts";
import { isObject, type JsonObject } from "../model/json.ts";
import { faultOf, isError, type Problem } from "../model/problem.ts";
import type { Command } from "../model/rule.ts";
import { calleeOf } from "./calls.ts";
import { type Callables, type LoadedCommand } from "./follow_calls.ts";
import { arrange, type FolderFile } from "./folder_files.ts";
import type { Loaded } from "./loaded.ts";
import { type CommandSource, idOfPath, sourceOfYaml } from "./source_file.ts";
import { parseYaml } from "./yaml/yaml.ts";

interface Known extends ReadCommand, LoadedCommand {
  /** What it was read with: the command that it is based on, and the text that it imports. */
  base: ReadCommand | undefined;
  imported: string | undefined;
}

/** Reads command files, each after the one that it is based on. An unchanged file is not read again. */
export class CommandReader {
  readonly #known = new WeakMap<CommandSource, Known>();

  /** @param folder the rules folder, absolute */
  constructor(private readonly folder: string) {}

  /** All commands by path, with their problems. @param sources by path relative to the folder */
  readAll(sources: ReadonlyMap<string, CommandSource>): Map<string, LoadedCommand> {
    const done = new Map<string, Known>();
    const read = (file: string, above: string[]): Known => {
      const known = done.get(file) ??
        this.#read(sources.get(file)!, sources, (base) => read(base, [...above, file]), above);
      done.set(file, known);
      return known;
    };
    for (const file of sources.keys()) read(file, []);
    return done;
  }

  #read(
    source: CommandSource,
    sources: ReadonlyMap<string, CommandSource>,
    readBase: (file: string) => Known,
    above: string[],
  ): Known {
    const { file, raw, origin } = source;
    const target = isUse(raw.command) ? raw.command : undefined;
    const use = target === undefined ? undefined : calleeOf(this.folder, file, target).path;
    const circle = use === file || (use !== undefined && above.includes(use));
    const base = use === undefined || circle || !sources.has(use) ? undefined : readBase(use);
    const imports = importOf(raw, resolve(this.folder, dirname(file)));
    const imported = imports === undefined ? undefined : textOf(imports);
    const known = this.#known.get(source);
    if (known && known.base === base && known.imported === imported) return known;
    const [checking, testing] = [newChecking(origin), newChecking(origin)];
    let now: Known = { rawInputs: {}, tests: [], origin, problems: [], base, imported, ...imports && { imports } };
    try {
      if (target !== undefined && base?.command === undefined) {
        // All other problems would only be consequences.
        reportUse(checking, target, { circle, found: base !== undefined });
      } else {
        const { tag = tagIn(raw), inputs } = imports === undefined ? { inputs: {} } : readImport(checking, imported);
        const below = base?.command && { command: base.command, rawInputs: base.rawInputs };
        const read = readCommand(checking, raw, { id: idOfPath(file), imported: inputs, ...below && { base: below } });
        const tests = read.command ? checkCommandTests(testing, raw.tests, read.command) : [];
        now = { ...now, ...read, tests, ...tag !== undefined && { tag } };
      }
    } catch (error) {
      checking.problems.push(faultOf(file, error));
    }
    const problems = [...source.problems, ...checking.problems];
    if (problems.some(isError)) delete now.command;
    now.problems = [...problems, ...testing.problems];
    this.#known.set(source, now);
    return now;
  }
}

function newChecking(origin: Origin): Checking {
  return new Checking(origin, { triggers: {}, steps: {} }, { env: {}, now: 0 });
}

/** The tag that `whenthen import` stored. */
function tagIn({ "x-oto": kept }: JsonObject): string | undefined {
  return isObject(kept) && typeof kept.tag === "string" ? kept.tag : undefined;
}

function reportUse(checking: Checking, target: string, { circle, found }: { circle: boolean; found: boolean }): void {
  const [message, hint] = circle
    ? ["this command is a use of itself", "name a program, or another command file"]
    : found
    ? [`${target} does not load`, "fix its problems first"]
    : [
      `${target} does not exist, or is no command`,
      `a command file has command: and some of ${COMMAND_KEYS.slice(1).join(", ")}`,
    ];
  checking.error(["command"], "value", message, hint);
}

function importOf({ import: path }: JsonObject, folder: string): string | undefined {
  return typeof path === "string" && path.endsWith(".json") ? resolve(folder, path) : undefined;
}

function textOf(path: string): string | undefined {
  try {
    return readRegularFileSync(path).toString();
  } catch {
    return undefined;
  }
}

function readImport(checking: Checking, text: string | undefined): { tag?: string; inputs: JsonObject } {
  const report = (message: string, hint: string) => checking.error(["import"], "value", message, hint);
  if (text === undefined) {
    report("this file cannot be read", "the path is relative to this file");
    return { inputs: {} };
  }
  try {
    const found = importOto(readExactJson(text));
    if (!("problem" in found)) return found;
    report(found.problem, found.hint);
  } catch (error) {
    report(`this file is no JSON: ${messageOf(error)}`, "export it again");
  }
  return { inputs: {} };
}

/** The commands that load, and the last good versions of those that do not. */
export function commandsById(
  { commands }: Callables,
  unreadable: string[],
  previous: Loaded | undefined,
): Map<string, Command> {
  const files = new Set([...commands.keys(), ...unreadable].filter((file) => !file.startsWith("../")));
  const all = [...files].flatMap((file) => commands.get(file)?.command ?? previous?.commands.get(idOfPath(file)) ?? []);
  return new Map(all.sort((a, b) => a.id < b.id ? -1 : 1).map((command) => [command.id, command]));
}

/** A command file that was read by itself, without its folder. */
export interface CommandFile {
  /** Absent if it has errors. */
  command?: Command;
  /** What OTO calls the executable, if it was imported. */
  tag?: string;
  problems: Problem[];
}

/**
 * Reads a command file and the commands that it is based on.
 * @param path as the user names it; problems name it so, too
 * @throws UsageError if it cannot be read or is not a command
 */
export async function readCommandFile(path: string): Promise<CommandFile> {
  const folder = resolve(".");
  const sources = new Map<string, CommandSource>();
  const files: FolderFile[] = [];
  const problems: Problem[] = [];
  const first = calleeOf(folder, "x", path).path;
  for (const queue = [first]; queue.length > 0;) {
    const file = queue.shift()!;
    const text = await readRegularText(resolve(folder, file)).catch((error: Error) => error);
    if (typeof text !== "string") {
      if (file !== first) continue;
      throw new UsageError(`Cannot read ${path}: ${text.message}`);
    }
    files.push({ path: file, text });
    const yaml = parseYaml(text, file);
    const source = sourceOfYaml(yaml);
    const isOther = source.kind === "unreadable"
      ? yaml.value !== undefined && !isObject(yaml.value)
      : source.kind !== "command";
    if (isOther && file === first) throw new UsageError(`Cannot read ${path} as a command: it has no "command:"`);
    if (source.kind === "unreadable") problems.push(...source.problems);
    if (source.kind !== "command") continue;
    sources.set(file, source);
    const { command } = source.raw;
    const below = isUse(command) ? calleeOf(folder, file, command).path : undefined;
    if (below !== undefined && !sources.has(below)) queue.push(below);
  }
  const read = new CommandReader(folder).readAll(sources);
  for (const each of read.values()) problems.push(...each.problems);
  const { command, tag } = read.get(first) ?? {};
  return { ...command && { command }, ...tag !== undefined && { tag }, problems: arrange(problems, files) };
}
