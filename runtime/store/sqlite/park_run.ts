import type { Park } from "../store.ts";
import type { Context } from "./context.ts";
import { refreshLane } from "./lanes.ts";
import { readRunRow } from "./rows.ts";

/**
 * `running` → `waiting` or `queued`; frees its slot. Where a wait of it was ended in the store meanwhile, it is to be claimed
 * at once. A run that is not running is left as it is.
 */
export function parkRun({ database }: Context, id: string, park: Park, now: number): void {
  const run = readRunRow(database, id);
  if (run?.state !== "running") return;
  const woken = park.state === "waiting" && run.woken === 1;
  const state = woken ? "queued" : park.state;
  const due = woken || park.due === undefined ? undefined : Math.ceil(park.due);
  database.run(
    "UPDATE runs SET state = @state, waiting_for = ?, due = ?, ready_at = ?, owner = NULL, spent = ?, alone = ? " +
      "WHERE id = @run",
    state,
    woken ? undefined : park.waitingFor,
    due,
    due ?? (state === "queued" ? now : undefined),
    Math.round(park.spent),
    park.alone ?? run.alone,
    id,
  );
  refreshLane(database, run.rule, run.lane);
}
