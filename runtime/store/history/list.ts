import { briefText } from "./brief.ts";
import type { EventFilter, Part, RunFilter } from "./catalogue.ts";
import type { EventHeader, RunHeader } from "./lines.ts";
import { type Ask, partRow, recentRow, type Row, type Snapshot } from "./snapshot.ts";

/** A page of events, newest first. The key ranges of parts ascend and do not overlap. */
export async function listEventRows(
  snapshot: Snapshot,
  ask: Ask,
  filter: EventFilter,
  limit: number,
): Promise<Row<number>[]> {
  const rows: Row<number>[] = [];
  const mentioned = plainTexts([filter.type, filter.rule, filter.subject]);
  for (const line of snapshot.recent.eventsBefore(filter.before)) {
    if (rows.length === limit) break;
    if (!line.mentions(mentioned)) continue;
    const header = line.header();
    if (isEventWanted(header, filter)) rows.push(recentRow(header[0], line));
  }
  for (const part of snapshot.parts.filter((other) => other.mayHaveEvents(filter)).reverse()) {
    if (rows.length === limit) break;
    const found = await ask(part, "events", { filter, limit: limit - rows.length }) ?? [];
    rows.push(...found.map((event) => partRow(event, part)));
  }
  await snapshot.amend(rows);
  return rows;
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
 */
export async function listRunRows(
  snapshot: Snapshot,
  ask: Ask,
  filter: RunFilter,
  limit: number,
  skip: (id: string) => boolean,
): Promise<Row<string>[]> {
  const page = new Page(limit);
  const mentioned = plainTexts([filter.rule, filter.state, filter.subject]);
  for (const line of snapshot.recent.runsBefore(filter.before)) {
    if (page.isFull) break;
    if (!line.mentions(mentioned)) continue;
    const header = line.header();
    if (!isRunWanted(header, filter) || skip(header[0])) continue;
    page.add({ ...recentRow(header[0], line), text: briefText(line.text) });
  }
  const parts = snapshot.parts.filter((part) => part.mayHaveRuns(filter))
    .map((part) => ({ part, best: part.newestRunBefore(filter.before) }))
    .sort((a, b) => a.best < b.best ? 1 : a.best > b.best ? -1 : 0);
  for (const { part, best } of parts) {
    if (page.last !== undefined && best <= page.last) break;
    if (part.mayHaveRuns(filter, page.last)) await addRuns(page, part, snapshot, ask, filter, skip);
  }
  return page.rows;
}

/** Adds the runs of a part to a page, if they are new enough for it. */
async function addRuns(
  page: Page,
  part: Part,
  snapshot: Snapshot,
  ask: Ask,
  filter: RunFilter,
  skip: (id: string) => boolean,
): Promise<void> {
  for (let { before } = filter;;) {
    const found = await ask(part, "runs", { filter: { ...filter, before }, after: page.last, limit: page.limit }) ?? [];
    const again = await snapshot.endedAgain(found.map(({ id }) => id), part);
    for (const run of found) if (!again.has(run.id) && !skip(run.id)) page.add(partRow(run, part));
    if (found.length < page.limit) return;
    before = found[found.length - 1].id;
  }
}

function isRunWanted([, rule, state, event, subject, , , listed]: RunHeader, filter: RunFilter): boolean {
  return listed === 1 &&
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
