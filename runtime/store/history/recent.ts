import type { EventHeader, HistoryTable, MoreHeader, RunHeader } from "./lines.ts";

/** A history line as it was decided. */
export interface RecentLine<H = EventHeader | RunHeader | MoreHeader> {
  seq: number;
  /** Counts all lines: what has a higher number happened later. */
  number: number;
  /** JSON. */
  text: string;
  /** Parsed when it is first asked for. */
  header(): H;
}

/** Lines up to a frame, as they were when the view was taken; what is folded meanwhile stays in it. */
export interface RecentView {
  event(key: number): RecentLine<EventHeader> | undefined;
  /** The newest record of a run. */
  run(id: string): RecentLine<RunHeader> | undefined;
  /** Amendments of an event or run, oldest first. */
  more(id: string | number): RecentLine<MoreHeader>[];
  /** Newest first by key. */
  events(before?: number): Iterable<RecentLine<EventHeader>>;
  /** Newest first by id; the newest record of each. */
  runs(before?: string): Iterable<RecentLine<RunHeader>>;
}
