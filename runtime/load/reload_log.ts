import { logLine } from "../host/log.ts";
import { formatProblem } from "../model/problem.ts";
import type { Loaded } from "./loaded.ts";
import { describeReload } from "./reload.ts";

/** Logs a reload: a line for each affected rule, then the problems that no such line shows. */
export function logReload(before: Loaded | undefined, after: Loaded): void {
  const lines = describeReload(before, after);
  for (const { rule, what, file, text } of lines) {
    logLine(what === "kept" || what === "failed" ? "error" : "info", text, { rule, what, file });
  }
  const shown = new Set(lines.map(({ file }) => file));
  const known = new Set(before?.problems.map(formatProblem));
  for (const problem of after.problems) {
    const text = formatProblem(problem);
    if (shown.has(problem.file) || known.has(text)) continue;
    logLine(problem.severity === "error" ? "error" : "warn", text, { file: problem.file });
  }
}
