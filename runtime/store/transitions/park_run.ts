import type { Rows } from "../ledger/rows.ts";
import type { RunRow } from "../ledger/tables.ts";
import type { Park } from "../store.ts";
import { refreshLane } from "./lanes.ts";
import { withoutPlans } from "./run_rows.ts";
import type { At } from "./transition.ts";

/**
 * Suspends a run, `running` → `waiting` or `queued`, and frees its slot. If a wait of it ended meanwhile, it is to be claimed at
 * once. A run that is not running is left as it is.
 */
export function parkRun(rows: Rows, { run: id, park }: { run: string; park: Park }, { now }: At): void {
  const run = rows.get("run", id);
  if (run?.state !== "running") return;
  const { woken, ...rest } = withoutPlans(run);
  const isWoken = park.state === "waiting" && woken === true;
  const state = isWoken ? "queued" : park.state;
  const due = isWoken || park.due === undefined ? undefined : Math.ceil(park.due);
  const readyAt = due ?? (state === "queued" ? now : undefined);
  const row: RunRow = {
    ...rest,
    state,
    ...(!isWoken && { waitingFor: park.waitingFor }),
    ...(due !== undefined && { due }),
    ...(readyAt !== undefined && { readyAt }),
    spent: Math.round(park.spent),
    alone: park.alone ?? run.alone,
  };
  rows.put("run", id, row);
  refreshLane(rows, run.rule, run.lane);
}
