import type { Rows } from "../ledger/rows.ts";
import type { RunRow } from "../ledger/tables.ts";
import type { ClaimedRun, Lease } from "../store.ts";
import { readEvent } from "./events.ts";
import { headOfLane, refreshLane } from "./lanes.ts";
import { readWaits, toRun, withoutPlans } from "./run_rows.ts";
import { readSteps } from "./trace.ts";
import type { At } from "./transition.ts";

/** Leases due runs to an owner, oldest first. Reads groups, not runs: groups without a free slot cost nothing. */
export function claimRuns(rows: Rows, { owner, max }: Lease, { now }: At): ClaimedRun[] {
  const claimed: ClaimedRun[] = [];
  while (claimed.length < max) {
    const lane = rows.first("lane", "next", "");
    if (lane === undefined || lane.nextAt! > now) break;
    claimed.push(claim(rows, headOfLane(rows, lane), owner, now));
    refreshLane(rows, lane.rule, lane.lane);
  }
  return claimed;
}

function claim(rows: Rows, before: RunRow, owner: string, now: number): ClaimedRun {
  const asksFirst = before.admission !== undefined;
  // Running the condition is not a start: the run starts with its steps.
  const startedAt = before.startedAt ?? (asksFirst ? undefined : now);
  const { woken: _woken, ...rest } = withoutPlans(before);
  const row: RunRow = { ...rest, state: "running", owner, ...(startedAt !== undefined && { startedAt }) };
  rows.put("run", row.id, row);
  return {
    run: toRun(row, readEvent(rows, row.event), readWaits(rows, row.id)),
    steps: readSteps(rows, row.id),
    asksFirst,
    again: before.startedAt !== undefined,
    alone: before.alone,
  };
}
