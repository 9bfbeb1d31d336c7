import type { TypedEvent } from "./event.ts";

/**
 * How events are collected for one run: `{ every: "1h" }` closes so long after the first of them, `{ quiet: "30s", within: "5m" }`
 * once no more come, `{ cron: "0 9 * * 1" }` at set times.
 */
export type BatchOptions =
  & {
    /** With so many events it closes early. @default 1000 */
    max?: number;
  }
  & (
    | { every: string }
    | {
      quiet: string;
      /** After the first event at the latest. */
      within?: string;
    }
    | {
      cron: string;
      /** @default the variable TZ, else UTC */
      timezone?: string;
      /** Starts a run also where nothing came. */
      empty?: boolean;
    }
  );

/** Makes one run of many events; the rule's `if` is CEL then. */
export interface Batching {
  batch: BatchOptions;
}

/** The events that were collected, as one. */
export type BatchEvent<E> = TypedEvent<"batch", BatchData<E>>;

export interface BatchData<E> {
  /** In the order in which they came. */
  events: E[];
  count: number;
  /** When it was opened, RFC 3339. */
  since: string;
  /** With `cron`: the time for which it was collected. */
  scheduled?: string;
}
