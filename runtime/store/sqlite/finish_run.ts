import type { RunEnd } from "../store.ts";
import type { Context } from "./context.ts";
import { endRun } from "./end_run.ts";
import { readRunRow } from "./rows.ts";

/** Ends a run; one that has ended stays as it is. */
export function finishRun(context: Context, id: string, end: RunEnd, now: number): void {
  const run = readRunRow(context.database, id);
  if (run && run.ended_at === null) endRun(context, run, end, now);
}
