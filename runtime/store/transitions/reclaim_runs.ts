import type { Rows } from "../ledger/rows.ts";
import type { RunRow } from "../ledger/tables.ts";
import { endRun } from "./end_run.ts";
import { newerInLane, refreshLane } from "./lanes.ts";
import { withoutPlans } from "./run_rows.ts";
import { addNote } from "./trace.ts";
import type { At } from "./transition.ts";
import { getVersion } from "./versions.ts";

/** How many runs one transition reclaims. */
const SLICE = 256;

/**
 * Queues runs again that another owner left running, except those that a newer run replaces. Handles one slice per call.
 * @returns how many were queued; `more` if there may be more
 */
export function reclaimRuns(rows: Rows, owner: string, { now }: At): { queued: number; more: boolean } {
  const left: RunRow[] = rows.range("run", "owned", "").filter((run) => run.owner !== owner).slice(0, SLICE);
  let queued = 0;
  for (const run of left) {
    if (endReplaced(rows, run, now)) continue;
    rows.put("run", run.id, {
      ...withoutPlans(run),
      state: "queued",
      readyAt: Math.min(run.createdAt, now),
      waitingFor: "another attempt",
    });
    addNote(rows, run.id, "The program ended while it was running; queued again", now);
    refreshLane(rows, run.rule, run.lane);
    queued++;
  }
  return { queued, more: left.length === SLICE };
}

/** Ends a run that was replaced (mode `restart`), if the program ended before the runner could end it. */
function endReplaced(rows: Rows, run: RunRow, now: number): boolean {
  const newer = newerInLane(rows, run);
  if (newer === undefined || getVersion(rows, run.version)?.mode !== "restart") return false;
  const error = { name: "Cancelled", message: `Replaced by run ${newer}` };
  endRun(rows, run, { state: "cancelled", error, spent: run.spent }, now);
  return true;
}
