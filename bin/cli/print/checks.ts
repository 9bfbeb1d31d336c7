import { diffArrays } from "diff";
import { layOutJson } from "../../../runtime/formats/exact_json.ts";
import { formatDuration } from "../../../runtime/model/duration.ts";
import type { Json } from "../../../runtime/model/json.ts";
import { formatProblem, type Problem } from "../../../runtime/model/problem.ts";
import type { Mismatch, TestFailure, TestResult } from "../../../runtime/model/test.ts";
import type { TestReport } from "../../../runtime/testing/run_tests.ts";
import { zonedTime } from "./cron.ts";
import { type Colour, firstLines, oneLine, paint, type Terminal, visible } from "./terminal.ts";

/** A trigger with the next times of its crons. */
export interface CheckedTrigger {
  id: string;
  kind: string;
  /** When a cron fires next, in milliseconds since the epoch. */
  next?: number[];
  /** The cron of `next`. */
  cron?: CronFacts;
  /** When a cron closes the open batch. */
  batch?: number[];
  /** The cron of `batch`. */
  batchCron?: CronFacts;
}

/** The zone of a cron, and its pattern in words. */
interface CronFacts {
  zone: string;
  words?: string;
}

/** The result of `whenthen check`. */
export interface Checked {
  rules: {
    id: string;
    file: string;
    triggers: CheckedTrigger[];
  }[];
  /** The packages that their code uses, with their versions. */
  packages: Record<string, string>;
  problems: Problem[];
}

/** Prints all problems with their positions, then the next cron times, then a count. */
export function printChecked(terminal: Terminal, { rules, packages, problems }: Checked): void {
  printProblems(terminal, problems);
  for (const { id, triggers } of rules) {
    for (const { id: trigger, next, cron, batch, batchCron } of triggers) {
      printTimes(terminal, `${paint(terminal, "bold", id)} ${trigger}`, "fires next at", next, cron);
      printTimes(terminal, `${paint(terminal, "bold", id)} ${trigger}`, "closes its batches next at", batch, batchCron);
    }
  }
  const list = Object.entries(packages).map(([name, version]) => visible(`${name} ${version}`.trim()));
  if (list.length > 0) terminal.write(`Packages, which have your rights as your own code has: ${list.join(", ")}\n`);
  const errors = problems.filter(({ severity }) => severity === "error").length;
  const warnings = problems.length - errors;
  const counts = [
    count(rules.length, "rule"),
    count(errors, "problem"),
    ...warnings > 0 ? [count(warnings, "warning")] : [],
  ];
  terminal.write(paint(terminal, errors > 0 ? "red" : "green", counts.join(", ")) + "\n");
}

function printTimes(terminal: Terminal, name: string, what: string, times: number[] = [], cron?: CronFacts): void {
  if (cron === undefined) return;
  const words = cron.words === undefined ? "" : ` (${cron.words})`;
  terminal.write(`${name}${words} ${what}\n`);
  for (const time of times) terminal.write(`  ${zonedTime(time, cron.zone)}\n`);
}

/** Prints each problem with its position and a caret. */
export function printProblems(terminal: Terminal, problems: Problem[]): void {
  for (const problem of problems) {
    const [head, ...rest] = visible(formatProblem(problem)).split("\n");
    terminal.write([paint(terminal, COLOURS[problem.severity], head), ...rest].join("\n") + "\n\n");
  }
}

const COLOURS: Record<Problem["severity"], Colour> = { error: "red", warning: "yellow" };

/** An amount with its noun: "1 rule", "2 rules". */
export function count(amount: number, what: string): string {
  return `${amount} ${what}${amount === 1 ? "" : "s"}`;
}

/** How many lines of a mismatch are shown. */
const MOST_LINES = 40;
/** How many lines are shown at each end of a long part that is equal on both sides, or was only seen. */
const ENDS = 3;

/** Returns a function that prints results as they arrive, those of a file below its name. */
export function resultPrinter(terminal: Terminal): (result: TestResult) => void {
  let last: string | undefined;
  return (result) => {
    if (result.file !== last) terminal.write(`${paint(terminal, "bold", result.file)}\n`);
    last = result.file;
    const { name, took, failure } = result;
    const mark = failure ? paint(terminal, "red", "✗") : paint(terminal, "green", "✓");
    terminal.write(`  ${mark} ${oneLine(name)}  ${paint(terminal, "dim", formatDuration(took))}\n`);
    if (failure) printFailure(terminal, failure);
  };
}

/** Prints the problems of files that do not load, and a count of the tests. */
export function printSummary(terminal: Terminal, { results, problems, leftOut }: TestReport): void {
  if (results.length + problems.length > 0) terminal.write("\n");
  printProblems(terminal, problems);
  const failed = results.filter(({ failure }) => failure !== undefined).length;
  const counts = [
    `${count(results.length - failed, "test")} passed`,
    `${failed} failed`,
    ...problems.length > 0 ? [count(problems.length, "problem")] : [],
    ...leftOut === undefined ? [] : [`${leftOut} left out`],
  ];
  terminal.write(paint(terminal, failed + problems.length > 0 ? "red" : "green", counts.join(", ")) + "\n");
}

/** A failure as text, without colours. */
export function failureText(failure: TestFailure): string {
  let text = "";
  printFailure({ write: (part) => text += part, width: Infinity, colours: false, now: 0 }, failure);
  return text;
}

function printFailure(terminal: Terminal, { message, file, at, mismatches, notes }: TestFailure): void {
  const say = (text: string) => terminal.write(`${text}\n`);
  const legend = mismatches.length > 0 ? paint(terminal, "dim", "  - expected, + seen") : "";
  const [first, ...rest] = visible(message).split("\n");
  say(`    ${paint(terminal, "red", `${file}:${at.line}:${at.column}: ${first}`)}${legend}`);
  for (const line of rest) say(`      ${line}`);
  for (const mismatch of mismatches) printMismatch(terminal, mismatch);
  for (const note of notes) say(paint(terminal, "dim", `      ${oneLine(note)}`));
}

function printMismatch(terminal: Terminal, { part, expected, seen }: Mismatch): void {
  terminal.write(`      ${paint(terminal, "bold", part)}\n`);
  const lines = diffArrays(linesOf(expected), linesOf(seen)).flatMap(({ value, added, removed }) => {
    const colour = added ? "red" : removed ? "green" : "dim";
    const sign = added ? "+" : removed ? "-" : " ";
    const texts = (removed ? value : fold(value)).map((line) => `${sign} ${visible(line)}`);
    return texts.map((text) => paint(terminal, colour, text));
  });
  terminal.write(firstLines(lines, MOST_LINES).map((line) => `        ${line}\n`).join(""));
}

/** Shortens the context, so that it does not hide the differences. */
function fold(lines: string[]): string[] {
  const hidden = lines.length - 2 * ENDS;
  return hidden > ENDS ? [...lines.slice(0, ENDS), `… ${hidden} lines`, ...lines.slice(-ENDS)] : lines;
}

/** Puts each item of a list on its own line, so that a diff shows which of them differ. */
function linesOf(json: Json): string[] {
  const parts = Array.isArray(json) && json.length > 0 ? json : [json];
  // With a comma at the end, the last line would differ from the same line among others.
  return parts.flatMap((part) => layOutJson(part).split("\n")).map((line) => line.replace(/,$/, ""));
}
