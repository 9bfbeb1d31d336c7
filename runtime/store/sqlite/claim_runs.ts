import type { ClaimedRun } from "../store.ts";
import type { Context } from "./context.ts";
import { headOfLane, refreshLane } from "./lanes.ts";
import { readRunRow, readSteps, toRun } from "./rows.ts";

/** Leases due runs to `owner`, oldest first. It looks at lanes, not at runs: those without room cost nothing. */
export function claimRuns(context: Context, owner: string, max: number, now: number): ClaimedRun[] {
  const claimed: ClaimedRun[] = [];
  while (claimed.length < max) {
    const lane = context.database.one<{ rule: string; lane: string; in_order: number }>(
      "SELECT rule, lane, in_order FROM lanes WHERE next_at <= ? ORDER BY next_at, rule, lane LIMIT 1",
      now,
    );
    if (!lane) break;
    const run = headOfLane(context.database, lane.rule, lane.lane, lane.in_order === 1);
    claimed.push(claim(context, run, owner, now));
    refreshLane(context.database, lane.rule, lane.lane);
  }
  return claimed;
}

function claim({ database }: Context, id: string, owner: string, now: number): ClaimedRun {
  const before = readRunRow(database, id)!;
  const asksFirst = before.admission !== null;
  // Asking is not yet the run's own work: it has started once its steps have.
  const startedAt = before.started_at ?? (asksFirst ? null : now);
  database.run(
    "UPDATE runs SET state = 'running', owner = @owner, ready_at = NULL, due = NULL, waiting_for = NULL, woken = 0, " +
      "started_at = ? WHERE id = @run",
    owner,
    startedAt,
    id,
  );
  return {
    run: toRun(database, { ...before, state: "running", due: null, waiting_for: null, started_at: startedAt }),
    steps: readSteps(database, id),
    asksFirst,
    again: before.started_at !== null,
    alone: before.alone,
  };
}
