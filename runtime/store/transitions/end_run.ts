import { causeOf, type OwnEvent } from "../../model/event.ts";
import { asJson } from "../../model/json.ts";
import type { StepRecord } from "../../model/run.ts";
import type { RunHeader, RunText } from "../history/history_lines.ts";
import { join } from "../ledger/keys.ts";
import type { Rows } from "../ledger/rows.ts";
import type { EndedRunRow, RunRow } from "../ledger/tables.ts";
import type { Cancelled, Decision, RunEnd } from "../store.ts";
import { countEnd } from "./rule_rows.ts";
import { readEvent, releaseEvent } from "./event_rows.ts";
import { refreshLane } from "./lanes.ts";
import { putNotice } from "./notices.ts";
import { endPatches } from "./progress.ts";
import { addNote, dropStep, readNotes, readSteps } from "./run_rows.ts";
import type { TransitionContext } from "./transition.ts";
import { cancellation, cancelWaits } from "./waits.ts";

/** Options of `endRun`. */
interface EndOptions {
  /** False if only the verdict is shown, as after a condition's no. @default true */
  listed?: boolean;
  /** The record of its last step, if that has no row. */
  last?: StepRecord;
}

/**
 * Ends a live run in any state and frees its slot. Moves it to history with its whole trace, and drops all its rows. So history
 * needs only the segment that contains the end.
 */
export function endRun(
  rows: Rows,
  run: RunRow,
  end: RunEnd,
  context: TransitionContext,
  { listed = true, last }: EndOptions = {},
): void {
  const { now } = context;
  cancelWaits(rows, run.id, now);
  const { data: _data, http: _http, ...head } = readEvent(rows, run.event);
  const {
    waitingFor: _waitingFor,
    due: _due,
    readyAt: _readyAt,
    owner: _owner,
    admission: _admission,
    woken: _woken,
    ending: _ending,
    ...rest
  } = run;
  const ended: EndedRunRow = { ...rest, state: end.state, endedAt: now, spent: Math.round(end.spent), head };
  if (end.error !== undefined) ended.error = end.error;
  if (end.failedStep !== undefined) ended.failedStep = end.failedStep;
  if (end.output !== undefined) ended.output = end.output;
  const steps = readSteps(rows, run.id);
  const trace: RunText = {
    run: ended,
    event: run.event,
    steps: last ? [...steps, last] : steps,
    notes: readNotes(rows, run.id),
  };
  const { id, rule, version, event, createdAt } = run;
  const subject = head.subject ?? null;
  const header: RunHeader = [id, rule, end.state, event, subject, createdAt, now, listed ? 1 : 0, version];
  rows.record({ kind: "run", header, body: trace });
  dropRun(rows, run, steps);
  if (listed) countEnd(rows, run, end.state, now);
  refreshLane(rows, run.rule, run.lane);
  if (end.state !== "cancelled") putNotice(rows, `whenthen.run.${end.state}`, context, () => reportOf(run, end, head));
}

/** The content of the own event about the end of a run. */
function reportOf({ id, rule }: RunRow, end: RunEnd, event: EndedRunRow["head"]): Omit<OwnEvent, "type"> {
  return {
    subject: rule,
    data: {
      rule,
      run: id,
      state: end.state,
      event: { type: event.type, id: event.id, ...event.subject !== undefined && { subject: event.subject } },
      ...end.error && { error: asJson(end.error) },
      ...end.failedStep !== undefined && { failedStep: end.failedStep },
    },
    cause: causeOf({ id, rule, event }),
  };
}

function dropRun(rows: Rows, run: RunRow, steps: StepRecord[]): void {
  for (const { path } of steps) dropStep(rows, run.id, path);
  for (const table of ["note", "taken"] as const) {
    if (rows.size(table) === 0) continue;
    rows.dropRange(table, "run", join(run.id, ""));
  }
  endPatches(rows, run.id);
  rows.drop("run", run.id);
  releaseEvent(rows, run.event);
}

/** Ends a live run that is not wanted any more. */
export function endCancelled(rows: Rows, run: RunRow, reason: string, context: TransitionContext): void {
  endRun(rows, run, { state: "cancelled", error: cancellation(reason), spent: run.spent }, context);
}

/** Ends a run; does nothing if it has already ended. */
export function finishRun(
  rows: Rows,
  { run: id, end }: { run: string; end: RunEnd },
  context: TransitionContext,
): void {
  const run = rows.get("run", id);
  if (run) endRun(rows, run, end, context);
}

/** A request to end a run. */
export interface Cancelling {
  run: string;
  reason: string;
  decision?: Decision;
  /** The replica that asks, if several share the store. */
  replica?: string;
}

/**
 * Ends a queued or waiting run. Adds a note to a running one, which its runner ends: if that is in another replica, it is asked
 * to.
 * @returns undefined if it is not live
 */
export function cancelRun(
  rows: Rows,
  { run: id, reason, decision, replica }: Cancelling,
  context: TransitionContext,
): Cancelled | undefined {
  const run = rows.get("run", id);
  if (run === undefined) return undefined;
  addNote(rows, id, reason, context.now, decision);
  if (run.state === "running") return askToEnd(rows, run, reason, decision, replica);
  endCancelled(rows, run, reason, context);
  return { kind: "asked", state: "cancelled", ended: true };
}

function askToEnd(
  rows: Rows,
  run: RunRow,
  reason: string,
  decision: Decision | undefined,
  replica: string | undefined,
): Cancelled {
  const asked: Cancelled = { kind: "asked", state: "running", ended: false };
  if (replica === undefined || run.owner === undefined || run.owner === replica) return asked;
  const ending = { reason, ...decision && { by: decision.by } };
  if (run.ending === undefined) rows.put("run", run.id, { ...run, ending });
  return { ...asked, owner: run.owner };
}

/** Ends a run whose owner was asked to end it, but let it go before it saw that. @returns whether it has ended */
export function endAsked(rows: Rows, run: RunRow, context: TransitionContext): boolean {
  if (run.ending === undefined) return false;
  endCancelled(rows, run, run.ending.reason, context);
  return true;
}
