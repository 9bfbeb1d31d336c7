import type { RunState, StepRecord } from "../../model/run.ts";
import type { EventRecord, Reply, Trace } from "../store.ts";

/** The body of a history line: JSON, as text or as its UTF-8 bytes. */
export type Text = Uint8Array | string;

/** The tables of history; their lines in a frame are `+event`, `+run` and `+more`. */
export type HistoryTable = "event" | "run" | "more";

/** An accepted event. Keys ascend. `rules` are those with a verdict on it. */
export type EventHeader = [
  key: number,
  at: number,
  type: string,
  subject: string | null,
  delivery: EventRecord["delivery"],
  rules: string[],
];

/** An ended run. A later one with the same id replaces it. Unlisted runs are only found by id. */
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

/** An amendment of an event or an ended run. */
export type MoreHeader = ["event", key: number] | ["run", id: string];

/** The content of an event's text. */
export type EventText = Pick<EventRecord, "event" | "receivedAt" | "delivery" | "verdicts">;

/** The content of a run's text. */
export interface RunText {
  run: Omit<Trace["run"], "event">;
  event: number;
  steps: StepRecord[];
  notes: Trace["notes"];
}

/** An amendment of an event. */
export type EventMore =
  | { deliveries: number }
  | { verdict: EventRecord["verdicts"][number] }
  | { ended: EventRecord["ended"][number] }
  | { reply: Reply };

/** An amendment of a run. */
export interface RunMore {
  note: Trace["notes"][number];
}
