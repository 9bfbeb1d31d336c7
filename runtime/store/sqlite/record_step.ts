import type { Json } from "../../model/json.ts";
import type { StepRecord } from "../../model/run.ts";
import type { StepEffects, StepResult } from "../store.ts";
import { cancelBranches } from "./cancel_branches.ts";
import type { Context } from "./context.ts";
import { putStep } from "./put_step.ts";
import { putReply } from "./replies.ts";
import { exchangeState } from "./state.ts";
import { dropWait, putWait } from "./waits.ts";

/**
 * One step's record together with its effects.
 * @throws Error where there is no such run
 */
export function recordStep(
  { database }: Context,
  run: string,
  record: StepRecord,
  { state, reply, wait, cancels }: StepEffects,
  now: number,
): StepResult {
  const row = database.one<{ event: number; began: number; ended_at: number | null }>(
    "SELECT event, began, ended_at FROM runs WHERE id = @run",
    run,
  );
  if (!row) throw new Error(`Cannot record step ${JSON.stringify(record.path)}: there is no run ${run}`);
  if (row.ended_at !== null) return { record, dropped: true };
  const settled = database.value<string>(
    "SELECT record FROM steps WHERE run = @run AND path = ? AND settled = 1",
    run,
    record.path,
  );
  if (settled !== undefined) return { record: JSON.parse(settled) };
  const output: Json | undefined = state ? exchangeState(database, state, now) : record.output;
  const stored = output === undefined ? record : { ...record, output };
  putStep(database, run, stored);
  if (cancels) cancelBranches(database, run, record.path, cancels, now);
  if (wait) return { record: putWait(database, { id: run, began: row.began }, stored, wait, now) };
  const form = record.state === "cancelled" ? "cancelled" : "expired";
  if (record.state !== "waiting") dropWait(database, { run, path: record.path }, form);
  if (!reply) return { record: stored };
  return { record: stored, replied: putReply(database, row.event, reply) };
}
