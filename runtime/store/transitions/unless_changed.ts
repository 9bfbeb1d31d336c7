import type { Rows } from "../ledger/rows.ts";
import { refused } from "../run_changes.ts";
import type { Note, Refused, Seen } from "../store.ts";
import { cancelRun } from "./end_run.ts";
import { moveRun, replayRun, retryRun } from "./operate_run.ts";
import { readNotes } from "./run_rows.ts";
import type { Transition, TransitionContext } from "./transition.ts";
import { skipWait } from "./waits.ts";

/** What people do to runs, by name. */
export const ACTIONS = { cancelRun, moveRun, replayRun, retryRun, skipWait };

export type ActionName = keyof typeof ACTIONS;

/** The input of an action. */
export type ActionInput<A extends ActionName> = Parameters<typeof ACTIONS[A]>[1];

/** The result of an action. */
export type ActionResult<A extends ActionName> = ReturnType<typeof ACTIONS[A]>;

/** An action on a run as a person saw it. */
export interface ConditionalAction {
  action: ActionName;
  input: unknown;
  run: string;
  /** Those that the run has in history, if it has ended. */
  notes: Note[];
  seen: Seen;
}

/**
 * Acts on a run, unless it has changed since a person decided on that: it has ended, is live again, or another person has acted
 * on it.
 */
export function unlessChanged(
  rows: Rows,
  { action, input, run, notes, seen }: ConditionalAction,
  context: TransitionContext,
): unknown | Refused {
  const live = rows.get("run", run);
  const acts = (live === undefined ? notes : readNotes(rows, run)).filter(({ by }) => by !== undefined);
  if (acts.length === seen.actions && (live === undefined) === seen.ended) {
    return (ACTIONS[action] as Transition<unknown, unknown>)(rows, input, context);
  }
  const last = acts.length > seen.actions ? `: ${acts.at(-1)!.text}` : live === undefined ? ": it has ended" : "";
  return refused(`Run ${run} has changed since it was looked at${last}`);
}
