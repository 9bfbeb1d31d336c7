import type { RunEnd } from "../store.ts";
import type { Context } from "./context.ts";
import { count } from "./counters.ts";
import { refreshLane } from "./lanes.ts";
import { cancelWaits } from "./waits.ts";

/** A live run's place. */
export interface LiveRun {
  id: string;
  rule: string;
  lane: string;
  event: number;
}

/**
 * Ends a live run, whatever state it is in, and frees its slot.
 * @param listed false where only the verdict is to be seen, as after a condition's no
 */
export function endRun({ database, sweep }: Context, run: LiveRun, end: RunEnd, now: number, listed = true): void {
  database.run(
    "UPDATE runs SET state = @state, ended_at = ?, spent = ?, error = $error, failed_step = ?, output = $output, listed = ?, " +
      "waiting_for = NULL, due = NULL, ready_at = NULL, owner = NULL, admission = NULL WHERE id = @run",
    end.state,
    now,
    Math.round(end.spent),
    end.error,
    end.failedStep,
    end.output,
    Number(listed),
    run.id,
  );
  cancelWaits(database, run.id, now);
  database.run("UPDATE events SET live = live - 1 WHERE key = ?", run.event);
  sweep.passed = Math.min(sweep.passed, run.event - 1);
  if (listed) count(database, run.rule, end.state);
  refreshLane(database, run.rule, run.lane);
}
