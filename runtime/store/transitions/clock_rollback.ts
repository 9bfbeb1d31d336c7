import { DAY } from "../../model/duration.ts";
import type { StepRecord } from "../../model/run.ts";
import type { Rows } from "../ledger/rows.ts";
import type { BatchRow, RunRow } from "../ledger/tables.ts";
import { refreshLane } from "./lanes.ts";
import { readSteps, stepKey } from "./run_rows.ts";
import type { TransitionContext } from "./transition.ts";

/** Before the first release: a machine with an earlier time has lost it, for example in a power cut, and will be corrected. */
const EARLIEST = Date.UTC(2026, 0, 1);

/**
 * Adapts to a clock rollback by this many milliseconds, to `now`. Times after the old time keep their
 * distance to the clock: ready runs, runs delayed by a limit, retries, batches that wait for quiet, and waits that began
 * after `now` by the old clock. Without this, all of them would wait until the old time is reached again, which may be in 2099.
 * A wait that began before `now` keeps its time, whatever the clock did in between. If the new time cannot be right, nothing
 * changes, as everything would become due at once when the clock is corrected.
 */
export function rollBackClock(rows: Rows, by: number, { now }: TransitionContext): void {
  if (now < EARLIEST) return;
  for (const [key, rule] of [...rows.all("rule")]) {
    if (rule.arrival > now) rows.put("rule", key, { ...rule, arrival: rule.arrival - by });
  }
  rollBackSteps(rows, by, now);
  rollBackRuns(rows, by, now);
  // After the runs, which need the old waits to see which of them began after `now`.
  rollBackWaits(rows, by, now);
  for (const [, { rule, lane, nextAt }] of [...rows.all("lane")]) {
    if (nextAt !== undefined && nextAt > now) refreshLane(rows, rule, lane);
  }
  for (const [key, batch] of [...rows.all("batch")]) {
    if (hasBegunLater(batch, now)) rows.put("batch", key, rolledBackBatch(batch, by, now));
  }
  // A value that had not expired by the old time keeps its remaining time.
  for (const [key, row] of [...rows.all("state")]) {
    if (row.expiresAt !== undefined && row.expiresAt > now + by) {
      rows.put("state", key, { ...row, expiresAt: row.expiresAt - by });
    }
  }
  rollBackIdentities(rows, by, now);
}

/** One row covers all identities, of which there may be millions. To keep them up to a day longer does no harm. */
function rollBackIdentities(rows: Rows, by: number, now: number): void {
  const last = rows.fact("last");
  if (last === undefined) return;
  if (by > DAY) rows.putFact("rollback", { key: last.key, at: now });
  // The next start compares this with its clock, and must not count the same rollback again.
  if (last.receivedAt > now) rows.putFact("last", { ...last, receivedAt: now });
}

/** Moves the waits that began after `now`, and the retries of steps. */
function rollBackSteps(rows: Rows, by: number, now: number): void {
  for (const [key, step] of [...rows.all("step")]) {
    const record = rolledBackStep(step.record, by, now);
    if (record !== step.record) rows.put("step", key, { ...step, record });
  }
}

function rolledBackStep(record: StepRecord, by: number, now: number): StepRecord {
  const { state, startedAt, due } = record;
  const hasBegunToWait = state === "waiting" && startedAt > now;
  if (hasBegunToWait && isForTimeOfDay(record)) {
    const { due: _due, ...rest } = record;
    return { ...rest, state: "retrying" };
  }
  if (!hasBegunToWait && !(state === "retrying" && due !== undefined && due > now)) return record;
  // A wait without an end must not get one.
  return { ...record, startedAt: startedAt - by, ...(due !== undefined && { due: due - by }) };
}

/** A time such as 09:00 is computed again from the new time: the step's wait begins anew. No duration has a colon or a hyphen. */
function isForTimeOfDay({ kind, input }: StepRecord): boolean {
  if (kind !== "wait" || input === null || typeof input !== "object" || Array.isArray(input)) return false;
  return (typeof input.wait === "string" && /[-:]/.test(input.wait)) || (input.until ?? null) !== null;
}

/** Moves the times at which runs that are not running resume. */
function rollBackRuns(rows: Rows, by: number, now: number): void {
  for (const [key, run] of [...rows.all("run")]) {
    const changed = run.readyAt !== undefined && run.readyAt > now ? rolledBackRun(rows, run, by, now) : run;
    // A running run may be about to suspend until the old time. It is claimed again and reads its steps.
    const row = changed.owner === undefined || changed.woken ? changed : { ...changed, woken: true as const };
    if (row !== run) rows.put("run", key, row);
  }
}

function rolledBackRun(rows: Rows, run: RunRow, by: number, now: number): RunRow {
  if (run.due === undefined) return { ...run, readyAt: now };
  const waits = rows.ofRun("wait", run.id);
  const hasOlderWait = waits.some(({ since }) => since <= now);
  const shift = (time: number) => hasOlderWait ? time : Math.max(time - by, now);
  // A run may have both a wait that began after `now` and an older one.
  const [due, readyAt] = [shift(run.due), shift(run.readyAt!)];
  const soonest = Math.max(now, soonestStep(rows, run.id, now));
  return readyAt > soonest && soonest < Infinity
    ? { ...run, due: soonest, readyAt: soonest }
    : { ...run, due, readyAt };
}

function soonestStep(rows: Rows, run: string, now: number): number {
  const times = readSteps(rows, run).flatMap(({ state, due }) => {
    if (state === "retrying") return [due ?? now];
    return state === "waiting" && due !== undefined ? [due] : [];
  });
  return Math.trunc(Math.min(...times));
}

function rollBackWaits(rows: Rows, by: number, now: number): void {
  for (const [, wait] of [...rows.all("wait")]) {
    if (wait.since <= now) continue;
    const until = wait.until === undefined ? {} : { until: wait.until - by };
    rows.put("wait", stepKey(wait.run, wait.path), { ...wait, since: wait.since - by, ...until });
  }
  for (const [key, form] of [...rows.all("form")]) {
    if (form.createdAt > now && form.due !== undefined) rows.put("form", key, { ...form, due: form.due - by });
  }
}

/** Whether a batch was opened after `now`, or waits for quiet after an event from then. */
function hasBegunLater({ openedAt, lastAt, options }: BatchRow, now: number): boolean {
  return openedAt > now || (lastAt > now && JSON.parse(options).quiet !== undefined);
}

function rolledBackBatch(batch: BatchRow, by: number, now: number): BatchRow {
  // The time of a cron is kept, unless it may be years away: then the batch closes too early, once.
  const keepsTime = by <= DAY && JSON.parse(batch.options).cron !== undefined;
  return {
    ...batch,
    closesAt: keepsTime ? batch.closesAt : Math.max(batch.closesAt - by, now),
    lastAt: Math.min(batch.lastAt, now),
    openedAt: Math.min(batch.openedAt, now),
  };
}
