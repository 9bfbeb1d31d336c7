import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { writeExactJson } from "../formats/exact_json.ts";
import type { Checking } from "../language/checker/checking.ts";
import { parseWith } from "../language/checker/sentences.ts";
import { sayProblem } from "../language/fields/check_values.ts";
import { allAsWritten } from "../language/fields/field_value.ts";
import { show } from "../language/hints.ts";
import { isObject, type Json, type JsonObject } from "../model/json.ts";
import type { Position } from "../model/problem.ts";
import type { Command } from "../model/rule.ts";
import { checkSet, type Pairs } from "./check_set.ts";

/** One entry under `tests` of a command file. */
export interface CommandTest {
  name: string;
  at: Position;
  with: Pairs;
  /** The expected arguments; absent if problems are expected. */
  argv?: string[];
  /** Parts of the expected problems, in any order. */
  problems?: string[];
}

/** The keys of a test of a command. */
export const commandTestSchema = z.strictObject({
  name: z.string().min(1).optional().describe("A sentence about what is tested"),
  with: z.record(z.string(), z.custom<Json>()).default({}).describe("What a caller sets"),
  argv: z.array(z.string()).optional().describe("The arguments that the program gets"),
  problems: z.array(z.string().min(1)).min(1).optional().describe(
    "Parts of the problems that the set has, all of them",
  ),
});

/** Checks the entries under `tests` of a command that has no errors. */
export function checkCommandTests(checking: Checking, raw: Json | undefined, command: Command): CommandTest[] {
  if (raw === undefined || raw === null) return [];
  if (!Array.isArray(raw)) {
    checking.error(
      ["tests"],
      "value",
      `expected a list of tests, got ${show(raw)}`,
      "as in - { with: { … }, argv: […] }",
    );
    return [];
  }
  return raw.flatMap((entry, index) => {
    const path = ["tests", index];
    // A number in argv is written exactly as in the file.
    const argv = isObject(entry) && Array.isArray(entry.argv)
      ? entry.argv.map((part, at) =>
        typeof part === "number" ? checking.origin.written?.([...path, "argv", at]) ?? String(part) : part
      )
      : undefined;
    const { value: test, problems } = parseWith(
      commandTestSchema,
      isObject(entry) && argv ? { ...entry, argv } : entry,
    );
    checking.addAll(path, problems);
    if (test === undefined) return [];
    if ((test.argv === undefined) === (test.problems === undefined)) {
      checking.error(path, "value", "a test has argv, or problems", "as in argv: [-v], or problems: [is missing]");
      return [];
    }
    const values = allAsWritten(command.inputs, test.with, checking.sourceBelow([...path, "with"]));
    const { name = nameOf(test.with), argv: expected, problems: refused } = test;
    return [{
      name,
      at: checking.origin.at(path, "value"),
      with: Object.entries(values),
      ...expected && { argv: expected },
      ...refused && { problems: refused },
    }];
  });
}

function nameOf(values: JsonObject): string {
  return Object.keys(values).length === 0 ? "nothing set" : writeExactJson(values);
}

/** The expected and the actual part of a failed command test; undefined if it passes. */
export function failureOfTest(
  command: Command,
  test: CommandTest,
): { part: "argv" | "problems"; expected: Json; seen: Json } | undefined {
  const { argv, problems } = checkSet(command, test.with);
  const said = problems.map(sayProblem);
  if (test.argv !== undefined) {
    if (argv === undefined) return { part: "problems", expected: [], seen: said };
    return isDeepStrictEqual(argv, test.argv) ? undefined : { part: "argv", expected: test.argv, seen: argv };
  }
  if (argv !== undefined) return { part: "argv", expected: null, seen: argv };
  const expected = test.problems!;
  const isAsExpected = said.length === expected.length &&
    expected.every((part) => said.some((text) => text.includes(part)));
  return isAsExpected ? undefined : { part: "problems", expected, seen: said };
}
