import { resolve } from "node:path";
import { isUse } from "../commands/read_command.ts";
import { readRegularText } from "../host/regular_file.ts";
import { UsageError } from "../model/errors.ts";
import type { Problem } from "../model/problem.ts";
import type { Command } from "../model/rule.ts";
import { calleeOf } from "./calls.ts";
import { CommandReader } from "./commands.ts";
import { arrange, type FolderFile } from "./folder_reader.ts";
import { type CommandSource, sourceOfYaml } from "./source.ts";
import { parseYaml } from "./yaml/yaml.ts";

/** A command file that was read by itself, without its folder. */
export interface CommandFile {
  /** Absent if it has errors. */
  command?: Command;
  /** What OTO calls the executable, if it was imported. */
  tag?: string;
  problems: Problem[];
}

/**
 * Reads a command file and those that it is a use of.
 * @param path as the user names it; problems name it so, too
 * @throws UsageError if it cannot be read, or is no command
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
    const source = sourceOfYaml(parseYaml(text, file));
    if (source.kind === "unreadable") problems.push(...source.problems);
    else if (source.kind !== "command" && file === first) {
      throw new UsageError(`Cannot read ${path} as a command: it has no "command:"`);
    }
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
