import type { RunState } from "../../model/run.ts";
import type { Rows } from "../ledger/rows.ts";
import { endRun } from "./end_run.ts";
import { addNote } from "./trace.ts";
import type { At } from "./transition.ts";

/**
 * Ends a queued or waiting run. Adds a note to a running one, which its runner ends.
 * @returns its current state; undefined if it is not live
 */
export function cancelRun(
  rows: Rows,
  { run: id, reason }: { run: string; reason: string },
  { now }: At,
): RunState | undefined {
  const run = rows.get("run", id);
  if (run === undefined) return undefined;
  addNote(rows, id, reason, now);
  if (run.state === "running") return "running";
  endRun(rows, run, { state: "cancelled", error: { name: "Cancelled", message: reason }, spent: run.spent }, now);
  return "cancelled";
}
