import type { RunEnd } from "../store.ts";
import type { Context } from "./context.ts";
import { endRun, type LiveRun } from "./end_run.ts";

/** Ends a run; one that has ended stays as it is. */
export function finishRun(context: Context, id: string, end: RunEnd, now: number): void {
  const run = context.database.one<LiveRun>(
    "SELECT id, rule, lane, event FROM runs WHERE id = @run AND ended_at IS NULL",
    id,
  );
  if (run) endRun(context, run, end, now);
}
