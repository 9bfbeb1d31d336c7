import type { RunState } from "../../model/run.ts";
import type { Context } from "./context.ts";
import { endRun } from "./end_run.ts";
import { addNote } from "./notes.ts";
import { readRunRow } from "./rows.ts";

/** Ends a queued or waiting run; leaves a note at a running one, which its runner ends. @returns its state now */
export function cancelRun(context: Context, id: string, reason: string, now: number): RunState | undefined {
  const run = readRunRow(context.database, id);
  if (!run || run.ended_at !== null) return run?.state;
  addNote(context.database, id, reason, now);
  if (run.state === "running") return "running";
  endRun(context, run, { state: "cancelled", error: { name: "Cancelled", message: reason }, spent: run.spent }, now);
  return "cancelled";
}
