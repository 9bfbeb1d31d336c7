import { layOutJson } from "../../../runtime/formats/exact_json.ts";
import { diffArrays } from "diff";
import { formatDuration } from "../../../runtime/model/duration.ts";
import type { Json } from "../../../runtime/model/json.ts";
import type { Mismatch, TestFailure, TestResult } from "../../../runtime/model/test.ts";
import type { TestReport } from "../../../runtime/testing/run_tests.ts";
import { count, printProblems } from "./checked.ts";
import { oneLine, paint, type Terminal, visible } from "./terminal.ts";

/** How many lines of one part are shown; `--json` shows all. */
const MOST_LINES = 40;
/** How many lines are shown at each end of a part that is equal on both sides, or was only seen. */
const ENDS = 3;

/** Prints results as they arrive, those of a file below its name. */
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

/** Prints what does not load, and a count. */
export function printSummary(terminal: Terminal, { results, problems }: TestReport): void {
  if (results.length + problems.length > 0) terminal.write("\n");
  printProblems(terminal, problems);
  const failed = results.filter(({ failure }) => failure !== undefined).length;
  const counts = [
    `${count(results.length - failed, "test")} passed`,
    `${failed} failed`,
    ...problems.length > 0 ? [count(problems.length, "problem")] : [],
  ];
  terminal.write(paint(terminal, failed + problems.length > 0 ? "red" : "green", counts.join(", ")) + "\n");
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
  const shown = lines.slice(0, MOST_LINES);
  if (lines.length > MOST_LINES) shown.push(`… ${lines.length - MOST_LINES} more lines (--json shows all)`);
  terminal.write(shown.map((line) => `        ${line}\n`).join(""));
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
