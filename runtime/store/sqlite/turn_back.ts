import type { Context } from "./context.ts";
import { refreshLane } from "./lanes.ts";

const HOUR = 3_600_000;

/** This program is younger: a machine that shows an earlier time has lost it, in a power cut say, and will be set forward. */
const EARLIEST = Date.UTC(2026, 0, 1);

/**
 * The clock was set back by so many milliseconds to `now`. What was to come a while after its old time comes that while after
 * the new one: what is ready, what a limit holds, what is attempted again, a batch that waits for quiet, what began to wait in
 * the time that is yet to come. Without this all of it would stand still until the old time comes round, which may be in 2099. A
 * wait that had begun before is for its time, whatever the clock did in between. Where the new time cannot be right nothing is
 * changed, for all of it would come at once when it is.
 */
export function turnBack({ database }: Context, by: number, now: number): void {
  if (now < EARLIEST) return;
  database.run("UPDATE rules SET arrival = arrival - ? WHERE arrival > ?", by, now);
  database.run(
    // Replaced only where it is: a wait without an end must not be given one.
    "UPDATE steps SET record = json_replace(record, '$.startedAt', json_extract(record, '$.startedAt') - ?, " +
      "'$.due', json_extract(record, '$.due') - ?) " +
      "WHERE run IN (SELECT id FROM runs WHERE ready_at IS NOT NULL AND due IS NOT NULL) AND (" +
      "json_extract(record, '$.state') = 'retrying' AND json_extract(record, '$.due') > ? OR " +
      "json_extract(record, '$.state') = 'waiting' AND json_extract(record, '$.startedAt') > ?)",
    by,
    by,
    now,
    now,
  );
  database.run(
    "UPDATE runs SET due = max(due - ?, ?), ready_at = max(ready_at - ?, ?) WHERE ready_at > ? AND due IS NOT NULL AND " +
      "NOT EXISTS (SELECT 1 FROM waits WHERE run = runs.id AND since <= ?)",
    by,
    now,
    by,
    now,
    now,
    now,
  );
  // What a run began to wait for in the time to come may stand beside an older wait.
  database.run(
    "UPDATE runs SET due = soonest, ready_at = soonest FROM (" +
      "SELECT run, max(?, CAST(min(json_extract(record, '$.due')) AS INTEGER)) AS soonest FROM steps " +
      "WHERE run IN (SELECT id FROM runs WHERE ready_at > ? AND due IS NOT NULL) AND " +
      "json_extract(record, '$.state') IN ('waiting', 'retrying') GROUP BY run) WHERE run = id AND ready_at > soonest",
    now,
    now,
  );
  database.run("UPDATE runs SET ready_at = ? WHERE ready_at > ? AND due IS NULL", now, now);
  database.run("UPDATE waits SET since = since - ?, until = until - ? WHERE since > ?", by, by, now);
  database.run("UPDATE forms SET due = due - ? WHERE created_at > ? AND due IS NOT NULL", by, now);
  const lanes = database.all<{ rule: string; lane: string }>(
    "SELECT rule, lane FROM lanes WHERE next_at > ? ORDER BY rule, lane",
    now,
  );
  for (const { rule, lane } of lanes) refreshLane(database, rule, lane);
  turnBackBatches({ database }, by, now);
  // What has not expired by the old time has as long to live as it had.
  database.run("UPDATE state SET expires_at = expires_at - ? WHERE expires_at > ?", by, now + by);
  // An hour more of them does no harm, and there may be millions.
  if (by > 24 * HOUR) database.run("UPDATE identities SET received_at = ? WHERE received_at > ?", now, now);
}

/** Those that close some time after their events, and those that were opened in the time that is yet to come. */
function turnBackBatches({ database }: Pick<Context, "database">, by: number, now: number): void {
  database.run(
    "UPDATE batches SET closes_at = max(closes_at - ?, ?), last_at = min(last_at, ?), opened_at = min(opened_at, ?) " +
      "WHERE opened_at > ? OR (last_at > ? AND json_extract(options, '$.quiet') IS NOT NULL)",
    by,
    now,
    now,
    now,
    now,
    now,
  );
}
