import type { Json } from "../../model/json.ts";
import type { StepRecord } from "../../model/run.ts";
import type { StepEffects, StepResult } from "../store.ts";
import type { Context } from "./context.ts";
import { putStep } from "./put_step.ts";
import { putReply } from "./replies.ts";
import { exchangeState } from "./state.ts";

/**
 * One step's record together with its effects.
 * @throws Error where there is no such run
 */
export function recordStep(
  { database }: Context,
  run: string,
  record: StepRecord,
  { state, reply }: StepEffects,
  now: number,
): StepResult {
  const row = database.one<{ event: number; ended_at: number | null }>(
    "SELECT event, ended_at FROM runs WHERE id = @run",
    run,
  );
  if (!row) throw new Error(`Cannot record step ${JSON.stringify(record.path)}: there is no run ${run}`);
  if (row.ended_at !== null) return { record, dropped: true };
  const output: Json | undefined = state ? exchangeState(database, state, now) : record.output;
  const stored = output === undefined ? record : { ...record, output };
  putStep(database, run, stored);
  if (!reply) return { record: stored };
  return { record: stored, replied: putReply(database, row.event, reply) };
}
