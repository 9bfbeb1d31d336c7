import assert from "node:assert/strict";
import { type CheckedSet, checkSet, type Pairs } from "../../runtime/commands/check_set.ts";
import type { LoadedCommand } from "../../runtime/folder/follow_calls.ts";
import { CommandReader } from "../../runtime/folder/command_files.ts";
import { type CommandSource, sourceOfYaml } from "../../runtime/folder/source_file.ts";
import { parseYaml } from "../../runtime/folder/yaml/yaml.ts";
import { sayProblem } from "../../runtime/language/fields/check_values.ts";
import { formatProblem } from "../../runtime/model/problem.ts";
import type { Json } from "../../runtime/model/json.ts";
import type { Command } from "../../runtime/model/rule.ts";

/** Command files as they are read, by path. */
export function readCommands(files: Record<string, string>, folder = "/rules"): Map<string, LoadedCommand> {
  const sources = Object.entries(files).map(([file, text]) => [file, sourceOfYaml(parseYaml(text, file))] as const);
  return new CommandReader(folder).readAll(new Map(sources as [string, CommandSource][]));
}

/** One command without problems. */
export function commandOf(text: string): Command {
  const { command, problems } = readCommands({ "x.yaml": text }).get("x.yaml")!;
  assert.deepEqual(problems.map(formatProblem), []);
  return command!;
}

/** The problems of one command file: place and message. */
export function problemsOf(text: string): string[] {
  const { problems } = readCommands({ "x.yaml": text }).get("x.yaml")!;
  return problems.map((problem) => formatProblem(problem).split("\n")[0].replace("x.yaml:", ""));
}

/** What a set gives: its arguments, or its problems as sentences. */
export function given(command: Command, values: Record<string, Json> | Pairs): string[] | { problems: string[] } {
  const { argv, problems }: CheckedSet = checkSet(command, Array.isArray(values) ? values : Object.entries(values));
  return argv ?? { problems: problems.map(sayProblem) };
}
