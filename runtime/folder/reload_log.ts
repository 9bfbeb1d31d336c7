import { logLines } from "../host/log_line.ts";
import { formatProblem } from "../model/problem.ts";
import type { Loaded } from "./loaded.ts";
import { describeReload, type ReloadLine } from "./reload.ts";

/** The log level of each line. */
const LEVELS: Record<ReloadLine["what"], "info" | "warn" | "error"> = {
  loaded: "info",
  kept: "error",
  failed: "error",
  late: "warn",
  removed: "info",
};

/** Logs a reload: a line for each affected rule, then the problems that these lines do not show. */
export function logReload(before: Loaded | undefined, after: Loaded): void {
  const lines = describeReload(before, after);
  for (const { rule, what, file, text } of lines) {
    logLines(LEVELS[what], text.split("\n"), { rule, what, file });
  }
  const shown = new Set(lines.map(({ file }) => file));
  const known = new Set(before?.problems.map(formatProblem));
  for (const problem of after.problems) {
    const text = formatProblem(problem);
    if (shown.has(problem.file) || known.has(text)) continue;
    logLines(problem.severity === "error" ? "error" : "warn", text.split("\n"), { file: problem.file });
  }
}
