import type { StepRecord } from "../../model/run.ts";
import type { Decision, Note, Refused, Seen } from "../store.ts";
import type { Transition } from "./transition.ts";
import { join } from "../ledger/ordered.ts";
import type { Rows } from "../ledger/rows.ts";

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
  else rows.record("more", ["run", run], { note: noteOf(text, now, decision) });
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

/**
 * Makes an action refuse a run that has changed since somebody decided on it: it has ended, is live again, or another
 * person has acted on it.
 * @param trace of the run, with its notes if it has ended
 */
export function unlessChanged<I, R>(
  transition: Transition<I, R>,
  { run: { id }, notes }: { run: { id: string }; notes: Note[] },
  seen: Seen,
): Transition<I, R | Refused> {
  return (rows, input, at) => {
    const live = rows.get("run", id);
    const acts = (live === undefined ? notes : readNotes(rows, id)).filter(({ by }) => by !== undefined);
    if (acts.length === seen.actions && (live === undefined) === seen.ended) return transition(rows, input, at);
    const last = acts.length > seen.actions ? `: ${acts.at(-1)!.text}` : live === undefined ? ": it has ended" : "";
    return { kind: "refused", reason: `Run ${id} has changed since it was looked at${last}` };
  };
}
