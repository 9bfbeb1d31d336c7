import type { RunState } from "../model/run.ts";

/** Somebody's decision to act on a run. */
export interface Decision {
  by: string;
  /** Why, in their words. */
  reason?: string;
  /** The bulk action that it is part of: its number, and how many runs that is about. */
  bulk?: { id: string; runs: number };
}

/** The person who acts, or their whole decision. */
export type By = string | Decision;

/** The decision of somebody. */
export function decisionOf(by: By): Decision {
  return typeof by === "string" ? { by } : by;
}

/** The outcome of an operator's request: done, and on which step, or the reason why not. */
export type Operated = { kind: "done"; step?: string } | Refused;

/** A run that was to be cancelled. */
export interface Cancelled {
  kind: "asked";
  /** Its current state. If it is `running`, the runner has to end it. */
  state: RunState;
  /** Whether this ended it. */
  ended: boolean;
}

/** Nothing was done, and why. */
export interface Refused {
  kind: "refused";
  reason: string;
}

/** The version of a run that somebody saw and decided on. If the run has changed since, their request is refused. */
export interface Seen {
  /** How many notes of people's actions it had. */
  actions: number;
  /** Whether it had ended. */
  ended: boolean;
  /** Since when the step to be skipped has waited; milliseconds since the epoch. */
  since?: number;
}

/** One line of a trace besides its steps. */
export interface Note {
  at: number;
  text: string;
  /** The person who did it; absent if the program did. */
  by?: string;
  /** Why, in that person's words. */
  reason?: string;
  bulk?: Decision["bulk"];
}
