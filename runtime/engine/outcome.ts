import type { RecordedError } from "../model/errors.ts";
import type { Json } from "../model/json.ts";

/** The outcome of a step, or of a list of steps: the list continues only after a `result`. */
export type StepOutcome = StepResultOutcome | StepFailure | Suspended | Stopped;

export interface StepResultOutcome {
  kind: "result";
  output: Json;
  /** What it waited for did not come in time: `onTimeout` handles that. */
  timedOut?: boolean;
}

export interface StepFailure {
  kind: "failed";
  error: RecordedError;
  /** The path of the step that failed first. */
  step: string;
}

/**
 * The branch can go no further in this execution of the run. When all live branches are suspended, so is the run; at
 * `due` it is executed again from the top, over its records.
 */
export interface Suspended {
  kind: "suspended";
  due?: number;
  /** For people, in a few words. */
  waitingFor: string;
}

/** A `stop` step ended the run. */
export interface Stopped {
  kind: "stopped";
  as: "succeeded" | "failed";
  reason: string;
  /** The path of that step. */
  step: string;
}

/** How many waits a message names. */
const MOST_NAMED = 3;

/** The outcome of branches that are all suspended: the run continues when the first of them is due. */
export function suspendedTogether(branches: Suspended[]): Suspended {
  const dues = branches.flatMap(({ due }) => due ?? []);
  const named = [...new Set(branches.map(({ waitingFor }) => waitingFor))];
  const more = named.length > MOST_NAMED ? [`${named.length - MOST_NAMED} more`] : [];
  return {
    kind: "suspended",
    ...(dues.length > 0 && { due: Math.min(...dues) }),
    waitingFor: [...named.slice(0, MOST_NAMED), ...more].join("; "),
  };
}

/**
 * Why a run is ended from outside; the reason of its abort signal. `shutdown` suspends the run so that it resumes after
 * the last recorded step; `cancelled` ends it.
 */
export class Interruption extends Error {
  override name = "Interruption";
  constructor(readonly kind: "cancelled" | "shutdown", message: string) {
    super(message);
  }
}
