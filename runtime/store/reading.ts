import { type Event } from "../model/event.ts";
import { isFinal, type Run } from "../model/run.ts";
import type { BriefText } from "./history/lines.ts";
import type { History } from "./history/history.ts";
import { ordered } from "./ledger/ordered.ts";
import type { Rows } from "./ledger/rows.ts";
import type { EventRow, RunRow } from "./ledger/tables.ts";
import type { Store, Trace } from "./store.ts";
import type { EndedTrace } from "./transitions/end_run.ts";
import { readEvent } from "./transitions/events.ts";
import type { RunTrace } from "./transitions/retry_run.ts";
import { readWaits, toRun } from "./transitions/run_rows.ts";
import { readNotes, readSteps } from "./transitions/trace.ts";

/** The whole trace of a live run. */
export function readTrace(rows: Rows, id: string): Trace | undefined {
  const row = rows.get("run", id);
  return row && { run: liveRun(rows, row), steps: readSteps(rows, id), notes: readNotes(rows, id) };
}

/** The whole trace of a run that has ended. */
export async function getRun(history: History, id: string): Promise<Trace | undefined> {
  const ended = await history.getRun(id);
  if (ended === undefined) return undefined;
  const events = await history.getEvents([ended.event]);
  return { run: endedRun(ended, events), steps: ended.steps, notes: ended.notes };
}

/** Reads live rows in its turn; see `LedgerStore`. */
type Read = <T>(work: (rows: Rows) => T) => Promise<T>;

/** A live run without its steps, or an ended run with its whole trace. */
export async function findTrace(
  history: History,
  id: string,
  read: Read,
): Promise<RunTrace & { event: number } | undefined> {
  const live = await read((rows) => {
    const run = rows.get("run", id);
    return run && { run, event: run.event, steps: [], notes: [] };
  });
  // History stores the row of the run as it was at its end.
  return live ?? await history.getRun(id) as unknown as EndedTrace | undefined;
}

/** An event, live or in history. */
export async function findEvent(history: History, key: number, read: Read): Promise<EventRow | undefined> {
  const live = await read((rows) => rows.get("event", ordered(key)));
  if (live) return live;
  const record = await history.getEvent(key);
  if (record === undefined) return undefined;
  const { receivedAt, delivery, verdicts, event } = record;
  return { key, receivedAt, delivery: delivery as EventRow["delivery"], verdicts, event };
}

type Filter = Parameters<Store["listRuns"]>[0];

/**
 * Runs, newest first, live and ended. Excludes runs that ended with their condition.
 * @param event the key of the filter's event
 */
export async function listRuns(
  history: History,
  filter: Filter,
  event: number | undefined,
  read: Read,
): Promise<Run[]> {
  const live = new Set<string>();
  const found = await read((rows) => {
    for (const id of rows.keys("run")) live.add(id);
    return liveRuns(rows, filter, event);
  });
  if (filter.waiting || (filter.state !== undefined && !isFinal(filter.state))) return found;
  const { rule, state, before, limit } = filter;
  const ended = await history.listRuns({ rule, state, before, event, limit, skip: (id) => live.has(id) });
  const events = await history.getEvents(ended.map(({ event }) => event));
  const runs = ended.map((run) => endedRun(run, events));
  return [...found, ...runs].sort((a, b) => a.id < b.id ? 1 : -1).slice(0, limit);
}

function liveRuns(rows: Rows, { rule, state, waiting, before, limit }: Filter, event: number | undefined): Run[] {
  if (state !== undefined && isFinal(state)) return [];
  const runs: Run[] = [];
  const index = rows.index("run", "id");
  for (let entry = index.last("", before); entry && runs.length < limit; entry = index.last("", entry[0])) {
    const row = rows.get("run", entry[1])!;
    if (rule !== undefined && row.rule !== rule) continue;
    if (state !== undefined && row.state !== state) continue;
    if (event !== undefined && row.event !== event) continue;
    if (waiting && readWaits(rows, row.id).length === 0) continue;
    runs.push(liveRun(rows, row));
  }
  return runs;
}

function liveRun(rows: Rows, row: RunRow): Run {
  return toRun(row, readEvent(rows, row.event), readWaits(rows, row.id));
}

/** @param events those that history still has; without its event, a run has only the event's head */
function endedRun({ run, event }: BriefText, events: Map<number, Event>): Run {
  const row = run as unknown as EndedTrace["run"];
  return toRun(row, events.get(event) ?? { ...row.head, data: null } as Event);
}
