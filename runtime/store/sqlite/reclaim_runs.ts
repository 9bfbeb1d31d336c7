import type { Context } from "./context.ts";
import { endRun, type LiveRun } from "./end_run.ts";
import { newerInLane, refreshLane } from "./lanes.ts";
import { addNote } from "./notes.ts";
import { turnBack } from "./turn_back.ts";
import { getVersion } from "./versions.ts";

interface LeftRun extends LiveRun {
  version: string;
  spent: number;
}

/** Queues the runs again that another owner left running, but for those that a newer one replaces. @returns how many */
export function reclaimRuns(context: Context, owner: string, now: number): number {
  const { database } = context;
  const newest = database.value<number>("SELECT received_at FROM events ORDER BY key DESC LIMIT 1") ?? 0;
  // The clock was set back while the program was down.
  if (newest > now) turnBack(context, newest - now, now);
  const left = database.all<LeftRun>(
    "SELECT id, rule, lane, event, version, spent FROM runs " +
      "WHERE state = 'running' AND listed = 1 AND owner <> @owner ORDER BY id",
    owner,
  );
  const again = left.filter((run) => !endReplaced(context, run, now));
  for (const { id, rule, lane } of again) {
    database.run(
      "UPDATE runs SET state = 'queued', owner = NULL, ready_at = min(created_at, ?), waiting_for = 'another attempt' WHERE id = @run",
      now,
      id,
    );
    addNote(database, id, "The program ended while it was running; queued again", now);
    refreshLane(database, rule, lane);
  }
  return again.length;
}

/** The program may have ended after a run was replaced (mode `restart`) and before it was told to end. */
function endReplaced(context: Context, run: LeftRun, now: number): boolean {
  const { database } = context;
  const newer = newerInLane(database, run);
  if (newer === undefined || getVersion(database, run.version)?.mode !== "restart") return false;
  const error = { name: "Cancelled", message: `Replaced by run ${newer}` };
  endRun(context, run, { state: "cancelled", error, spent: run.spent }, now);
  return true;
}
