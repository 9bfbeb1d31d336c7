import { formatDuration, type Rate } from "../../model/duration.ts";
import type { Verdict } from "../../model/event.ts";
import type { StepRecord } from "../../model/run.ts";
import type { Rows } from "../ledger/rows.ts";
import type { RunRow } from "../ledger/tables.ts";
import type { Admission, Answered } from "../store.ts";
import { endAsked, endCancelled, endRun } from "./end_run.ts";
import { addToEvent } from "./event_rows.ts";
import { boundsOf, enterLane, laneOf, liveInLane, refreshLane } from "./lanes.ts";
import { countVerdict } from "./rule_rows.ts";
import { addNote, putStep, withoutPlans } from "./run_rows.ts";
import type { TransitionContext } from "./transition.ts";

/** The decision of mode, key and limit on a run. */
export interface Admitted {
  verdict: Verdict;
  /** When it may start; undefined if it is rejected. */
  readyAt?: number;
  /** The limit's new theoretical arrival time, to be stored with the verdict. */
  arrival?: number;
  /** Running runs that it replaces. */
  replaces: string[];
  /** Other runs that it replaced: they have ended. Absent if there are none. */
  replaced?: string[];
}

/** Admits a run by its rule's mode and key, then by its limit: a busy run does not count towards the limit. */
export function admit(
  rows: Rows,
  run: string,
  rule: string,
  admission: Admission,
  context: TransitionContext,
): Admitted {
  const { now } = context;
  const { mode, key, limit } = admission;
  const lane = laneOf(key);
  if (mode === "single") {
    const live = liveInLane(rows, rule, lane, 1)[0];
    if (live) return { verdict: { kind: "busy", reason: busyReason(live, key) }, replaces: [] };
  }
  const others = mode === "restart" ? replace(rows, rule, lane, run, context) : { replaces: [] };
  if (!limit) return { verdict: { kind: "started", run }, readyAt: now, ...others };
  const { readyAt, arrival } = takePlace(rows, rule, limit, now);
  if (readyAt <= now) return { verdict: { kind: "started", run }, readyAt, arrival, ...others };
  const reason = `Held until ${new Date(readyAt).toISOString()}: the rule is limited to ${limit.count} in ${
    formatDuration(limit.per)
  }`;
  return { verdict: { kind: "held", run, reason, until: readyAt }, readyAt, arrival, ...others };
}

/**
 * Cancels the live runs of the group. A running one is ended by its runner, and at the latest when it would be suspended; the new
 * run waits for that.
 */
function replace(rows: Rows, rule: string, lane: string, by: string, context: TransitionContext) {
  const replaces: string[] = [];
  const replaced: string[] = [];
  for (const live of liveInLane(rows, rule, lane)) {
    const reason = `Replaced by run ${by}`;
    addNote(rows, live.id, reason, context.now);
    if (live.state === "running") {
      rows.put("run", live.id, { ...live, ending: live.ending ?? { reason } });
      replaces.push(live.id);
    } else {
      endCancelled(rows, live, reason, context);
      replaced.push(live.id);
    }
  }
  return { replaces, ...replaced.length > 0 && { replaced } };
}

function busyReason(live: RunRow, key: string | null): string {
  const which = key === null ? "" : ` for key ${key}`;
  return `Run ${live.id} of this rule${which} is still ${live.state}, and its mode is single`;
}

/**
 * Takes one place in a rule's limit by the generic cell rate algorithm (ITU-T I.371): `count` may start at once, then
 * one each `per / count`. Places are assigned in order, so delayed runs keep their order.
 * @returns when the run may start (now, or later if it is delayed), and the rule's new theoretical arrival time, to be
 * stored with the verdict
 */
function takePlace(rows: Rows, rule: string, { count, per }: Rate, now: number) {
  const interval = per / count;
  // The theoretical arrival time of this run, if runs arrived evenly.
  const arrival = Math.max(rows.get("rule", rule)?.arrival ?? 0, now);
  return { readyAt: Math.max(now, Math.ceil(arrival - (per - interval))), arrival: arrival + interval };
}

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
export function answerCondition(
  rows: Rows,
  { run: id, record, answer }: ConditionAnswer,
  context: TransitionContext,
): Answered {
  const run = rows.get("run", id);
  if (run?.admission === undefined) return { verdict: tooLate(id, run), replaces: [] };
  putStep(rows, id, record);
  const { arrival, ...answered } = answer === "yes"
    ? admitRun(rows, run, context)
    : decline(rows, run, answer, context);
  countVerdict(rows, run.rule, answered.verdict.kind, run.event, arrival);
  addToEvent(rows, run.event, { verdict: { rule: run.rule, trigger: run.trigger, verdict: answered.verdict } });
  const admitted = run.ending && rows.get("run", id);
  if (admitted !== undefined) endAsked(rows, admitted, context);
  return answered;
}

function admitRun(rows: Rows, run: RunRow, context: TransitionContext): Answered & { arrival?: number } {
  const admission = run.admission!;
  const { verdict, readyAt, arrival, ...others } = admit(rows, run.id, run.rule, admission, context);
  if (readyAt === undefined) return decline(rows, run, verdict, context);
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

function decline(
  rows: Rows,
  run: RunRow,
  answer: Verdict,
  context: TransitionContext,
): Answered & { arrival?: undefined } {
  const hasFailed = answer.kind === "error";
  const verdict: Verdict = hasFailed || answer.kind === "condition" ? { ...answer, run: run.id } : answer;
  const reason = "reason" in answer ? answer.reason : answer.kind;
  const error = { name: hasFailed ? "ConditionError" : "Declined", message: reason };
  endRun(rows, run, { state: hasFailed ? "failed" : "cancelled", error, spent: run.spent }, context, {
    listed: hasFailed,
  });
  return { verdict, replaces: [] };
}

function tooLate(id: string, run: RunRow | undefined): Verdict {
  const state = run === undefined ? "had ended" : `was ${run.state}`;
  return { kind: "error", reason: `Run ${id} ${state} before its condition was evaluated`, run: id };
}
