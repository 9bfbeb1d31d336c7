import { logLines } from "../host/log_line.ts";
import { escapeControls, formatProblem, type Problem } from "../model/problem.ts";
import type { Loaded } from "./loaded.ts";

/** What a reload changes for each rule, by id. `Loaded.rules` contains kept rules too: it is what is in force. */
export interface Reload {
  /** New, or in another version: its triggers are swapped. */
  loaded: string[];
  /** Its file does not load; its last good version continues. */
  kept: string[];
  /** Its file does not load and there is no good version to keep. */
  failed: string[];
  /** Its file was removed. */
  removed: string[];
  unchanged: string[];
}

/** One log line about one rule. */
interface ReloadLine {
  rule: string;
  what: "loaded" | "kept" | "failed" | "late" | "removed";
  file: string;
  /** One line, or several if it shows problems. */
  text: string;
}

/** Compares two loads. */
export function diff(previous: Loaded | undefined, next: Loaded): Reload {
  const reload: Reload = { loaded: [], kept: [], failed: [], removed: [], unchanged: [] };
  const broken = new Set(next.broken.values());
  for (const [id, rule] of next.rules) {
    if (broken.has(id)) reload.kept.push(id);
    else if (previous?.rules.get(id)?.version === rule.version) reload.unchanged.push(id);
    else reload.loaded.push(id);
  }
  for (const id of broken) if (!next.rules.has(id)) reload.failed.push(id);
  for (const id of previous?.rules.keys() ?? []) {
    if (!next.rules.has(id) && !broken.has(id)) reload.removed.push(id);
  }
  return reload;
}

/**
 * One line for each rule that the reload affects. A rule that is still broken in the same way, or still late, is not
 * repeated.
 */
export function describeReload(previous: Loaded | undefined, next: Loaded): ReloadLine[] {
  const reload = diff(previous, next);
  const lines: ReloadLine[] = [];
  for (const rule of reload.loaded) {
    const { file, triggers, enabled } = next.rules.get(rule)!;
    const kinds = triggers.map(({ id }) => id.trim().replace(/\s+/g, " ")).join(", ");
    const text = `loaded ${escapeControls(rule)} (${escapeControls(kinds)})${enabled ? "" : ", disabled"}${
      listed(problemsOf(next, file))
    }`;
    lines.push({ rule, what: "loaded", file, text });
  }
  for (const what of ["kept", "failed"] as const) {
    for (const rule of reload[what]) {
      const file = fileOf(next, rule);
      const problems = listed(problemsOf(next, file));
      if (previous && previous.broken.has(file) && listed(problemsOf(previous, file)) === problems) continue;
      const says = what === "kept" ? "the last good version stays live" : "it does not load";
      lines.push({ rule, what, file, text: `${what} ${escapeControls(rule)}: ${says}${problems}` });
    }
  }
  for (const [file, rule] of next.late) {
    if (previous?.late.has(file)) continue;
    const meanwhile = next.rules.has(rule) ? "the last good version stays live" : "its events start nothing";
    const text = `late ${escapeControls(rule)}: its code is still being evaluated; until then ${meanwhile}`;
    lines.push({ rule, what: "late", file, text });
  }
  for (const rule of reload.removed) {
    lines.push({
      rule,
      what: "removed",
      file: previous!.rules.get(rule)!.file,
      text: `removed ${escapeControls(rule)}`,
    });
  }
  return lines;
}

function fileOf(loaded: Loaded, rule: string): string {
  for (const [file, id] of loaded.broken) if (id === rule) return file;
  return loaded.rules.get(rule)?.file ?? rule;
}

function problemsOf(loaded: Loaded, file: string): Problem[] {
  return loaded.problems.filter((problem) => problem.file === file);
}

function listed(problems: Problem[]): string {
  return problems.map((problem) => `\n${formatProblem(problem)}`).join("");
}

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
