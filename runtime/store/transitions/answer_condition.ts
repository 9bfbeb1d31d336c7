import type { StepRecord } from "../../model/run.ts";
import type { Verdict } from "../../model/verdict.ts";
import type { Rows } from "../ledger/rows.ts";
import type { RunRow } from "../ledger/tables.ts";
import type { Answered } from "../store.ts";
import { admit } from "./admit.ts";
import { countVerdict } from "./counters.ts";
import { endRun } from "./end_run.ts";
import { addToEvent } from "./events.ts";
import { boundsOf, enterLane, laneOf, refreshLane } from "./lanes.ts";
import { withoutPlans } from "./run_rows.ts";
import { putStep } from "./trace.ts";
import type { At } from "./transition.ts";

/** The answer of a function `if`. */
export interface ConditionAnswer {
  run: string;
  record: StepRecord;
  answer: "yes" | Verdict;
}

/**
 * Turns the answer of a function `if` into the verdict. After a yes the run is admitted and queued again; anything else
 * ends it. A run that its condition declined is not listed, as operators never see it as a run; one with an `error` is.
 */
export function answerCondition(rows: Rows, { run: id, record, answer }: ConditionAnswer, at: At): Answered {
  const run = rows.get("run", id);
  if (run?.admission === undefined) return { verdict: tooLate(id, run), replaces: [] };
  putStep(rows, id, record);
  const { arrival, ...answered } = answer === "yes" ? admitRun(rows, run, at) : decline(rows, run, answer, at);
  countVerdict(rows, run.rule, answered.verdict.kind, run.event, arrival);
  addToEvent(rows, run.event, { verdict: { rule: run.rule, trigger: run.trigger, verdict: answered.verdict } });
  return answered;
}

function admitRun(rows: Rows, run: RunRow, at: At): Answered & { arrival?: number } {
  const admission = run.admission!;
  const { verdict, readyAt, arrival, ...others } = admit(rows, run.id, run.rule, admission, at);
  if (readyAt === undefined) return decline(rows, run, verdict, at);
  const lane = laneOf(admission.key);
  const isHeld = verdict.kind === "held";
  // A run that may start at once is ordered by the age of its event.
  const turn = isHeld ? readyAt : run.createdAt;
  const { admission: _admission, ...rest } = withoutPlans(run);
  rows.put("run", run.id, {
    ...rest,
    state: "queued",
    lane,
    readyAt: turn,
    ...(isHeld && { waitingFor: "the rule's limit", due: readyAt }),
  });
  refreshLane(rows, run.rule, run.lane);
  enterLane(rows, run.rule, lane, boundsOf(admission), turn);
  return { verdict, arrival, ...others };
}

function decline(rows: Rows, run: RunRow, answer: Verdict, at: At): Answered & { arrival?: undefined } {
  const hasFailed = answer.kind === "error";
  const verdict: Verdict = hasFailed || answer.kind === "condition" ? { ...answer, run: run.id } : answer;
  const reason = "reason" in answer ? answer.reason : answer.kind;
  const error = { name: hasFailed ? "ConditionError" : "Declined", message: reason };
  endRun(rows, run, { state: hasFailed ? "failed" : "cancelled", error, spent: run.spent }, at, {
    listed: hasFailed,
  });
  return { verdict, replaces: [] };
}

function tooLate(id: string, run: RunRow | undefined): Verdict {
  const state = run === undefined ? "had ended" : `was ${run.state}`;
  return { kind: "error", reason: `Run ${id} ${state} before its condition was evaluated`, run: id };
}
