import type { Event } from "../model/event.ts";
import { isFinal, type Run, type RunState } from "../model/run.ts";
import type { History } from "./history/history.ts";
import type { BriefText, RunHeader } from "./history/history_lines.ts";
import { keyAt, ordered, runIdAt } from "./ledger/keys.ts";
import type { Rows } from "./ledger/rows.ts";
import type { EventRow, RunRow } from "./ledger/tables.ts";
import type { EventIdentity, EventRecord, EventSearch, Found, Reply, RunHead, RunSearch, Trace } from "./store.ts";
import { findIdentity, readEvent } from "./transitions/event_rows.ts";
import type { RunTrace } from "./transitions/operate_run.ts";
import { readNotes, readSteps, readWaits, toRun } from "./transitions/run_rows.ts";

/** Reads live rows in order with the transitions; see `LedgerStore`. */
export type Read = <T>(work: (rows: Rows) => T) => Promise<T>;

/** Reads runs and events, of which some are live and others in history. */
export class Reading {
  /** @param history as it is now */
  constructor(private readonly history: () => History, private readonly read: Read) {}

  async getRun(id: string): Promise<Trace | undefined> {
    return await this.read((rows) => readTrace(rows, id)) ?? await this.#getEndedRun(id);
  }

  async #getEndedRun(id: string): Promise<Trace | undefined> {
    const ended = await this.history().getRun(id);
    if (ended === undefined) return undefined;
    const events = await this.history().getEvents([ended.event]);
    return { run: endedRun(ended, events), steps: ended.steps, notes: ended.notes };
  }

  getLiveRuns(ids: string[]): Promise<Run[]> {
    return this.read((rows) =>
      ids.map((id) => rows.get("run", id)).filter((row) => row !== undefined).map((row) => liveRun(rows, row))
    );
  }

  /** A live run without its steps, or an ended run with its whole trace. */
  async findTrace(id: string): Promise<RunTrace & { event: number } | undefined> {
    const live = await this.read((rows) => {
      const run = rows.get("run", id);
      return run && { run, event: run.event, steps: [], notes: [] };
    });
    return live ?? await this.history().getRun(id);
  }

  /** An event, live or in history. */
  async findEvent(key: number): Promise<EventRow | undefined> {
    const live = await this.read((rows) => rows.get("event", ordered(key)));
    if (live) return live;
    const record = await this.history().getEvent(key);
    if (record === undefined) return undefined;
    const { receivedAt, delivery, verdicts, event } = record;
    return { key, receivedAt, delivery, verdicts, event };
  }

  /** Whether the event is live or in history; also true if what may have it cannot be read. */
  async hasEvent(key: number): Promise<boolean> {
    return await this.read((rows) => rows.get("event", ordered(key))) !== undefined ||
      await this.history().mayHaveEvent(key);
  }

  /** The same of a run. */
  async hasRun(id: string): Promise<boolean> {
    return await this.read((rows) => rows.get("run", id)) !== undefined || await this.history().mayHaveRun(id);
  }

  /** The reply to an event, live or in history. */
  async getReply(event: EventIdentity): Promise<Reply | undefined> {
    const found = await this.read((rows): { reply?: Reply; key?: number } => {
      const identity = findIdentity(rows, event);
      if (!identity?.replied) return {};
      const reply = rows.get("reply", ordered(identity.key));
      return reply ? { reply } : { key: identity.key };
    });
    return found.key === undefined ? found.reply : await this.history().getReply(found.key);
  }

  async getEvent(id: string): Promise<EventRecord | undefined> {
    const key = /^\d{1,16}$/.test(id) ? Number(id) : (await this.findTrace(id))?.event;
    return key === undefined ? undefined : await this.history().getEvent(key);
  }

  async findEventKey(event: EventIdentity): Promise<string | undefined> {
    const key = await this.#keyOf(event);
    return key === undefined ? undefined : String(key);
  }

  #keyOf(event: EventIdentity): Promise<number | undefined> {
    return this.read((rows) => findIdentity(rows, event)?.key);
  }

  /** Runs, newest first, live and ended. Excludes runs that ended with their condition. */
  searchRuns(search: RunSearch): Promise<Found<Run>> {
    return this.#search(search, liveRun, async (filter) => {
      const { rows, stoppedAt } = await this.history().listRuns(filter);
      const events = await this.history().getEvents(rows.map(({ event }) => event));
      return { rows: rows.map((run) => endedRun(run, events)), ...stoppedAt !== undefined && { stoppedAt } };
    });
  }

  /** The same with only the heads of the runs. */
  searchRunHeads(search: RunSearch): Promise<Found<RunHead>> {
    return this.#search(search, liveHead, async (filter) => {
      const { rows, stoppedAt } = await this.history().listRunHeaders(filter);
      return { rows: rows.map(endedHead), ...stoppedAt !== undefined && { stoppedAt } };
    });
  }

  async #search<T extends { id: string }>(
    search: RunSearch,
    ofLive: (rows: Rows, row: RunRow) => T,
    listEnded: (filter: Parameters<History["listRuns"]>[0]) => Promise<Found<T>>,
  ): Promise<Found<T>> {
    const event = search.event && await this.#keyOf(search.event);
    if (search.event !== undefined && event === undefined) return { rows: [] };
    const live = new Set<string>();
    const range = rangeOf(search);
    const found = await this.read((rows) => {
      for (const id of rows.keys("run")) live.add(id);
      return liveRuns(rows, { ...search, ...range }, event).map((row) => ofLive(rows, row));
    });
    if (search.waiting || (search.state !== undefined && !isFinal(search.state))) return { rows: found };
    const { rule, state, subject, limit, parts, ids } = search;
    const skip = (id: string) => live.has(id);
    const { rows, stoppedAt } = await listEnded({ rule, state, subject, ids, ...range, event, limit, parts, skip });
    const runs = [...found, ...rows].sort((a, b) => a.id < b.id ? 1 : -1);
    const reached = stoppedAt === undefined ? runs : runs.filter(({ id }) => id >= stoppedAt);
    // The search ended early only if the page is not full by then.
    const isOpen = stoppedAt !== undefined && reached.length < limit;
    return { rows: reached.slice(0, limit), ...isOpen && { stoppedAt } };
  }

  /** Events, newest first. */
  async searchEvents({ from, to, before, after, text, ...filter }: EventSearch): Promise<Found<EventRecord>> {
    // Wait until earlier changes are on disk.
    await this.read(() => {});
    const ends = [before ?? Infinity, to === undefined ? Infinity : keyAt(to)].map(Number);
    const end = Math.min(...ends);
    return await this.history().listEvents({
      ...filter,
      ...end < Infinity && { before: String(end) },
      after: Math.max(Number(after ?? 0), from === undefined ? 0 : keyAt(from) - 1),
      // As it is written in JSON.
      ...text !== undefined && { text: JSON.stringify(text).slice(1, -1) },
    });
  }
}

function readTrace(rows: Rows, id: string): Trace | undefined {
  const row = rows.get("run", id);
  return row && { run: liveRun(rows, row), steps: readSteps(rows, id), notes: readNotes(rows, id) };
}

/** The ids of the runs that a filter's times and cursor allow. */
function rangeOf({ before, after = "", from, to, ids }: RunSearch): { before?: string; after?: string } {
  const end = to === undefined ? undefined : runIdAt(to);
  const least = before === undefined || end !== undefined && end < before ? end : before;
  const start = from === undefined ? "" : runIdAt(from);
  if (ids !== undefined) return rangeOfIds(ids);
  return { ...least !== undefined && { before: least }, after: start > after ? start : after };
}

function rangeOfIds(ids: string[]): { before: string; after: string } {
  const sorted = ids.toSorted();
  // "0" is the first character that an id can have, and ids have the same length.
  return { before: `${sorted.at(-1) ?? ""}0`, after: (sorted[0] ?? "").slice(0, -1) };
}

function liveRuns(rows: Rows, filter: RunSearch & { after?: string }, event: number | undefined): RunRow[] {
  const { rule, state, subject, waiting, before, after = "", limit, ids } = filter;
  if (state !== undefined && isFinal(state)) return [];
  const runs: RunRow[] = [];
  const index = rows.index("run", "id");
  for (let entry = index.last("", before); entry && runs.length < limit; entry = index.last("", entry[0])) {
    if (entry[0] <= after) break;
    const row = rows.get("run", entry[1])!;
    if (ids !== undefined && !ids.includes(row.id)) continue;
    if (rule !== undefined && row.rule !== rule) continue;
    if (state !== undefined && row.state !== state) continue;
    if (event !== undefined && row.event !== event) continue;
    if (subject !== undefined && readEvent(rows, row.event).subject !== subject) continue;
    if (waiting && readWaits(rows, row.id).length === 0) continue;
    runs.push(row);
  }
  return runs;
}

function liveRun(rows: Rows, row: RunRow): Run {
  return toRun(row, readEvent(rows, row.event), readWaits(rows, row.id));
}

function liveHead(rows: Rows, { id, rule, state, event, createdAt }: RunRow): RunHead {
  return headOf(id, rule, state, readEvent(rows, event).subject, createdAt);
}

function endedHead([id, rule, state, , subject, createdAt]: RunHeader): RunHead {
  return headOf(id, rule, state, subject ?? undefined, createdAt);
}

function headOf(id: string, rule: string, state: RunState, subject: string | undefined, createdAt: number): RunHead {
  return { id, rule, state, createdAt, ...subject !== undefined && { subject } };
}

/** @param events those that history still has; without its event, a run has only the event's head */
function endedRun({ run, event }: BriefText, events: Map<number, Event>): Run {
  return toRun(run, events.get(event) ?? { ...run.head, data: null });
}
