import type { Event } from "../../model/event.ts";
import type { StepRecord } from "../../model/run.ts";
import { join } from "../ledger/ordered.ts";
import type { Rows } from "../ledger/rows.ts";
import type { RunRow } from "../ledger/tables.ts";
import type { RunEnd } from "../store.ts";
import { countEnd } from "./counters.ts";
import { readEvent, releaseEvent } from "./events.ts";
import { refreshLane } from "./lanes.ts";
import { withoutPlans } from "./run_rows.ts";
import { dropStep, readNotes, readSteps } from "./trace.ts";
import type { At } from "./transition.ts";
import { cancelWaits } from "./waits.ts";

/** A run that has ended, as history has it. */
export interface EndedTrace {
  /** With its event but for the body, which may be in an older part of history. */
  run: RunRow & { head: Omit<Event, "data" | "http"> };
  event: number;
  steps: StepRecord[];
  notes: { at: number; text: string }[];
}

/**
 * Ends a live run, whatever state it is in, and frees its slot. It goes to history whole, with its trace, and all its rows go: so
 * history needs nothing but the segment that the end is in.
 * @param listed false if only the verdict is to be seen, as after a condition's no
 */
export function endRun(rows: Rows, run: RunRow, end: RunEnd, now: number, listed = true): void {
  cancelWaits(rows, run.id, now);
  const { admission: _admission, woken: _woken, ...rest } = withoutPlans(run);
  const ended: RunRow = {
    ...rest,
    state: end.state,
    endedAt: now,
    spent: Math.round(end.spent),
    ...(end.error !== undefined && { error: end.error }),
    ...(end.failedStep !== undefined && { failedStep: end.failedStep }),
    ...(end.output !== undefined && { output: end.output }),
  };
  const { data: _data, http: _http, ...head } = readEvent(rows, run.event);
  const trace: EndedTrace = {
    run: { ...ended, head },
    event: run.event,
    steps: readSteps(rows, run.id),
    notes: readNotes(rows, run.id),
  };
  const { id, rule, version, event, createdAt } = run;
  const header = [id, rule, end.state, event, head.subject ?? null, createdAt, now, Number(listed), version];
  rows.record("run", header, trace);
  dropRun(rows, run, trace.steps.map(({ path }) => path));
  if (listed) countEnd(rows, run, end.state);
  refreshLane(rows, run.rule, run.lane);
}

function dropRun(rows: Rows, run: RunRow, steps: string[]): void {
  for (const path of steps) dropStep(rows, run.id, path);
  for (const table of ["note", "taken"] as const) {
    for (const key of rows.index(table, "run").range(join(run.id, ""), undefined, Infinity)) rows.drop(table, key);
  }
  rows.drop("run", run.id);
  releaseEvent(rows, run.event);
}

/** Ends a run; one that has ended stays as it is. */
export function finishRun(rows: Rows, { run: id, end }: { run: string; end: RunEnd }, { now }: At): void {
  const run = rows.get("run", id);
  if (run) endRun(rows, run, end, now);
}
