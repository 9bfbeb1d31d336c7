import type { Rule } from "../../model/rule.ts";
import {
  CONDITION_STEP,
  describeState,
  isFinalStep,
  ON_ERROR_STEP,
  type StepRecord,
  withFailure,
} from "../../model/run.ts";
import type { Rows } from "../ledger/rows.ts";
import type { EventRow, RunRow } from "../ledger/tables.ts";
import { refused } from "../run_changes.ts";
import type { Decision, Note, Operated } from "../store.ts";
import { getVersion, uncountFailure } from "./rule_rows.ts";
import { reviveEvent } from "./event_rows.ts";
import { boundsOf, enterLane, newerInLane } from "./lanes.ts";
import { addNote, addNoteLater, putRun, putStep } from "./run_rows.ts";
import type { TransitionContext } from "./transition.ts";

/** A run with its trace, live or from history. */
export interface RunTrace {
  run: RunRow;
  steps: StepRecord[];
  notes: Note[];
}

/** A run that an operator retries, with its event if that is still stored. */
export interface Retry {
  trace: RunTrace;
  event: EventRow | undefined;
  decision: Decision;
}

/** Makes a failed run live again. It resumes after its last good step, at its old position among the runs of its key. */
export function retryRun(rows: Rows, { trace, event, decision }: Retry, { now }: TransitionContext): Operated {
  const { run, steps, notes } = trace;
  const rule = getVersion(rows, run.version);
  const why = refusal(rows, trace, rule, event);
  if (rule === undefined || event === undefined || why !== undefined) {
    return refused(`Cannot retry run ${run.id}: ${why}`);
  }
  const step = steps.find(({ path }) => path === run.failedStep)?.path;
  const { put, removed } = reopen(steps, step, now);
  const reopened = new Map(put.map((record) => [record.path, record]));
  for (const record of steps) {
    if (!removed.includes(record.path)) putStep(rows, run.id, reopened.get(record.path) ?? record);
    reopened.delete(record.path);
  }
  for (const record of reopened.values()) putStep(rows, run.id, record);
  for (const note of notes) addNote(rows, run.id, note.text, note.at, note);
  revive(rows, run, rule, step, now);
  reviveEvent(rows, event);
  const from = step === undefined ? "after its last recorded step" : `with step "${step}"`;
  addNote(rows, run.id, `Retried by ${decision.by}: it resumes ${from}`, now, decision);
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

/** The changes of a retry to a run's records. */
export interface Reopened {
  put: StepRecord[];
  /** Paths. */
  removed: string[];
}

/**
 * Reopens the records of a failed run, so that it resumes after its last good step. The failed step and the steps around it
 * that failed with it are attempted again. Steps that were cancelled because of the failure start anew, and the records of
 * `rule.onError` are removed. Failures that were handled stay, and so do branches that lost against others.
 */
function reopen(steps: StepRecord[], failedStep: string | undefined, now: number): Reopened {
  const failed = steps.find(({ path }) => path === failedStep);
  const removed = new Set(steps.map(({ path }) => path).filter((path) => isIn(path, ON_ERROR_STEP)));
  const put = new Map<string, StepRecord>();
  const open = (record: StepRecord, attempts: number) => put.set(record.path, opened(record, attempts, now));
  // A step that failed before its first attempt failed in its `if`, which runs again only if the step has no record.
  if (failed?.attempts === 0) removed.add(failed.path);
  else if (failed) open(failed, failed.attempts);
  for (const record of steps) {
    // Its attempt continues: another attempt of a called action would run all its steps again.
    if (failed && record.state === "failed" && failedWith(record.path, failed.path)) open(record, record.attempts - 1);
  }
  const stays = ({ path, state }: StepRecord) => isFinalStep(state) && !put.has(path) && !removed.has(path);
  const cancelled = steps.filter((step) => step.state === "cancelled" && stays(step));
  for (const record of cancelled.sort((a, b) => a.path.length - b.path.length)) {
    if (!steps.some((step) => stays(step) && isAround(step.path, record.path))) removed.add(record.path);
  }
  for (const record of cancelled) {
    const isBegun = record.attempts > 0 && steps.some((step) => stays(step) && isAround(record.path, step.path));
    if (!removed.has(record.path) || !isBegun) continue;
    removed.delete(record.path);
    open(record, record.attempts - 1);
  }
  return { put: [...put.values()], removed: [...removed] };
}

function opened(record: StepRecord, attempts: number, now: number): StepRecord {
  const { endedAt, output: _output, ...rest } = record;
  // Another attempt follows, so this one joins those that failed.
  const isAnother = attempts === record.attempts && record.state === "failed" && endedAt !== undefined && record.error;
  const failures = isAnother ? { failures: withFailure(record, record.error!, endedAt) } : {};
  return { ...rest, ...failures, state: "retrying", attempts, due: now };
}

function isIn(path: string, around: string): boolean {
  return path === around || isAround(around, path);
}

/** Whether a step is inside another one, or in a turn or attempt of it: `lines` is around `lines[3]/save`. */
function isAround(path: string, inside: string): boolean {
  return inside.length > path.length && inside.startsWith(path) && "/[@".includes(inside[path.length]);
}

/** Whether a failed step failed because of a step inside it, whose failure was not handled in between. */
function failedWith(path: string, inside: string): boolean {
  return isAround(path, inside) && !/^\/(onError|onTimeout)\//.test(inside.slice(path.length));
}

/** A run that an operator replays, with its event. */
export interface Replay {
  run: RunRow;
  event: EventRow;
  /** The version of the rule; that of the old run if undefined. */
  version: string | undefined;
  decision: Decision;
}

/**
 * Makes a new run of an old run's event. As an operator requests it, no limit delays it and no mode rejects it, but it queues in
 * the group of the old run's key.
 * @returns its id, or undefined if the version is no longer stored
 */
export function replayRun(
  rows: Rows,
  { run: old, event, version, decision }: Replay,
  { now, ids }: TransitionContext,
): string | undefined {
  const rule = getVersion(rows, version ?? old.version);
  if (rule === undefined) return undefined;
  const began = ids.last;
  // A new key, as the ids of an event's own runs are derived from the event's key.
  const key = ids.key(now);
  const run = ids.run(key, 0);
  rows.putFact("last", { receivedAt: now, ...rows.fact("last"), key });
  putRun(rows, {
    id: run,
    event: old.event,
    began,
    candidate: { rule: old.rule, version: rule.version, trigger: old.trigger },
    admission: {
      kind: "admit",
      mode: rule.mode,
      max: rule.max,
      key: old.key,
      limit: null,
      asksFirst: rule.if === "function",
      ...(old.inputs !== undefined && { inputs: old.inputs }),
    },
    readyAt: now,
    now,
    replayOf: old.id,
  });
  reviveEvent(rows, event);
  addNoteLater(rows, old.id, `Replayed by ${decision.by} as run ${run}`, now, decision);
  addNote(rows, run, `Replays run ${old.id}, asked for by ${decision.by}`, now, decision);
  return run;
}

/** A request of an operator to pin a run to another version of its rule. */
export interface Move {
  run: RunRow;
  version: string;
  decision: Decision;
}

/** Pins a run that is not running to another version of its rule; it stays in its group. */
export function moveRun(rows: Rows, { run, version, decision }: Move, { now }: TransitionContext): Operated {
  const cannot = (why: string) => refused(`Cannot move run ${run.id} to version ${version}: ${why}`);
  const live = rows.get("run", run.id);
  if (live === undefined) return cannot(`${describeState(run.state)}; replay it with that version`);
  if (live.state === "running") return cannot("it is running; try again when it waits");
  if (live.admission !== undefined) {
    return cannot("its condition is not evaluated yet, and only the version that it was created with can evaluate it");
  }
  if (live.version === version) return cannot("it is on that version already");
  const rule = getVersion(rows, version);
  if (!rule) return cannot("the store does not have it; only live versions and those of live runs are possible");
  if (rule.id !== live.rule) return cannot(`that is one of ${rule.id}, not of ${live.rule}`);
  rows.put("run", live.id, { ...live, version });
  addNote(rows, live.id, `Moved from version ${live.version} to ${version} by ${decision.by}`, now, decision);
  return { kind: "done" };
}
