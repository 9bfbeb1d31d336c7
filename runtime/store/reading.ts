import { type Event } from "../model/event.ts";
import { isFinal, type Run } from "../model/run.ts";
import type { EndedRun, History } from "./history/history.ts";
import type { Rows } from "./ledger/rows.ts";
import type { RunRow } from "./ledger/tables.ts";
import type { Store, Trace } from "./store.ts";
import type { EndedTrace } from "./transitions/end_run.ts";
import { readEvent } from "./transitions/events.ts";
import { readWaits, toRun } from "./transitions/run_rows.ts";
import { readNotes, readSteps } from "./transitions/trace.ts";

/** All that is known of a live run. */
export function readTrace(rows: Rows, id: string): Trace | undefined {
  const row = rows.get("run", id);
  return row && { run: liveRun(rows, row), steps: readSteps(rows, id), notes: readNotes(rows, id) };
}

/** All that is known of a run that has ended. */
export async function getRun(history: History, id: string): Promise<Trace | undefined> {
  const ended = await history.getRun(id);
  return ended && { run: await endedRun(history, ended), steps: ended.steps, notes: ended.notes };
}

type Filter = Parameters<Store["listRuns"]>[0];

/**
 * Runs, newest first, live and ended. Without those that only their condition was asked of.
 * @param event the key of the filter's event
 * @param read reads live rows; see `LedgerStore`
 */
export async function listRuns(
  history: History,
  filter: Filter,
  event: number | undefined,
  read: <T>(work: (rows: Rows) => T) => Promise<T>,
): Promise<Run[]> {
  const live = new Set<string>();
  const found = await read((rows) => {
    for (const id of rows.keys("run")) live.add(id);
    return liveRuns(rows, filter, event);
  });
  if (filter.waiting || (filter.state !== undefined && !isFinal(filter.state))) return found;
  const { rule, state, before, limit } = filter;
  const ended = await history.listRuns({ rule, state, before, event, limit, skip: (id) => live.has(id) });
  const runs = await Promise.all(ended.map((run) => endedRun(history, run)));
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

/** With its event's body if history still has that. */
async function endedRun(history: History, { run, event }: EndedRun): Promise<Run> {
  const row = run as unknown as EndedTrace["run"];
  const record = await history.getEvent(event);
  return toRun(row, record?.event ?? { ...row.head, data: null } as Event);
}
