import type { Json } from "../../model/json.ts";
import { isFinalStep, type StepRecord } from "../../model/run.ts";
import type { Rows } from "../ledger/rows.ts";
import type { StepRow } from "../ledger/tables.ts";
import type { StepEffects, StepResult } from "../store.ts";
import { endRun } from "./end_run.ts";
import { putReply } from "./event_rows.ts";
import { endPatches, exchangeState, writePatched } from "./progress.ts";
import { addNote, putStep, readStep, readStepsBelow, stepKey } from "./run_rows.ts";
import type { TransitionContext } from "./transition.ts";
import { cancelStep, dropWait, putWait } from "./waits.ts";

/** A step's record with its effects. */
export interface Recording {
  run: string;
  record: StepRecord;
  effects: StepEffects;
}

/** One step's record together with its effects. A result of a run that has ended is dropped. */
export function recordStep(
  rows: Rows,
  { run: id, record, effects }: Recording,
  context: TransitionContext,
): StepResult {
  const { state, reply, wait, cancels, end, patched } = effects;
  const run = rows.get("run", id);
  if (run === undefined) return { record, dropped: true };
  const known = rows.get("step", stepKey(id, record.path));
  const settled = readSettled(rows, id, record, known) ?? (wait && readEnded(known));
  if (settled) {
    if (isFinalStep(record.state)) endPatches(rows, id, record.path);
    return { record: settled };
  }
  const output: Json | undefined = state ? exchangeState(rows, state, context.now) : record.output;
  if (patched) writePatched(rows, patched, context);
  if (isFinalStep(record.state)) endPatches(rows, id, record.path);
  const stored = output === undefined ? record : { ...record, output };
  // The usual end of a run: its last step moves to history with it, and needs no row before that.
  if (end && !reply && !cancels && !wait && known === undefined) {
    endRun(rows, run, end, context, { last: stored });
    return { record: stored, ended: true };
  }
  putStep(rows, id, stored);
  if (cancels) cancelBranches(rows, id, record, cancels, context.now);
  if (wait) {
    putWait(rows, id, stored, wait, context);
    return { record: stored };
  }
  if (record.state !== "waiting") {
    dropWait(rows, { run: id, path: record.path }, record.state === "cancelled" ? "cancelled" : "expired");
  }
  const replied = reply && putReply(rows, run.event, reply);
  const ended = end !== undefined && replied !== false;
  if (ended) endRun(rows, run, end, context);
  return { record: stored, ...(reply && { replied }), ...(ended && { ended }) };
}

/** The record of a step that the store has ended: its wait ended, or its branch lost. */
function readSettled(rows: Rows, run: string, record: StepRecord, known: StepRow | undefined): StepRecord | undefined {
  if (known?.settled) return known.record;
  const lost = findLost(rows, run, record.path);
  if (lost === undefined) return undefined;
  const { output: _output, due: _due, ...rest } = record;
  const cancelled: StepRecord = { ...rest, state: "cancelled", endedAt: lost.endedAt, error: lost.error };
  putStep(rows, run, cancelled, true);
  return cancelled;
}

/** An ended step does not wait again, even if an escalation in flight records a wait: its form would stay open forever. */
function readEnded(known: StepRow | undefined): StepRecord | undefined {
  return known && isFinalStep(known.record.state) ? known.record : undefined;
}

/** The branch above a step that was cancelled. */
function findLost(rows: Rows, run: string, path: string): StepRecord | undefined {
  for (let at = path.indexOf("/"); at !== -1; at = path.indexOf("/", at + 1)) {
    const above = settledAt(rows, run, path.slice(0, at));
    if (above?.state === "cancelled") return above;
  }
  return undefined;
}

function settledAt(rows: Rows, run: string, path: string): StepRecord | undefined {
  const step = rows.get("step", stepKey(run, path));
  return step?.settled && step.record;
}

/**
 * Ends branches that lost: these paths, and all steps below them that have not ended, become `cancelled`.
 * @param by the step that ended without them
 */
function cancelBranches(rows: Rows, run: string, by: StepRecord, paths: string[], now: number): void {
  const lost: string[] = [];
  const failure = by.state === "failed" ? `step "${by.error?.step ?? by.path}" failed` : undefined;
  const reason = failure === undefined
    ? `Its branch lost: "${by.path}" was decided without it`
    : `Its branch was abandoned: ${failure}`;
  for (const path of paths) {
    const branch: StepRecord = readStep(rows, run, path) ??
      { path, kind: "branch", state: "waiting", attempts: 0, startedAt: now };
    const open = [...readStepsBelow(rows, run, path), branch].filter(({ state }) => !isFinalStep(state));
    for (const record of open) cancelStep(rows, run, record, reason, now);
    if (open.includes(branch)) lost.push(`"${path}"`);
  }
  const them = lost.length === 1 ? "it" : "them";
  const why = failure ?? `"${by.path}" was decided without ${them}`;
  if (lost.length > 0) addNote(rows, run, `Cancelled ${lost.join(", ")}: ${why}`, now);
}
