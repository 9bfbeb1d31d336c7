import type { RunState, StepRecord } from "../../model/run.ts";
import type { EventRecord, Reply, Trace } from "../store.ts";

/** The body of a history line: JSON, as text or as its UTF-8 bytes. */
export type Text = Uint8Array | string;

/** The tables of history; in a frame they stand as `+event`, `+run` and `+more`. */
export type HistoryTable = "event" | "run" | "more";

/** An event was accepted. Keys grow. `rules` are those with a verdict on it. */
export type EventHeader = [
  key: number,
  at: number,
  type: string,
  subject: string | null,
  delivery: EventRecord["delivery"],
  rules: string[],
];

/** A run ended. A later one of the same id replaces it. Unlisted ones are found by their id only. */
export type RunHeader = [
  id: string,
  rule: string,
  state: RunState,
  event: number,
  subject: string | null,
  createdAt: number,
  endedAt: number,
  listed: 0 | 1,
  version: string,
];

/** Something happened to an event or an ended run later. */
export type MoreHeader = ["event", key: number] | ["run", id: string];

/** What the text of an event holds. */
export type EventText = Pick<EventRecord, "event" | "receivedAt" | "delivery" | "verdicts">;

/** What the text of a run holds. */
export interface RunText {
  run: Omit<Trace["run"], "event">;
  event: number;
  steps: StepRecord[];
  notes: Trace["notes"];
}

/** What is added to an event. */
export type EventMore =
  | { deliveries: number }
  | { verdict: EventRecord["verdicts"][number] }
  | { ended: EventRecord["ended"][number] }
  | { reply: Reply };

/** What is added to a run. */
export interface RunMore {
  note: Trace["notes"][number];
}
