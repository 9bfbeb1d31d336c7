import type { TypedEvent } from "./event.ts";

/**
 * How events are collected for one run: `{ every: "1h" }` closes that long after the first event, `{ quiet: "30s", within:
 * "5m" }` when no more events come, `{ cron: "0 9 * * 1" }` at set times.
 */
export type BatchOptions =
  & {
    /** Number of events at which it closes early. @default 1000 */
    max?: number;
  }
  & (
    | { every: string }
    | {
      quiet: string;
      /** The latest time after the first event. */
      within?: string;
    }
    | {
      cron: string;
      /** @default the variable TZ, else UTC */
      timezone?: string;
      /** Starts a run even if no events came. */
      empty?: boolean;
    }
  );

/** Makes one run of many events; the rule's `if` is CEL then. */
export interface Batching {
  batch: BatchOptions;
}

/** The collected events, as one event. */
export type BatchEvent<E> = TypedEvent<"batch", BatchData<E>>;

export interface BatchData<E> {
  /** In order of arrival. */
  events: E[];
  count: number;
  /** When it was opened, RFC 3339. */
  since: string;
  /** With `cron`: the time at which it was due. */
  scheduled?: string;
}
