import type { Event } from "../../model/event.ts";
import type { Run, StepRecord, StepWait } from "../../model/run.ts";
import { join } from "../ledger/keys.ts";
import type { Rows } from "../ledger/rows.ts";
import type { RunRow } from "../ledger/tables.ts";
import type { Admission, Candidate, ClaimedRun, Decision, Lease, Note } from "../store.ts";
import { ASKING, ASKING_BOUNDS, boundsOf, enterLane, isNext, laneOf } from "./lanes.ts";

/** Converts a row to a run. @param waits what its steps wait for */
export function toRun(row: RunRow, event: Event, waits: StepWait[] = []): Run {
  const { id, rule, version, trigger, state, createdAt, spent } = row;
  const run: Run = { id, rule, version, trigger, event, state, createdAt, spent };
  // No conditional spreads: they are slower, and this happens for each run.
  if (row.inputs !== undefined) run.inputs = row.inputs;
  if (row.waitingFor !== undefined) run.waitingFor = row.waitingFor;
  else if (state === "queued") run.waitingFor = "its turn";
  if (waits.length > 0) run.waits = waits;
  if (row.due !== undefined) run.due = row.due;
  if (row.key !== null) run.key = row.key;
  if (row.startedAt !== undefined) run.startedAt = row.startedAt;
  if (row.endedAt !== undefined) run.endedAt = row.endedAt;
  if (row.error !== undefined) run.error = row.error;
  if (row.output !== undefined) run.output = row.output;
  if (row.replayOf !== undefined) run.replayOf = row.replayOf;
  return run;
}

/** What a run's steps wait for, oldest first. */
export function readWaits(rows: Rows, run: string): StepWait[] {
  return rows.ofRun("wait", run).sort((a, b) => a.position - b.position).map(({ path, kind, what, since, until }) => ({
    step: path,
    kind,
    what,
    since,
    ...(until !== undefined && { until }),
  }));
}

/** A row without the fields that say when and how it resumes. */
export function withoutPlans(row: RunRow): RunRow {
  const { waitingFor: _waitingFor, due: _due, readyAt: _readyAt, owner: _owner, ...rest } = row;
  return rest;
}

/** A lease that claims nothing. */
export const NO_LEASE: Lease = { owner: "", max: 0 };

/** The data of a new run. */
export interface NewRun {
  id: string;
  event: number;
  /** The newest event, if that is not its own. */
  began?: number;
  candidate: Pick<Candidate, "rule" | "version" | "trigger">;
  admission: Admission;
  readyAt: number;
  now: number;
  replayOf?: string;
  /** Decremented if the run is claimed. */
  lease?: Lease;
}

/**
 * Stores a new run as `queued`, in the group of its key or of runs whose condition has not run yet. If its lease allows and no
 * other run comes first, it is `running` instead.
 * @returns its row
 */
export function putRun(rows: Rows, run: NewRun): RunRow {
  const { rule, version, trigger } = run.candidate;
  const { asksFirst, key } = run.admission;
  const lane = asksFirst ? ASKING : laneOf(key);
  const bounds = asksFirst ? ASKING_BOUNDS : boundsOf(run.admission);
  const { lease = NO_LEASE } = run;
  const isHeld = run.readyAt > run.now;
  const isClaimed = lease.max > 0 && !isHeld && isNext(rows, rule, lane, bounds, run.now);
  const waitingFor = asksFirst ? "its condition" : isHeld ? "the rule's limit" : undefined;
  const row: RunRow = {
    id: run.id,
    rule,
    version,
    trigger,
    event: run.event,
    began: run.began ?? run.event,
    state: isClaimed ? "running" : "queued",
    key,
    lane,
    createdAt: run.now,
    spent: 0,
    alone: 0,
  };
  if (isHeld) row.due = run.readyAt;
  if (asksFirst) row.admission = run.admission;
  if (run.admission.inputs !== undefined) row.inputs = run.admission.inputs;
  if (run.replayOf !== undefined) row.replayOf = run.replayOf;
  if (isClaimed) {
    row.owner = lease.owner;
    // As in `claimRuns`: running the condition is not a start.
    if (!asksFirst) row.startedAt = run.now;
  } else {
    row.readyAt = run.readyAt;
    if (waitingFor !== undefined) row.waitingFor = waitingFor;
  }
  rows.put("run", run.id, row);
  enterLane(rows, rule, lane, bounds, isClaimed ? undefined : run.readyAt);
  if (isClaimed) lease.max--;
  return row;
}

/** A new run that was claimed at once. */
export function newlyClaimed(row: RunRow, event: Event): ClaimedRun {
  return { run: toRun(row, event), steps: [], asksFirst: row.admission !== undefined, again: false, alone: 0 };
}

/** The key of a step, or of its wait. */
export function stepKey(run: string, path: string): string {
  return join(run, path);
}

/** The records of a run's steps, in the order in which they were first made. */
export function readSteps(rows: Rows, run: string): StepRecord[] {
  return rows.ofRun("step", run).map(({ record }) => record);
}

/** The record of one step. */
export function readStep(rows: Rows, run: string, path: string): StepRecord | undefined {
  return rows.get("step", stepKey(run, path))?.record;
}

/** The records of all steps below a path, in the order in which they were first made. */
export function readStepsBelow(rows: Rows, run: string, path: string): StepRecord[] {
  return readSteps(rows, run).filter((step) => step.path.startsWith(`${path}/`));
}

/**
 * Writes a step's record; it keeps its position if it replaces one of the same path.
 * @param settled the store ended it: later records do not change it
 */
export function putStep(rows: Rows, run: string, record: StepRecord, settled = false): void {
  const key = stepKey(run, record.path);
  const position = rows.get("step", key)?.position ?? nextPosition(rows, run);
  rows.put("step", key, { run, position, record, ...(settled && { settled: true as const }) });
}

export function dropStep(rows: Rows, run: string, path: string): void {
  rows.drop("step", stepKey(run, path));
}

function nextPosition(rows: Rows, run: string): number {
  const last = rows.index("step", "run").last(join(run, ""));
  return last === undefined ? 0 : rows.get("step", last[1])!.position + 1;
}

/** Adds a line to a live run's trace. @param decision of the person who did it; absent if the program did */
export function addNote(rows: Rows, run: string, text: string, now: number, decision?: Partial<Decision>): void {
  const last = rows.index("note", "run").last(join(run, ""));
  const position = last === undefined ? 0 : Number(last[0].slice(run.length + 1)) + 1;
  rows.put("note", join(run, String(position).padStart(6, "0")), { run, ...noteOf(text, now, decision) });
}

/** Adds a line to the trace of a run, whether it is live or has ended. */
export function addNoteLater(rows: Rows, run: string, text: string, now: number, decision?: Decision): void {
  if (rows.get("run", run)) addNote(rows, run, text, now, decision);
  else rows.record({ kind: "more", header: ["run", run], body: { note: noteOf(text, now, decision) } });
}

function noteOf(text: string, at: number, { by, reason, bulk }: Partial<Decision> = {}): Note {
  const note: Note = { at, text };
  if (by !== undefined) note.by = by;
  if (reason !== undefined) note.reason = reason;
  if (bulk !== undefined) note.bulk = bulk;
  return note;
}

/** The lines of a live run's trace, in order. */
export function readNotes(rows: Rows, run: string): Note[] {
  return rows.ofRun("note", run).map(({ at, text, ...decision }) => noteOf(text, at, decision));
}
