import { readExactJson } from "../../formats/exact_json.ts";
import type { Event } from "../../model/event.ts";
import type { EventRecord, Found, Reply } from "../store.ts";
import { type AwaitedSearch, type EventFilter, isOfType, Part, type RunFilter } from "./catalogue.ts";
import type { Catalogue } from "../ledger/tables.ts";
import type { BriefText, EventHeader, EventMore, EventText, RunHeader, RunMore, RunText } from "./history_lines.ts";
import { type Ask, type Bounds, listEventRows, listRunRows, type Row, Snapshot } from "./list_history.ts";
import type { PartRead, PartReads, ReadPart } from "./part_reader.ts";
import { type Kept, nextToTrim, type Trimming } from "./trim.ts";
import type { Unfolded, UnfoldedLine } from "./unfolded.ts";

/** How many events a search reads from a part at once. */
const SEARCH_EVENTS = 64;

export interface HistoryOptions {
  /** Reads from a part, in the worker thread. */
  readPart: ReadPart;
  /** The catalogues of all parts. */
  catalogues: Catalogue[];
  recent: Unfolded;
  /** The last synced frame. Data of later frames is not visible. */
  syncedSeq(): number;
  onWarning(message: string): void;
  /** Another program changes the files, maybe before this one knows: one that is gone is no damage. @default false */
  isFollowing?: boolean;
}

/** An event that may match a wait. */
export interface FoundEvent {
  key: number;
  event: Event;
}

/**
 * History: accepted events and ended runs, in parts or not folded yet. A query sees the state from when it began. It skips parts
 * that are removed meanwhile, and damaged parts with a warning that names them.
 */
export class History {
  readonly #options: HistoryOptions;
  /** Oldest first. */
  #parts: Part[];
  /** Parts with a warning already given. */
  readonly #unreadable = new Set<string>();
  /** Those of them that are damaged or missing. They are not checked again, as that takes as long as reading them. */
  readonly #lost = new Set<string>();

  constructor(options: HistoryOptions) {
    this.#options = options;
    this.#parts = options.catalogues.map((catalogue) => new Part(catalogue)).sort(byAge);
  }

  // ── reading ────────────────────────────────────────────────────────────────────────────────────────────────────

  async getEvent(key: number): Promise<EventRecord | undefined> {
    const snapshot = this.#snapshot();
    const row = await snapshot.findEvent(key);
    if (row === undefined) return undefined;
    await snapshot.amend([row]);
    return toEvent(row);
  }

  /** Whether it has the event, or may have it in a part that cannot be read. */
  mayHaveEvent(key: number): Promise<boolean> {
    return this.#mayHave((snapshot) => snapshot.findEvent(key));
  }

  /** Whether it has the run, or may have it in a part that cannot be read. */
  mayHaveRun(id: string): Promise<boolean> {
    return this.#mayHave((snapshot) => snapshot.findRun(id));
  }

  async #mayHave(find: (snapshot: Snapshot) => Promise<unknown>): Promise<boolean> {
    let isUnread = false;
    const ask: Ask = (part, read, args) => this.#read(part, read, args, () => isUnread = true);
    return await find(this.#snapshot(undefined, ask)) !== undefined || isUnread;
  }

  /** Those of these events that are known, by key, as accepted, without amendments. */
  async getEvents(keys: number[]): Promise<Map<number, Event>> {
    const rows = await this.#snapshot().findEvents([...new Set(keys)]);
    return new Map([...rows].map(([key, { text }]) => [key, eventOf(text)]));
  }

  /** The reply to an event: the first one counts. */
  async getReply(key: number): Promise<Reply | undefined> {
    const snapshot = this.#snapshot();
    // The event may have been removed with its part, while the reply is in a later part.
    const row = await snapshot.findEvent(key) ?? { id: key, text: "", listed: true, more: [], from: 0, line: -1 };
    await snapshot.amend([row]);
    return row.more.map(parse<EventMore>).find((amendment) => "reply" in amendment)?.reply;
  }

  /** A run that has ended, listed or not. */
  async getRun(id: string): Promise<EndedRun | undefined> {
    const snapshot = this.#snapshot();
    const row = await snapshot.findRun(id);
    if (row === undefined) return undefined;
    await snapshot.amend([row]);
    return toRun(row);
  }

  /**
   * Runs that have ended, newest first by creation, without steps and notes.
   * @param filter `skip`: runs to leave out, as they are live again
   */
  async listRuns({ limit, parts, skip = () => false, ...filter }: EndedRunFilter): Promise<Found<BriefText>> {
    const listed = await listRunRows(this.#snapshot(), this.#ask, filter, { limit, parts }, skip);
    return { ...listed, rows: listed.rows.map(({ text }) => parse<BriefText>(text)) };
  }

  /** The same with only the headers of the runs, which cost much less to read. */
  async listRunHeaders({ limit, parts, skip = () => false, ...filter }: EndedRunFilter): Promise<Found<RunHeader>> {
    const listed = await listRunRows(this.#snapshot(), this.#ask, filter, { limit, parts, heads: true }, skip);
    return { ...listed, rows: listed.rows.map(({ text }) => parse<RunHeader>(text)) };
  }

  /**
   * Events, newest first.
   * @param filter `before` is the key of an {@link EventRecord}; `mask` removes from a JSON text what `text` must not match
   */
  async listEvents(
    { limit, parts, before, mask, ...filter }: Omit<EventFilter, "before"> & Bounds & {
      before?: string;
      mask?: (text: string) => string;
    },
  ): Promise<Found<EventRecord>> {
    const upTo = before === undefined ? {} : { before: Number(before) };
    const { text } = filter;
    const shows = (row: Row<number>) => text === undefined || mask === undefined || mask(row.text).includes(text);
    const isPlain = filter.verdict === undefined && filter.cause === undefined && filter.id === undefined;
    const fits = (row: Row<number>) => shows(row) && (isPlain || fitsFilter(toEvent(row), filter));
    const listed = await listEventRows(this.#snapshot(), this.#ask, { ...filter, ...upTo }, { limit, parts }, fits);
    return { ...listed, rows: listed.rows.map((row) => toEvent(row)) };
  }

  /**
   * Events that may match a wait, oldest first, as of now. Includes events that are not on disk yet, as the search shows them to
   * nobody. Each has one of the types and contains the needle in its JSON; the caller checks the rest of the match.
   */
  findEvents(search: AwaitedSearch): AsyncIterable<FoundEvent> {
    return this.#find(search, this.#snapshot(this.#options.recent.lastSeq));
  }

  // ── parts ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Adds the part of a folded segment, whose lines are no longer read from memory, or replaces a thinned part. */
  addPart(catalogue: Catalogue): void {
    const others = this.#parts.filter((part) => part.catalogue.first !== catalogue.first);
    this.#parts = [...others, new Part(catalogue)].sort(byAge);
  }

  /** Drops the lines of frames up to `last` from memory, because parts have them now. @param last by default, of the newest part */
  dropFolded(last = this.#folded): void {
    this.#options.recent.drop(last);
  }

  /** The last frame of the newest part. */
  get #folded(): number {
    return this.#parts.at(-1)?.catalogue.last ?? 0;
  }

  /** The next part to remove or to thin; see `trim.ts`. */
  nextToTrim(most: number, kept: () => Kept): Trimming | undefined {
    return nextToTrim(this.#parts, most, kept);
  }

  /** Removes a part from the listing, before its file is removed. */
  removePart({ file }: Catalogue): void {
    this.#parts = this.#parts.filter(({ catalogue }) => catalogue.file !== file);
    for (const files of [this.#unreadable, this.#lost]) files.delete(file);
  }

  /** The last frame of the newest part that may have a run with this version of its rule; Infinity if one is not folded yet. */
  lastUseOf(version: string): number | undefined {
    if (this.#options.recent.hasVersion(version)) return Infinity;
    return this.#parts.findLast((part) => part.mayHaveVersion(version))?.catalogue.last;
  }

  /** How many events and ended runs are kept; a run that ended twice may count twice. */
  counts(): { events: number; runs: number } {
    const counts = this.#options.recent.counts();
    for (const { catalogue } of this.#parts) {
      counts.events += catalogue.events.count;
      counts.runs += catalogue.runs.count;
    }
    return counts;
  }

  /** The newest frame that queries see. */
  newest(): number {
    return this.#options.syncedSeq();
  }

  /** Bytes of all parts. */
  bytes(): number {
    return this.#parts.reduce((sum, { catalogue }) => sum + catalogue.bytes, 0);
  }

  #snapshot(until = this.#options.syncedSeq(), ask = this.#ask): Snapshot {
    return new Snapshot(this.#parts, this.#options.recent.view(this.#folded, until), ask);
  }

  readonly #ask: Ask = (part, read, args) => this.#read(part, read, args, () => {});

  async #read<K extends PartRead>(
    part: Part,
    read: K,
    args: PartReads[K]["args"],
    onUnread: () => void,
  ): Promise<PartReads[K]["result"] | undefined> {
    const { file } = part.catalogue;
    const answer = this.#lost.has(file) ? undefined : await this.#options.readPart({ file, read, args });
    if (answer?.kind === "read") return answer.result;
    onUnread();
    if (answer === undefined) return undefined;
    // It was removed or replaced during the query.
    if (answer.kind === "missing" && (this.#options.isFollowing || !this.#parts.includes(part))) return undefined;
    if (answer.kind !== "failed") this.#lost.add(file);
    if (this.#unreadable.has(file)) return undefined;
    this.#unreadable.add(file);
    const reason = answer.kind === "missing" ? "it is missing" : answer.reason;
    this.#options.onWarning(unreadable(file, reason));
    return undefined;
  }

  async *#find(search: AwaitedSearch, snapshot: Snapshot): AsyncGenerator<FoundEvent> {
    for (const part of snapshot.parts.filter((other) => other.mayHaveAwaited(search))) {
      for (let { after } = search;;) {
        const found = await this.#ask(part, "awaited", { search: { ...search, after }, limit: SEARCH_EVENTS }) ?? [];
        for (const { id, text } of found) yield { key: id, event: eventOf(text) };
        if (found.length < SEARCH_EVENTS) break;
        after = found[found.length - 1].id;
      }
    }
    for (const line of snapshot.recent.eventsAfter(search.after)) {
      if (isAwaited(line, search)) yield { key: line.header()[0], event: eventOf(line.text) };
    }
  }
}

/** Parses a text of history. The store wrote it, so it has the type of its kind of line. */
function parse<T>(text: string): T {
  return readExactJson(text) as T;
}

/** The warning about a part that cannot be read. */
export function unreadable(file: string, reason: string): string {
  return `Cannot read ${file}: ${reason}; the history in it is not shown`;
}

function isAwaited(line: UnfoldedLine<EventHeader>, { types, needle }: AwaitedSearch): boolean {
  if (!line.text.includes(needle)) return false;
  const [, , type] = line.header();
  return types.some((pattern) => isOfType(type, pattern));
}

/** Which ended runs to list. */
type EndedRunFilter = RunFilter & Bounds & { skip?: (id: string) => boolean };

function fitsFilter(record: EventRecord, { rule, verdict: kind, cause, id }: Omit<EventFilter, "before">): boolean {
  if (id !== undefined && record.event.id !== id) return false;
  if (cause !== undefined && record.event.cause?.run !== cause) return false;
  if (kind === undefined) return true;
  if (kind === "unmatched") return record.delivery === "unmatched";
  return record.verdicts.some((each) => each.verdict.kind === kind && (rule === undefined || each.rule === rule));
}

function byAge(a: Part, b: Part): number {
  return a.catalogue.first - b.catalogue.first;
}

/** A run that has ended. */
interface EndedRun extends RunText {
  /** False if it ended with its condition: it is not listed. */
  listed: boolean;
}

function eventOf(text: string): Event {
  return parse<EventText>(text).event;
}

/** An event with its amendments applied. */
function toEvent({ id, text, more }: Row<number>): EventRecord {
  const { event, receivedAt, delivery, verdicts } = parse<EventText>(text);
  const record: EventRecord = {
    key: String(id),
    event,
    receivedAt,
    deliveries: 1,
    delivery,
    verdicts: [...verdicts],
    ended: [],
  };
  for (const amendment of more.map(parse<EventMore>)) {
    if ("deliveries" in amendment) record.deliveries += amendment.deliveries;
    else if ("verdict" in amendment) replaceVerdict(record.verdicts, amendment.verdict);
    else if ("ended" in amendment) {
      record.ended.push(amendment.ended);
      record.delivery = "accepted";
    }
  }
  return record;
}

function replaceVerdict(verdicts: EventRecord["verdicts"], verdict: EventRecord["verdicts"][number]): void {
  const at = verdicts.findIndex(({ rule, trigger }) => rule === verdict.rule && trigger === verdict.trigger);
  if (at === -1) verdicts.push(verdict);
  else verdicts[at] = verdict;
}

/** A run with its amendments applied. */
function toRun({ text, listed, more }: Row<string>): EndedRun {
  const { run, event, steps, notes } = parse<RunText>(text);
  return { run, event, steps, notes: [...notes, ...more.map((each) => parse<RunMore>(each).note)], listed };
}
