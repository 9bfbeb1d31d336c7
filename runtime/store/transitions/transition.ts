import type { OwnEventType } from "../../model/event.ts";
import type { Ids } from "../ledger/keys.ts";
import type { Rows } from "../ledger/rows.ts";
import type { Retention } from "../store.ts";

/** The context of a transition, besides rows and input. */
export interface TransitionContext {
  /** Milliseconds since the epoch. */
  now: number;
  ids: Ids;
  retention: Retention;
  /** Whether a rule listens to one of the program's own events. */
  hasListener: (type: OwnEventType) => boolean;
}

/**
 * One decision: it reads rows, checks, then puts and drops rows. Pure and synchronous: no disk, no clock, no randomness. If it
 * throws, its changes are undone.
 */
export type Transition<I, R> = (rows: Rows, input: I, context: TransitionContext) => R;
