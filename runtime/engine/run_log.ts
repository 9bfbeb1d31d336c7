import { logLine } from "../host/log_line.ts";
import { messageOf } from "../model/errors.ts";
import type { Run } from "../model/run.ts";
import { formatDuration } from "../model/duration.ts";
import type { Verdict } from "../model/event.ts";
import type { Receipt } from "../store/store.ts";
import type { TriggerLog } from "../triggers/trigger.ts";

/** The log of one trigger. */
export function triggerLog(rule: string, trigger: string): TriggerLog {
  return {
    info: (message, details) => logLine("info", `${rule}: ${message}`, { ...details, rule, trigger }),
    warn: (message, details) => logLine("warn", `${rule}: ${message}`, { ...details, rule, trigger }),
  };
}

/** Logs the verdict of each rule on an event; a run that starts is logged when it ends. */
export function logReceipt({ event, delivery, verdicts }: Receipt): void {
  if (delivery === "duplicate") {
    return logLine("debug", `duplicate of ${event.id}: nothing starts`, { event: event.id });
  }
  for (const { rule, verdict } of verdicts) logVerdict(rule, event.id, verdict);
}

/** Logs a rule's verdict on an event, unless a run starts. */
export function logVerdict(rule: string, event: string, verdict: Verdict): void {
  if (verdict.kind === "started") return;
  const level = ["error", "looped", "invalid"].includes(verdict.kind) ? "error" : "info";
  logLine(level, `${rule}: ${verdict.kind}: ${verdict.reason}`, { rule, event, verdict: verdict.kind });
}

/** Logs how a run ended. */
export function logRun(run: Run): void {
  const details = { rule: run.rule, run: run.id, state: run.state };
  const took = formatDuration(run.spent);
  if (run.state === "failed") {
    logLine("error", `${run.rule} failed after ${took}: ${run.error?.message}; whenthen show ${run.id}`, details);
  } else logLine("info", `${run.rule} ${run.state} in ${took}`, details);
}

/** Logs a line that rule code wrote with `console.*`. */
export function logCode(level: "debug" | "info" | "warn" | "error", message: string, file: string, run?: string): void {
  logLine(level, message, { file, ...run !== undefined && { run } });
}

/** Logs an error that is not the fault of a rule. */
export function logError(message: string, error: unknown): void {
  logLine("error", `${message}: ${messageOf(error)}`, {});
}

/** Logs what an operator must know. */
export function logWarning(message: string): void {
  logLine("warn", message, {});
}
