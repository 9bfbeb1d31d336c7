import type { Park } from "../store.ts";
import type { Context } from "./context.ts";
import { refreshLane } from "./lanes.ts";
import { readRunRow } from "./rows.ts";

/** `running` → `waiting` or `queued`; frees its slot. A run that is not running is left as it is. */
export function parkRun({ database }: Context, id: string, park: Park, now: number): void {
  const run = readRunRow(database, id);
  if (run?.state !== "running") return;
  const due = park.due === undefined ? undefined : Math.ceil(park.due);
  database.run(
    "UPDATE runs SET state = @state, waiting_for = ?, due = ?, ready_at = ?, owner = NULL, spent = ?, alone = ? " +
      "WHERE id = @run",
    park.state,
    park.waitingFor,
    due,
    due ?? (park.state === "queued" ? now : undefined),
    Math.round(park.spent),
    park.alone ?? run.alone,
    id,
  );
  refreshLane(database, run.rule, run.lane);
}
