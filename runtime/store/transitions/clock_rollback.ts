import type { StepRecord } from "../../model/run.ts";
import { join } from "../ledger/ordered.ts";
import type { Rows } from "../ledger/rows.ts";
import type { BatchRow, RunRow } from "../ledger/tables.ts";
import { refreshLane } from "./lanes.ts";
import { readSteps, stepKey } from "./trace.ts";
import type { At } from "./transition.ts";

const DAY = 24 * 3_600_000;

/** This program is younger: a machine that shows an earlier time has lost it, in a power cut say, and will be set forward. */
const EARLIEST = Date.UTC(2026, 0, 1);

/**
 * The clock was set back by so many milliseconds to `now`. What was to come a while after its old time comes that while after
 * the new one: what is ready, what a limit holds, what is attempted again, a batch that waits for quiet, what began to wait in
 * the time that is yet to come. Without this all of it would wait until the old time comes round, which may be in 2099. A
 * wait that had begun before is for its time, whatever the clock did in between. If the new time cannot be right nothing is
 * changed, for all of it would come at once when it is corrected.
 */
export function rollBackClock(rows: Rows, by: number, { now }: At): void {
  if (now < EARLIEST) return;
  for (const [key, rule] of [...rows.all("rule")]) {
    if (rule.arrival > now) rows.put("rule", key, { ...rule, arrival: rule.arrival - by });
  }
  rollBackSteps(rows, by, now);
  rollBackRuns(rows, by, now);
  // After the runs: up to here the waits say which of them began in the time to come.
  rollBackWaits(rows, by, now);
  for (const [, { rule, lane, nextAt }] of [...rows.all("lane")]) {
    if (nextAt !== undefined && nextAt > now) refreshLane(rows, rule, lane);
  }
  for (const [key, batch] of [...rows.all("batch")]) {
    if (hasBegunLater(batch, now)) rows.put("batch", key, rolledBackBatch(batch, by, now));
  }
  // What has not expired by the old time has as long to live as it had.
  for (const [key, row] of [...rows.all("state")]) {
    if (row.expiresAt !== undefined && row.expiresAt > now + by) {
      rows.put("state", key, { ...row, expiresAt: row.expiresAt - by });
    }
  }
  rollBackIdentities(rows, by, now);
}

/** One row stands for all identities, of which there may be millions. An hour more of them does no harm. */
function rollBackIdentities(rows: Rows, by: number, now: number): void {
  const last = rows.get("fact", "last") as { key: number; receivedAt: number } | undefined;
  if (last === undefined) return;
  if (by > DAY) rows.put("fact", "rollback", { key: last.key, at: now });
  // The next start compares this with its clock, and must not count the same rollback again.
  if (last.receivedAt > now) rows.put("fact", "last", { ...last, receivedAt: now });
}

/** What steps began to wait for in the time to come, and when they are attempted again. */
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
  // A wait without an end must not be given one.
  return { ...record, startedAt: startedAt - by, ...(due !== undefined && { due: due - by }) };
}

/** A time such as 09:00 is told from the new time: the step begins to wait once more. No duration has a colon or a hyphen. */
function isForTimeOfDay({ kind, input }: StepRecord): boolean {
  if (kind !== "wait" || input === null || typeof input !== "object" || Array.isArray(input)) return false;
  return (typeof input.wait === "string" && /[-:]/.test(input.wait)) || (input.until ?? null) !== null;
}

/** When runs go on that do not run now. */
function rollBackRuns(rows: Rows, by: number, now: number): void {
  for (const [key, run] of [...rows.all("run")]) {
    const changed = run.readyAt !== undefined && run.readyAt > now ? rolledBackRun(rows, run, by, now) : run;
    // One that runs, and is about to be suspended until the old time, is claimed again and reads its steps.
    const row = changed.owner === undefined || changed.woken ? changed : { ...changed, woken: true as const };
    if (row !== run) rows.put("run", key, row);
  }
}

function rolledBackRun(rows: Rows, run: RunRow, by: number, now: number): RunRow {
  if (run.due === undefined) return { ...run, readyAt: now };
  const waits = rows.range("wait", "run", join(run.id, ""));
  const hasOlderWait = waits.some(({ since }) => since <= now);
  const shift = (time: number) => hasOlderWait ? time : Math.max(time - by, now);
  // What a run began to wait for in the time to come may stand beside an older wait.
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

/** Whether a batch was opened in the time to come, or waits for quiet after an event that came then. */
function hasBegunLater({ openedAt, lastAt, options }: BatchRow, now: number): boolean {
  return openedAt > now || (lastAt > now && JSON.parse(options).quiet !== undefined);
}

function rolledBackBatch(batch: BatchRow, by: number, now: number): BatchRow {
  // The time of a cron is kept, unless it may be years away: then it closes too early, once.
  const keepsTime = by <= DAY && JSON.parse(batch.options).cron !== undefined;
  return {
    ...batch,
    closesAt: keepsTime ? batch.closesAt : Math.max(batch.closesAt - by, now),
    lastAt: Math.min(batch.lastAt, now),
    openedAt: Math.min(batch.openedAt, now),
  };
}
