import type { Found } from "../store.ts";
import type { EventFilter, Part, RunFilter } from "./catalogue.ts";
import { briefText, causeNeedle, type EventHeader, idNeedle, type RunHeader, verdictNeedle } from "./history_lines.ts";
import type { PartRead, PartReads } from "./part_reader.ts";
import type { UnfoldedLine, UnfoldedView } from "./unfolded.ts";

/** The limits of a listing. */
export interface Bounds {
  limit: number;
  /** About how many parts may be read. Parts that their catalogues exclude do not count. @default all */
  parts?: number;
}

/**
 * A page of events, newest first. The key ranges of parts ascend and do not overlap.
 * @param fits whether an event, with its amendments, has the verdict and the cause of the filter
 */
export async function listEventRows(
  snapshot: Snapshot,
  ask: Ask,
  filter: EventFilter,
  { limit, parts: most = Infinity }: Bounds,
  fits: (row: Row<number>) => boolean,
): Promise<Found<Row<number>>> {
  const rows = recentEvents(snapshot, filter, limit, fits);
  const late = rows.length === limit ? [] : await lateVerdicts(snapshot, ask, filter);
  let read = 0;
  for (const part of snapshot.parts.filter((other) => other.mayHaveEvents(filter, late)).reverse()) {
    if (rows.length === limit) break;
    if (read++ >= most) {
      return { rows: await amended(snapshot, rows, filter), stoppedAt: String(part.catalogue.events.keys![1] + 1) };
    }
    const own = late.filter((key) => part.mayHaveEvent(key));
    for (let { before } = filter;;) {
      const missing = limit - rows.length;
      const most = isRough(filter) ? Math.max(missing, LEAST_ROUGH) : missing;
      const args = { filter: { ...filter, before }, late: own, limit: most };
      const found = (await ask(part, "events", args) ?? []).map((event) => partRow(event, part));
      if (isRough(filter)) await snapshot.amend(found);
      rows.push(...(isRough(filter) ? found.filter(fits) : found).slice(0, missing));
      if (found.length < args.limit || rows.length === limit) break;
      before = found[found.length - 1].id;
    }
  }
  return { rows: await amended(snapshot, rows, filter) };
}

/** Queries with false positives ask for at least this many rows; else a search with many of them would ask again and again. */
const LEAST_ROUGH = 64;

/**
 * Whether the queries have false positives: a verdict may have been amended, other JSON may look like a cause or an id, and a
 * text may be in a secret.
 */
function isRough({ verdict, cause, id, text }: EventFilter): boolean {
  return (verdict ?? cause ?? id ?? text) !== undefined;
}

async function amended(snapshot: Snapshot, rows: Row<number>[], filter: EventFilter): Promise<Row<number>[]> {
  if (!isRough(filter)) await snapshot.amend(rows);
  return rows;
}

/** Those that are not folded, with amendments if {@link isRough}. */
function recentEvents(
  { recent }: Snapshot,
  filter: EventFilter,
  limit: number,
  fits: (row: Row<number>) => boolean,
): Row<number>[] {
  const rows: Row<number>[] = [];
  const mentioned = plainTexts([filter.type, filter.rule, filter.subject]);
  const texts = [filter.text, filter.cause && causeNeedle(filter.cause), filter.id && idNeedle(filter.id)].filter((
    text,
  ) => text !== undefined);
  for (const line of recent.eventsBefore(filter.before)) {
    if (rows.length === limit || filter.after !== undefined && line.header()[0] <= filter.after) break;
    if (!line.mentions(mentioned) || !texts.every((text) => line.text.includes(text))) continue;
    const header = line.header();
    if (!isEventWanted(header, filter)) continue;
    const row = recentRow(header[0], line);
    if (!isRough(filter)) rows.push(row);
    else {
      row.more.push(...recent.more(row.id).filter(({ number }) => number > row.line).map(({ text }) => text));
      if (fits(row)) rows.push(row);
    }
  }
  return rows;
}

/**
 * Keys of events in parts that got the verdict of the filter only later: in a later part, or in a line that is not
 * folded yet. Parts that have more of them than their catalogue lists are read.
 */
async function lateVerdicts({ parts, recent }: Snapshot, ask: Ask, { verdict }: EventFilter): Promise<number[]> {
  if (verdict === undefined || verdict === "unmatched") return [];
  const inParts = await Promise.all(parts.map(async (part) => {
    if (part.hasMoreLate()) return part.late.get(verdict) ?? await readLate(part, ask, verdict);
    return (part.catalogue.events.late ?? []).filter(([, kind]) => kind === verdict).map(([key]) => key);
  }));
  return [...inParts.flat(), ...recent.amendedWith(verdictNeedle(verdict))];
}

/** Parts never change, so their late verdicts are read once. */
async function readLate(part: Part, ask: Ask, verdict: string): Promise<number[]> {
  const keys = await ask(part, "late", { verdict });
  if (keys !== undefined) part.late.set(verdict, keys);
  return keys ?? [];
}

function isEventWanted([, , type, subject, , rules]: EventHeader, filter: EventFilter): boolean {
  return (filter.type === undefined || filter.type === type) &&
    (filter.subject === undefined || filter.subject === subject) &&
    (filter.rule === undefined || rules.includes(filter.rule));
}

/**
 * A page of runs, newest first by creation, without steps and notes. A part may have runs that began long before it. So parts are
 * read in the order of the newest run that each may have, until no remaining part can have a run for the page.
 * @param skip runs to leave out
 * @param heads whether the texts of the rows are the headers of the runs
 */
export async function listRunRows(
  snapshot: Snapshot,
  ask: Ask,
  filter: RunFilter,
  { limit, parts: most = Infinity, heads = false }: Bounds & { heads?: boolean },
  skip: (id: string) => boolean,
): Promise<Found<Row<string>>> {
  const page = new Page(limit);
  const mentioned = plainTexts([filter.rule, filter.state, filter.subject]);
  for (const line of snapshot.recent.runsBefore(filter.before)) {
    if (page.isFull || filter.after !== undefined && line.header()[0] <= filter.after) break;
    if (!line.mentions(mentioned)) continue;
    const header = line.header();
    if (!isRunWanted(header, filter) || skip(header[0])) continue;
    page.add({ ...recentRow(header[0], line), text: heads ? JSON.stringify(header) : briefText(line.text) });
  }
  const parts = snapshot.parts.filter((part) => part.mayHaveRuns(filter))
    .map((part) => ({ part, best: part.newestRunBefore(filter.before) }))
    .sort((a, b) => a.best < b.best ? 1 : a.best > b.best ? -1 : 0);
  let read = 0;
  for (const { part, best } of parts) {
    if (page.last !== undefined && best <= page.last) break;
    // The smallest text after the id of the run, so that the next page begins with it.
    const stoppedAt = `${best}0`;
    // Parts with runs on both sides of `before` are all read, so that the next page begins further on.
    if (read >= most && (filter.before === undefined || stoppedAt < filter.before)) {
      return { rows: page.rows.filter(({ id }) => id > best), stoppedAt };
    }
    if (!part.mayHaveRuns(filter, page.last)) continue;
    read++;
    await addRuns(page, part, snapshot, (args) => ask(part, "runs", { ...args, heads }), filter, skip);
  }
  return { rows: page.rows };
}

/** Adds the runs of a part to a page, if they are new enough for it. */
async function addRuns(
  page: Page,
  part: Part,
  snapshot: Snapshot,
  ask: (args: PartReads["runs"]["args"]) => Promise<PartReads["runs"]["result"] | undefined>,
  filter: RunFilter,
  skip: (id: string) => boolean,
): Promise<void> {
  for (let { before } = filter;;) {
    const found = await ask({ filter: { ...filter, before }, after: page.last, limit: page.limit }) ?? [];
    const again = await snapshot.endedAgain(found.map(({ id }) => id), part);
    for (const run of found) if (!again.has(run.id) && !skip(run.id)) page.add(partRow(run, part));
    if (found.length < page.limit) return;
    before = found[found.length - 1].id;
  }
}

function isRunWanted([id, rule, state, event, subject, , , listed]: RunHeader, filter: RunFilter): boolean {
  return listed === 1 &&
    (filter.ids === undefined || filter.ids.includes(id)) &&
    (filter.rule === undefined || filter.rule === rule) &&
    (filter.state === undefined || filter.state === state) &&
    (filter.event === undefined || filter.event === event) &&
    (filter.subject === undefined || filter.subject === subject);
}

/** The JSON texts of values, without those that can be escaped in more than one way. */
function plainTexts(values: (string | undefined)[]): string[] {
  return values.flatMap((value) => value !== undefined && /^[\w./: -]*$/.test(value) ? [`"${value}"`] : []);
}

/** Keeps the newest of the runs added. */
class Page {
  readonly rows: Row<string>[] = [];

  constructor(readonly limit: number) {}

  get isFull(): boolean {
    return this.rows.length >= this.limit;
  }

  /** The oldest run of a full page; older runs do not belong to the page. */
  get last(): string | undefined {
    return this.isFull ? this.rows[this.rows.length - 1]?.id : undefined;
  }

  add(row: Row<string>): void {
    let at = this.rows.length;
    while (at > 0 && this.rows[at - 1].id < row.id) at--;
    this.rows.splice(at, 0, row);
    if (this.rows.length > this.limit) this.rows.pop();
  }
}

/** An event or run, with its amendments; texts are JSON. */
export interface Row<I extends string | number = string | number> {
  id: I;
  text: string;
  /** False for runs that are not listed. */
  listed: boolean;
  /** Amendments, oldest first. */
  more: string[];
  /** The last frame of its part; Infinity if it is not folded. */
  from: number;
  /** The number of its line if it is not folded, else -1. */
  line: number;
}

/** Queries a part. Returns undefined if the part was removed or cannot be read. */
export type Ask = <K extends PartRead>(
  part: Part,
  read: K,
  args: PartReads[K]["args"],
) => Promise<PartReads[K]["result"] | undefined>;

/** The data that one query sees: the parts, oldest first, and the lines that were not folded when it began. */
export class Snapshot {
  readonly parts: readonly Part[];
  readonly recent: UnfoldedView;
  readonly #ask: Ask;

  constructor(parts: readonly Part[], recent: UnfoldedView, ask: Ask) {
    this.parts = parts;
    this.recent = recent;
    this.#ask = ask;
  }

  async findEvent(key: number): Promise<Row<number> | undefined> {
    return (await this.findEvents([key])).get(key);
  }

  /** Those of these events that exist, by key. Queries each part once. */
  async findEvents(keys: number[]): Promise<Map<number, Row<number>>> {
    const rows = new Map<number, Row<number>>();
    for (const key of keys) {
      const line = this.recent.event(key);
      if (line !== undefined) rows.set(key, recentRow(key, line));
    }
    for (const part of this.parts) {
      const asked = keys.filter((key) => !rows.has(key) && part.mayHaveEvent(key));
      if (asked.length === 0) continue;
      const found = await this.#ask(part, "eventsByKey", { keys: asked }) ?? [];
      for (const event of found) rows.set(event.id, partRow(event, part));
    }
    return rows;
  }

  /** The newest record of a run. */
  async findRun(id: string): Promise<Row<string> | undefined> {
    const line = this.recent.run(id);
    if (line !== undefined) return recentRow(id, line, line.header()[7] === 1);
    for (const part of this.parts.filter((other) => other.mayHaveRun(id)).reverse()) {
      const found = await this.#ask(part, "run", { id });
      if (found !== undefined) return partRow(found, part, found.listed);
    }
  }

  /** Those of the runs in a part that have ended again since, which makes the part's records of them obsolete. */
  async endedAgain(ids: string[], part: Part): Promise<Set<string>> {
    const again = new Set(ids.filter((id) => this.recent.run(id) !== undefined));
    for (const newer of this.#partsAfter(part.catalogue.last)) {
      const asked = ids.filter((id) => newer.mayHaveRun(id));
      if (asked.length === 0) continue;
      for (const { id, ended } of await this.#ask(newer, "more", { ids: asked }) ?? []) {
        if (ended && typeof id === "string") again.add(id);
      }
    }
    return again;
  }

  /** Adds the amendments that came after a row's own part or line. */
  async amend(rows: Row[]): Promise<void> {
    const oldest = rows.reduce((least, { from }) => Math.min(least, from), Infinity);
    const byId = new Map(rows.map((row) => [row.id, row]));
    for (const part of this.#partsAfter(oldest)) {
      const ids = rows.filter(({ id, from }) => from < part.catalogue.first && part.mayHaveMore(id)).map(({ id }) =>
        id
      );
      if (ids.length === 0) continue;
      for (const { id, more } of await this.#ask(part, "more", { ids }) ?? []) byId.get(id)!.more.push(...more);
    }
    for (const row of rows) {
      for (const { number, text } of this.recent.more(row.id)) if (number > row.line) row.more.push(text);
    }
  }

  #partsAfter(seq: number): Part[] {
    return this.parts.filter(({ catalogue }) => catalogue.first > seq);
  }
}

/** A row that is not folded. */
function recentRow<I extends string | number>(id: I, line: UnfoldedLine<unknown>, listed = true): Row<I> {
  return { id, text: line.text, listed, more: [], from: Infinity, line: line.number };
}

/** A row from a part. */
function partRow<I extends string | number>(
  { id, text, more = [] }: { id: I; text: string; more?: string[] },
  part: Part,
  listed = true,
): Row<I> {
  return { id, text, listed, more: [...more], from: part.catalogue.last, line: -1 };
}
