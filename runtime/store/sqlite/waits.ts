import type { Event } from "../../model/event.ts";
import type { FormState } from "../../model/form.ts";
import type { Json } from "../../model/json.ts";
import type { StepRecord, StepWait } from "../../model/run.ts";
import { describeWait } from "../describe_wait.ts";
import type { Wait } from "../store.ts";
import { dropAwaited, findEarlier, findWaits, putAwaited } from "./awaited.ts";
import type { Context } from "./context.ts";
import type { Database } from "./database.ts";
import { closeForm, putForm } from "./forms.ts";
import { refreshLane } from "./lanes.ts";
import { putStep } from "./put_step.ts";
import { readEvent, readStep } from "./rows.ts";

/** Where a wait stands. */
interface Place {
  run: string;
  path: string;
}

interface WaitRow {
  position: number;
  kind: StepWait["kind"];
  form: string | null;
}

/**
 * A step waits, or waits for something else than before.
 * @param began the newest event when its run was made
 * @returns its record, which has succeeded where the event that it waits for has come already
 */
export function putWait(
  database: Database,
  run: { id: string; began: number },
  record: StepRecord,
  wait: Wait,
  now: number,
): StepRecord {
  const place = { run: run.id, path: record.path };
  const before = findWait(database, place);
  if (before) forgetTarget(database, before, wait.kind === "form" ? wait.form.id : undefined);
  const until = wait.kind === "form" ? wait.form.due : record.due;
  database.run(
    "INSERT INTO waits (run, path, kind, what, form, since, until) VALUES (@run, ?, @kind, ?, @form, ?, ?) " +
      "ON CONFLICT (run, path) DO UPDATE SET kind = excluded.kind, what = excluded.what, form = excluded.form, " +
      "until = excluded.until",
    place.run,
    place.path,
    wait.kind,
    describeWait(wait),
    wait.kind === "form" ? wait.form.id : undefined,
    record.startedAt,
    until === undefined ? undefined : Math.ceil(until),
  );
  if (wait.kind === "form") putForm(database, place, wait.form, now);
  if (wait.kind !== "event") return record;
  const { position } = findWait(database, place)!;
  putAwaited(database, position, wait);
  const event = findEarlier(database, position, run.id, run.began);
  if (event === undefined) return record;
  takeEvent(database, place, event);
  return settle(database, place, { state: "succeeded", output: readEvent(database, event) as unknown as Json }, now);
}

/** What a wait came to. */
interface Ending {
  state: "succeeded" | "skipped";
  output: Json;
}

/** Ends a step's wait from outside the run: its record is final, and the run goes on at once. */
export function endWait(database: Database, place: Place, ending: Ending, now: number): void {
  settle(database, place, ending, now);
  wakeRuns(database, [place.run], now);
}

/** @returns the record */
function settle(database: Database, place: Place, ending: Ending, now: number): StepRecord {
  const { due: _due, ...waiting } = readStep(database, place.run, place.path)!;
  const record: StepRecord = { ...waiting, ...ending, endedAt: now };
  putStep(database, place.run, record, true);
  dropWait(database, place, "cancelled");
  return record;
}

/** The step waits no more; a form that it asked becomes `form`. */
export function dropWait(database: Database, place: Place, form: FormState): void {
  const wait = findWait(database, place);
  if (!wait) return;
  database.run("DELETE FROM waits WHERE position = ?", wait.position);
  if (wait.kind === "event") dropAwaited(database, wait.position);
  if (wait.form !== null) closeForm(database, wait.form, form);
}

/** A run that ends waits for nothing any more: its steps that did are cancelled, and its open forms. */
export function cancelWaits(database: Database, run: string, now: number): void {
  for (
    const { path } of database.all<{ path: string }>("SELECT path FROM waits WHERE run = @run ORDER BY position", run)
  ) {
    cancelStep(database, run, readStep(database, run, path)!, "The run ended before", now);
  }
}

/** Cancels a step that has not ended; a result of it that comes later is dropped. */
export function cancelStep(database: Database, run: string, record: StepRecord, message: string, now: number): void {
  const { due: _due, ...rest } = record;
  putStep(database, run, { ...rest, state: "cancelled", endedAt: now, error: { name: "Cancelled", message } }, true);
  dropWait(database, { run, path: record.path }, "cancelled");
}

/**
 * Ends the waits for an event that was just stored, in each run at most one.
 * @returns the runs
 */
export function endAwaiting({ database }: Context, key: number, event: Event, now: number): string[] {
  const waits = findWaits(database, event);
  for (const { run, path } of waits) {
    takeEvent(database, { run, path }, key);
    settle(database, { run, path }, { state: "succeeded", output: event as unknown as Json }, now);
  }
  const runs = waits.map(({ run }) => run);
  wakeRuns(database, runs, now);
  return runs;
}

/** Notes that an event ended a wait: it ends no other one of the same run. */
function takeEvent(database: Database, { run, path }: Place, event: number): void {
  database.run("INSERT INTO taken (run, event, path) VALUES (@run, ?, ?)", run, event, path);
  database.run("UPDATE events SET delivery = 'accepted' WHERE key = ?", event);
}

/** Waiting runs may be claimed at once. One that is running may have missed it: it may be claimed again once it is parked. */
function wakeRuns(database: Database, runs: string[], now: number): void {
  const lanes = new Map<string, { rule: string; lane: string }>();
  for (const run of runs) {
    const woken = database.run(
      "UPDATE runs SET state = 'queued', waiting_for = NULL, due = NULL, ready_at = ? WHERE id = @run AND state = 'waiting'",
      now,
      run,
    );
    if (woken === 0) {
      database.run("UPDATE runs SET woken = 1 WHERE id = @run AND state = 'running' AND woken = 0", run);
      continue;
    }
    const place = database.one<{ rule: string; lane: string }>("SELECT rule, lane FROM runs WHERE id = @run", run)!;
    lanes.set(JSON.stringify(place), place);
  }
  for (const { rule, lane } of lanes.values()) refreshLane(database, rule, lane);
}

function findWait(database: Database, { run, path }: Place): WaitRow | undefined {
  return database.one<WaitRow>("SELECT position, kind, form FROM waits WHERE run = @run AND path = ?", run, path);
}

/** @param form the one that goes on */
function forgetTarget(database: Database, wait: WaitRow, form: string | undefined): void {
  if (wait.kind === "event") dropAwaited(database, wait.position);
  if (wait.form !== null && wait.form !== form) closeForm(database, wait.form, "cancelled");
}
