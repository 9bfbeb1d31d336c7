import { logLine } from "../host/log_line.ts";
import { messageOf } from "../model/errors.ts";
import type { Run } from "../model/run.ts";
import { formatDuration } from "../model/duration.ts";
import type { Verdict } from "../model/verdict.ts";
import type { Receipt } from "../store/store.ts";
import type { TriggerLog } from "../triggers/trigger.ts";

/** Where the lines of one trigger go. */
export function triggerLog(rule: string, trigger: string): TriggerLog {
  return {
    info: (message, details) => logLine("info", `${rule}: ${message}`, { ...details, rule, trigger }),
    warn: (message, details) => logLine("warn", `${rule}: ${message}`, { ...details, rule, trigger }),
  };
}

/** What became of an event at each rule that it concerned; a run that starts is told when it ends. */
export function logReceipt({ event, delivery, verdicts }: Receipt): void {
  if (delivery === "duplicate") {
    return logLine("debug", `duplicate of ${event.id}: nothing starts`, { event: event.id });
  }
  for (const { rule, verdict } of verdicts) logVerdict(rule, event.id, verdict);
}

/** What became of an event at a rule, where it is anything but a run that starts. */
export function logVerdict(rule: string, event: string, verdict: Verdict): void {
  if (verdict.kind === "started") return;
  const level = verdict.kind === "error" || verdict.kind === "looped" ? "error" : "info";
  logLine(level, `${rule}: ${verdict.kind}: ${verdict.reason}`, { rule, event, verdict: verdict.kind });
}

/** How a run ended. */
export function logRun(run: Run): void {
  const details = { rule: run.rule, run: run.id, state: run.state };
  const took = formatDuration(run.spent);
  if (run.state === "failed") {
    logLine("error", `${run.rule} failed after ${took}: ${run.error?.message}; whenthen show ${run.id}`, details);
  } else logLine("info", `${run.rule} ${run.state} in ${took}`, details);
}

/** A line that rule code wrote with `console.*`. */
export function logCode(level: "debug" | "info" | "warn" | "error", message: string, file: string, run?: string): void {
  logLine(level, message, { file, ...run !== undefined && { run } });
}

/** Something went wrong that is nobody's rule. */
export function logError(message: string, error: unknown): void {
  logLine("error", `${message}: ${messageOf(error)}`, {});
}

/** What an operator must know. */
export function logWarning(message: string): void {
  logLine("warn", message, {});
}
