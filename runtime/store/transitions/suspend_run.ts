import type { Rows } from "../ledger/rows.ts";
import type { RunRow } from "../ledger/tables.ts";
import type { Suspension } from "../store.ts";
import { refreshLane } from "./lanes.ts";
import { withoutPlans } from "./run_rows.ts";
import type { At } from "./transition.ts";

/**
 * Suspends a run, `running` → `waiting` or `queued`, and frees its slot. If one of its waits ended meanwhile, it may be claimed
 * at once. Does nothing if the run is not running.
 */
export function suspendRun(
  rows: Rows,
  { run: id, suspension }: { run: string; suspension: Suspension },
  { now }: At,
): void {
  const run = rows.get("run", id);
  if (run?.state !== "running") return;
  const { woken, ...rest } = withoutPlans(run);
  const isWoken = suspension.state === "waiting" && woken === true;
  const state = isWoken ? "queued" : suspension.state;
  const due = isWoken || suspension.due === undefined ? undefined : Math.ceil(suspension.due);
  const readyAt = due ?? (state === "queued" ? now : undefined);
  const row: RunRow = {
    ...rest,
    state,
    ...(!isWoken && { waitingFor: suspension.waitingFor }),
    ...(due !== undefined && { due }),
    ...(readyAt !== undefined && { readyAt }),
    spent: Math.round(suspension.spent),
    alone: suspension.alone ?? run.alone,
  };
  rows.put("run", id, row);
  refreshLane(rows, run.rule, run.lane);
}
