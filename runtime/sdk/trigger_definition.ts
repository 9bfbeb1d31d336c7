import type { Duration } from "./durations.ts";
import type { Json } from "../model/json.ts";
import type { StandardSchema, TypedEvent } from "./event_data.ts";

/** One entry under `when`. The type parameter is the event that it emits. */
export class TriggerDefinition<out E = unknown> {
  /** Never set; carries the type of the event. */
  declare readonly emits?: E;
  /** @param entry the same trigger as an object of YAML */
  constructor(readonly entry: object, readonly schema?: StandardSchema) {}
}

/** Options of every trigger; see also {@link Batching}, which changes the event that a run gets. */
export interface TriggerOptions {
  /** Its id; by default the id is built from kind and address. */
  name?: string;
  /** CEL; events for which it does not hold do not reach the rule. */
  if?: string | readonly string[];
  /** What it gives for the rule's inputs, with expressions on its event: `{ bits: "${{ event.data.bits }}" }`. */
  inputs?: { readonly [name: string]: Json | readonly Json[] };
}

/** The data of an event from the clock. */
export interface Scheduled {
  /** When it was due, RFC 3339; also the event's id. */
  scheduled: string;
}

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
    | { every: Duration }
    | {
      quiet: Duration;
      /** The latest time after the first event. */
      within?: Duration;
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
