import type { Rule } from "../../model/rule.ts";
import { CONDITION_STEP, describeState, type StepRecord } from "../../model/run.ts";
import type { Rows } from "../ledger/rows.ts";
import type { EventRow, RunRow } from "../ledger/tables.ts";
import type { Operated } from "../store.ts";
import { uncountFailure } from "./counters.ts";
import { reviveEvent } from "./events.ts";
import { boundsOf, enterLane, newerInLane } from "./lanes.ts";
import { reopen } from "./reopen.ts";
import { addNote, putStep } from "./trace.ts";
import type { At } from "./transition.ts";
import { getVersion } from "./versions.ts";

/** A run with its trace, live or from history. */
export interface RunTrace {
  run: RunRow;
  steps: StepRecord[];
  notes: { at: number; text: string }[];
}

/** A run that an operator retries, with its event if that is still stored. */
export interface Retry {
  trace: RunTrace;
  event: EventRow | undefined;
  by: string;
}

/** Makes a failed run live again. It resumes after its last good step, at its old position among the runs of its key. */
export function retryRun(rows: Rows, { trace, event, by }: Retry, { now }: At): Operated {
  const { run, steps, notes } = trace;
  const rule = getVersion(rows, run.version);
  const why = refusal(rows, trace, rule, event);
  if (rule === undefined || event === undefined || why !== undefined) {
    return { kind: "refused", reason: `Cannot retry run ${run.id}: ${why}` };
  }
  const step = steps.find(({ path }) => path === run.failedStep)?.path;
  const { put, removed } = reopen(steps, step, now);
  const reopened = new Map(put.map((record) => [record.path, record]));
  for (const record of steps) {
    if (!removed.includes(record.path)) putStep(rows, run.id, reopened.get(record.path) ?? record);
    reopened.delete(record.path);
  }
  for (const record of reopened.values()) putStep(rows, run.id, record);
  for (const note of notes) addNote(rows, run.id, note.text, note.at);
  revive(rows, run, rule, step, now);
  reviveEvent(rows, event);
  const from = step === undefined ? "after its last recorded step" : `with step "${step}"`;
  addNote(rows, run.id, `Retried by ${by}: it resumes ${from}`, now);
  return { kind: "done", ...(step !== undefined && { step }) };
}

/** Why a run cannot be retried, and what to do instead. */
function refusal(
  rows: Rows,
  { run, steps }: RunTrace,
  rule: Rule | undefined,
  event: EventRow | undefined,
): string | undefined {
  if (rows.get("run", run.id)) return `it has not ended, ${describeState(rows.get("run", run.id)!.state)}`;
  if (run.state !== "failed") return `${describeState(run.state)}, and only a failed run can be; replay it`;
  if (rule === undefined) {
    return `version ${run.version} of its rule is no longer kept; replay it with the rule as it is now`;
  }
  if (event === undefined) return "its event is no longer in history; send the event again";
  if (steps.some(({ path, state }) => path === CONDITION_STEP && state === "failed")) {
    return "its condition failed, before any step; replay it";
  }
  const newer = rule.mode === "restart" ? newerInLane(rows, run) : undefined;
  return newer && `the newer run ${newer} has replaced it, as its rule's mode is restart`;
}

/** @param step the step that failed it. Without one, a run that exceeded its time limit gets its full time again */
function revive(rows: Rows, run: RunRow, rule: Rule, step: string | undefined, now: number): void {
  const hasTimedOut = step === undefined && run.error?.name === "TimeoutError";
  const { endedAt: _endedAt, error: _error, failedStep: _failedStep, output: _output, ...rest } = run;
  rows.put("run", run.id, { ...rest, state: "queued", readyAt: now, spent: hasTimedOut ? 0 : run.spent });
  uncountFailure(rows, run.rule);
  enterLane(rows, run.rule, run.lane, boundsOf(rule), now);
}
