import type { Ids } from "../ledger/ids.ts";
import type { Rows } from "../ledger/rows.ts";
import type { Retention } from "../store.ts";

/** What a transition is decided with, beside rows and input. */
export interface At {
  /** Milliseconds since the epoch. */
  now: number;
  ids: Ids;
  retention: Retention;
}

/**
 * One decision: it reads rows, checks, then puts and drops. Pure and synchronous: no disk, no clock, no randomness. What it throws
 * leaves nothing behind.
 */
export type Transition<I, R> = (rows: Rows, input: I, at: At) => R;
