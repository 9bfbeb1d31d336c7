import type { HistoryKind } from "../log/log_frame.ts";
import type { EventHeader, MoreHeader, RunHeader } from "./history_lines.ts";

/** The lines up to a frame, as of when the view was created. Lines that are folded meanwhile stay in it. */
export interface UnfoldedView {
  event(key: number): UnfoldedLine<EventHeader> | undefined;
  /** The newest record of a run. */
  run(id: string): UnfoldedLine<RunHeader> | undefined;
  /** Amendments of an event or run, oldest first. */
  more(id: string | number): UnfoldedLine<MoreHeader>[];
  /** The events with an amendment that has this text in its JSON. */
  amendedWith(text: string): number[];
  /** Newest first by key. */
  eventsBefore(key?: number): Iterable<UnfoldedLine<EventHeader>>;
  /** Oldest first by key. */
  eventsAfter(key: number): Iterable<UnfoldedLine<EventHeader>>;
  /** Newest first by id; the newest record of each. Not for use across an await. */
  runsBefore(id?: string): Iterable<UnfoldedLine<RunHeader>>;
}

/** The history lines that are not folded yet. Adding is cheap: lines are parsed and sorted only when read. */
export class Unfolded {
  /** By key. */
  #events: UnfoldedLine<EventHeader>[] = [];
  /** Oldest record first. */
  #runs = new Map<string, UnfoldedLine<RunHeader>[]>();
  /** The keys of `#runs`, the first ones sorted. */
  #ids: string[] = [];
  #areSorted = true;
  #more = new Map<string | number, UnfoldedLine<MoreHeader>[]>();
  #lines = 0;
  #lastSeq = 0;

  /** The frame of the newest line. */
  get lastSeq(): number {
    return this.#lastSeq;
  }

  /**
   * Adds a line of a frame. Lines must come in order.
   * @param header JSON, made without spaces
   * @param text JSON; for a live event, the JSON of its row
   */
  add(seq: number, kind: HistoryKind, header: string, text: string): void {
    this.#lastSeq = seq;
    const number = this.#lines++;
    if (kind === "event") this.#events.push(new UnfoldedLine(seq, number, header, text, eventKeyOf(header)));
    else if (kind === "run") this.#addRun(runIdOf(header), new UnfoldedLine(seq, number, header, text));
    else push(this.#more, moreIdOf(header), new UnfoldedLine<MoreHeader>(seq, number, header, text));
  }

  /** The number of events and runs. */
  counts(): { events: number; runs: number } {
    return { events: this.#events.length, runs: this.#runs.size };
  }

  /** Whether a run that used this version of its rule has ended. */
  hasVersion(version: string): boolean {
    // The last column of a run's header.
    const end = `,${JSON.stringify(version)}]`;
    return this.#runs.values().some((lines) => lines.some((line) => line.endsWith(end)));
  }

  /** A view of the current lines of the frames after `after`, up to `until`. */
  view(after: number, until: number): UnfoldedView {
    if (!this.#areSorted) this.#ids.sort();
    this.#areSorted = true;
    return viewOf(this.#events, this.#runs, this.#ids, this.#more, (line) => after < line.seq && line.seq <= until);
  }

  /** Drops the lines up to a frame, as they are folded. Open views keep their lines. */
  drop(last: number): void {
    const stays = (line: { seq: number }) => line.seq > last;
    this.#events = this.#events.filter(stays);
    this.#runs = filtered(this.#runs, stays);
    this.#more = filtered(this.#more, stays);
    this.#ids = [...this.#runs.keys()];
    this.#areSorted = false;
  }

  #addRun(id: string, line: UnfoldedLine<RunHeader>): void {
    if (push(this.#runs, id, line) > 1) return;
    this.#areSorted &&= this.#ids.length === 0 || this.#ids[this.#ids.length - 1] < id;
    this.#ids.push(id);
  }
}

/** A history line of a frame. */
export class UnfoldedLine<H> {
  #parsed: H | undefined;

  /**
   * @param number the line number: later lines have higher ones
   * @param text JSON
   * @param key of an event
   */
  constructor(
    readonly seq: number,
    readonly number: number,
    private readonly raw: string,
    readonly text: string,
    readonly key = 0,
  ) {}

  /** The header, parsed on first use. */
  header(): H {
    return this.#parsed ??= JSON.parse(this.raw);
  }

  /** Whether the header's JSON contains all these texts. Lets a filter skip most lines without parsing them. */
  mentions(texts: string[]): boolean {
    return texts.every((text) => this.raw.includes(text));
  }

  /** Whether the header's JSON ends with a text. */
  endsWith(text: string): boolean {
    return this.raw.endsWith(text);
  }
}

/** `[123,…` */
function eventKeyOf(header: string): number {
  return Number(header.slice(1, header.indexOf(",")));
}

/** `["0123456789abcdefghij",…` */
function runIdOf(header: string): string {
  return header.slice(2, header.indexOf('"', 2));
}

/** `["event",123]` or `["run","0123456789abcdefghij"]` */
function moreIdOf(header: string): string | number {
  const comma = header.indexOf(",");
  return header[comma + 1] === '"' ? header.slice(comma + 2, -2) : Number(header.slice(comma + 1, -1));
}

/** @returns the number of lines of that id now */
function push<K, H>(lines: Map<K, UnfoldedLine<H>[]>, id: K, line: UnfoldedLine<H>): number {
  const list = lines.get(id);
  if (list !== undefined) return list.push(line);
  lines.set(id, [line]);
  return 1;
}

function filtered<K, H>(
  lines: Map<K, UnfoldedLine<H>[]>,
  stays: (line: UnfoldedLine<H>) => boolean,
): Map<K, UnfoldedLine<H>[]> {
  const rest = new Map<K, UnfoldedLine<H>[]>();
  for (const [id, list] of lines) {
    if (stays(list[0])) rest.set(id, list);
    else if (stays(list[list.length - 1])) rest.set(id, list.filter(stays));
  }
  return rest;
}

function viewOf(
  events: UnfoldedLine<EventHeader>[],
  runs: Map<string, UnfoldedLine<RunHeader>[]>,
  ids: string[],
  more: Map<string | number, UnfoldedLine<MoreHeader>[]>,
  isSeen: (line: { seq: number }) => boolean,
): UnfoldedView {
  const run = (id: string) => runs.get(id)?.findLast(isSeen);
  return {
    event(key) {
      const line = events[placeOf(events, key, (other) => other.key)];
      return line?.key === key && isSeen(line) ? line : undefined;
    },
    run,
    more: (id) => more.get(id)?.filter(isSeen) ?? [],
    amendedWith: (text) =>
      [...more].flatMap(([id, lines]) =>
        typeof id === "number" && lines.some((line) => isSeen(line) && line.text.includes(text)) ? [id] : []
      ),
    *eventsBefore(key = Infinity) {
      for (let at = placeOf(events, key, (other) => other.key) - 1; at >= 0; at--) {
        if (isSeen(events[at])) yield events[at];
      }
    },
    *eventsAfter(key) {
      for (let at = placeOf(events, key + 1, (other) => other.key); at < events.length; at++) {
        if (isSeen(events[at])) yield events[at];
      }
    },
    *runsBefore(id) {
      for (let at = (id === undefined ? ids.length : placeOf(ids, id, (other) => other)) - 1; at >= 0; at--) {
        const line = run(ids[at]);
        if (line !== undefined) yield line;
      }
    },
  };
}

/** The index of the first item in a sorted list that is not less than a value. */
function placeOf<T, V>(sorted: T[], value: V, of: (item: T) => V): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (of(sorted[middle]) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
