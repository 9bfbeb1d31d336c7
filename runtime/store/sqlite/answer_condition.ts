import type { StepRecord } from "../../model/run.ts";
import type { Verdict } from "../../model/verdict.ts";
import type { Admission, Answered } from "../store.ts";
import { admit } from "./admit.ts";
import type { Context } from "./context.ts";
import { count } from "./counters.ts";
import { endRun } from "./end_run.ts";
import { enterLane, laneFor, laneOf, refreshLane } from "./lanes.ts";
import { putStep } from "./put_step.ts";
import { readRunRow, type RunRow } from "./rows.ts";

/**
 * Turns the answer of a function `if` into the verdict. After a yes the run is admitted and queued again; anything else
 * ends it. What a condition declined is not listed among the runs, for it never was one to an operator; an `error` is.
 */
export function answerCondition(
  context: Context,
  id: string,
  record: StepRecord,
  answer: "yes" | Verdict,
  now: number,
): Answered {
  const run = readRunRow(context.database, id);
  if (!run) throw new Error(`Cannot answer a condition: there is no run ${id}`);
  if (run.admission === null) return { verdict: tooLate(run), replaces: [] };
  putStep(context.database, id, record);
  const { arrival, ...answered } = answer === "yes" ? admitRun(context, run, now) : decline(context, run, answer, now);
  count(context.database, run.rule, answered.verdict.kind, arrival);
  context.database.run(
    "UPDATE verdicts SET verdict = $verdict WHERE event = ? AND rule = @rule AND trigger_id = ?",
    answered.verdict,
    run.event,
    run.rule,
    run.trigger_id,
  );
  return answered;
}

function admitRun(context: Context, run: RunRow, now: number): Answered & { arrival?: number } {
  const { database } = context;
  const admission: Admission = JSON.parse(run.admission!);
  const { verdict, readyAt, arrival, replaces } = admit(context, run.id, run.rule, admission, now);
  if (readyAt === undefined) return decline(context, run, verdict, now);
  const lane = laneOf(admission.key);
  const held = verdict.kind === "held";
  // Where it may go on at once, it does so by the age of its event.
  const turn = held ? readyAt : run.created_at;
  database.run(
    "UPDATE runs SET state = 'queued', waiting_for = ?, due = ?, ready_at = ?, owner = NULL, lane = ?, " +
      "admission = NULL WHERE id = @run",
    held ? "the rule's limit" : undefined,
    held ? readyAt : undefined,
    turn,
    lane,
    run.id,
  );
  refreshLane(database, run.rule, run.lane);
  enterLane(database, run.rule, lane, laneFor(admission), turn);
  return { verdict, arrival, replaces };
}

function decline(
  context: Context,
  run: RunRow,
  answer: Verdict,
  now: number,
): Answered & { arrival?: undefined } {
  const failed = answer.kind === "error";
  const verdict: Verdict = failed || answer.kind === "condition" ? { ...answer, run: run.id } : answer;
  const reason = "reason" in answer ? answer.reason : answer.kind;
  endRun(
    context,
    run,
    {
      state: failed ? "failed" : "cancelled",
      error: { name: failed ? "ConditionError" : "Declined", message: reason },
      spent: run.spent,
    },
    now,
    failed,
  );
  return { verdict, replaces: [] };
}

function tooLate(run: RunRow): Verdict {
  return { kind: "error", reason: `Run ${run.id} was ${run.state} before its condition was answered`, run: run.id };
}
