import type { Json } from "../../model/json.ts";
import { isFinalStep, type StepRecord } from "../../model/run.ts";
import type { StepEffects, StepResult } from "../store.ts";
import { cancelBranches } from "./cancel_branches.ts";
import type { Context } from "./context.ts";
import type { Database } from "./database.ts";
import { endRun, type LiveRun } from "./end_run.ts";
import { putStep } from "./put_step.ts";
import { putReply } from "./replies.ts";
import { readStep } from "./rows.ts";
import { exchangeState } from "./state.ts";
import { dropWait, putWait } from "./waits.ts";

/**
 * One step's record together with its effects.
 * @throws Error where there is no such run
 */
export function recordStep(
  context: Context,
  run: string,
  record: StepRecord,
  { state, reply, wait, cancels, end }: StepEffects,
  now: number,
): StepResult {
  const { database } = context;
  const row = database.one<LiveRun & { began: number; ended_at: number | null }>(
    "SELECT id, rule, lane, event, began, ended_at FROM runs WHERE id = @run",
    run,
  );
  if (!row) throw new Error(`Cannot record step ${JSON.stringify(record.path)}: there is no run ${run}`);
  if (row.ended_at !== null) return { record, dropped: true };
  const settled = readSettled(database, run, record) ?? (wait && readEnded(database, run, record.path));
  if (settled) return { record: settled };
  const output: Json | undefined = state ? exchangeState(database, state, now) : record.output;
  const stored = output === undefined ? record : { ...record, output };
  putStep(database, run, stored);
  if (cancels) cancelBranches(database, run, record, cancels, now);
  if (wait) return { record: putWait(database, { id: run, began: row.began }, stored, wait, now) };
  if (record.state !== "waiting") {
    dropWait(database, { run, path: record.path }, record.state === "cancelled" ? "cancelled" : "expired");
  }
  const replied = reply && putReply(database, row.event, reply);
  const ended = end !== undefined && replied !== false;
  if (ended) endRun(context, row, end, now);
  return { record: stored, ...(reply && { replied }), ...(ended && { ended }) };
}

/** What stands of a step that the store has ended: its wait was, or it was lost with its branch. */
function readSettled(database: Database, run: string, record: StepRecord): StepRecord | undefined {
  const own = database.value<string>(
    "SELECT record FROM steps WHERE run = @run AND path = ? AND settled = 1",
    run,
    record.path,
  );
  if (own !== undefined) return JSON.parse(own);
  const lost = findLost(database, run, record.path);
  if (lost === undefined) return undefined;
  const { output: _output, due: _due, ...rest } = record;
  const cancelled: StepRecord = { ...rest, state: "cancelled", endedAt: lost.endedAt, error: lost.error };
  putStep(database, run, cancelled, true);
  return cancelled;
}

/** A step that has ended waits no more, although an escalation that was on its way says so: its form would be open for ever. */
function readEnded(database: Database, run: string, path: string): StepRecord | undefined {
  const record = readStep(database, run, path);
  return record && isFinalStep(record.state) ? record : undefined;
}

/** The branch above a step that was cancelled. */
function findLost(database: Database, run: string, path: string): StepRecord | undefined {
  for (let at = path.indexOf("/"); at !== -1; at = path.indexOf("/", at + 1)) {
    const record = database.value<string>(
      "SELECT record FROM steps WHERE run = @run AND path = ? AND settled = 1",
      run,
      path.slice(0, at),
    );
    const above: StepRecord | undefined = record === undefined ? undefined : JSON.parse(record);
    if (above?.state === "cancelled") return above;
  }
  return undefined;
}
