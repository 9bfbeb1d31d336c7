import type { Context } from "./context.ts";
import type { Database } from "./database.ts";
import { refreshLane } from "./lanes.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

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
  turnBackSteps(database, by, now);
  turnBackRuns(database, by, now);
  // Behind the runs: till here it says which of them began to wait in the time to come.
  database.run("UPDATE waits SET since = since - ?, until = until - ? WHERE since > ?", by, by, now);
  database.run("UPDATE forms SET due = due - ? WHERE created_at > ? AND due IS NOT NULL", by, now);
  const lanes = database.all<{ rule: string; lane: string }>(
    "SELECT rule, lane FROM lanes WHERE next_at > ? ORDER BY rule, lane",
    now,
  );
  for (const { rule, lane } of lanes) refreshLane(database, rule, lane);
  turnBackBatches(database, by, now);
  // What has not expired by the old time has as long to live as it had.
  database.run("UPDATE state SET expires_at = expires_at - ? WHERE expires_at > ?", by, now + by);
  // An hour more of them does no harm, and there may be millions.
  if (by > DAY) database.run("UPDATE identities SET received_at = ? WHERE received_at > ?", now, now);
  // The newest of them shows the next start how far the clock was set back, which must not be counted again.
  database.run("UPDATE events SET received_at = ? WHERE received_at > ?", now, now);
}

/** What steps of live runs began to wait for in the time to come, and when they are attempted again. */
function turnBackSteps(database: Database, by: number, now: number): void {
  const isLive = "run IN (SELECT id FROM runs WHERE ended_at IS NULL)";
  const hasBegunToWait = "json_extract(record, '$.state') = 'waiting' AND json_extract(record, '$.startedAt') > ?";
  // A time such as 09:00 is told from the new time: the step begins to wait once more. No duration has a colon or a hyphen.
  database.run(
    "UPDATE steps SET record = json_set(json_remove(record, '$.due'), '$.state', 'retrying') " +
      `WHERE ${isLive} AND ${hasBegunToWait} AND json_extract(record, '$.kind') = 'wait' AND ` +
      "(json_extract(record, '$.input.wait') GLOB '*[-:]*' OR json_extract(record, '$.input.until') IS NOT NULL)",
    now,
  );
  database.run(
    // Replaced only where it is: a wait without an end must not be given one.
    "UPDATE steps SET record = json_replace(record, '$.startedAt', json_extract(record, '$.startedAt') - ?, " +
      `'$.due', json_extract(record, '$.due') - ?) WHERE ${isLive} AND (` +
      `json_extract(record, '$.state') = 'retrying' AND json_extract(record, '$.due') > ? OR ${hasBegunToWait})`,
    by,
    by,
    now,
    now,
  );
}

/** When runs go on that are not performed now. */
function turnBackRuns(database: Database, by: number, now: number): void {
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
      "SELECT run, max(?, CAST(min(iif(json_extract(record, '$.state') = 'retrying', " +
      "ifnull(json_extract(record, '$.due'), ?), json_extract(record, '$.due'))) AS INTEGER)) AS soonest FROM steps " +
      "WHERE run IN (SELECT id FROM runs WHERE ready_at > ? AND due IS NOT NULL) AND " +
      "json_extract(record, '$.state') IN ('waiting', 'retrying') GROUP BY run) WHERE run = id AND ready_at > soonest",
    now,
    now,
    now,
  );
  database.run("UPDATE runs SET ready_at = ? WHERE ready_at > ? AND due IS NULL", now, now);
  // One that is being performed, and about to be parked until the old time, is claimed again and reads its steps.
  database.run("UPDATE runs SET woken = 1 WHERE owner IS NOT NULL AND woken = 0");
}

/** Those that close some time after their events, and those that were opened in the time that is yet to come. */
function turnBackBatches(database: Database, by: number, now: number): void {
  database.run(
    // The time of a cron is kept, unless it may be years away: then it closes too early, once.
    "UPDATE batches SET closes_at = iif(? <= ? AND json_extract(options, '$.cron') IS NOT NULL, closes_at, " +
      "max(closes_at - ?, ?)), last_at = min(last_at, ?), opened_at = min(opened_at, ?) " +
      "WHERE opened_at > ? OR (last_at > ? AND json_extract(options, '$.quiet') IS NOT NULL)",
    by,
    DAY,
    by,
    now,
    now,
    now,
    now,
    now,
  );
}
