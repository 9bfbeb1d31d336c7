import { recordError, TimeoutError } from "../model/errors.ts";
import type { JsonObject } from "../model/json.ts";
import type { Step } from "../model/rule.ts";
import { ON_ERROR_STEP, type StepRecord } from "../model/run.ts";
import { stoppedBy } from "./steps/if_parallel_stop.ts";
import { errorValue, rootFrame, type RunContext } from "./step_frame.ts";
import type { StepFailure, StepOutcome } from "./outcome.ts";
import { gatherResults, runSteps } from "./steps/sequence.ts";
import { checkAllAsked, ReplayError } from "./code/replay.ts";
import { withTimeout } from "./timeout.ts";
import { FunctionRun } from "./code/function_run.ts";

/**
 * Runs a rule's `then` and, if that fails, its `onError`; the run still fails. The failure is recorded before `onError`
 * begins, so that no later step of `then` is executed after a crash.
 * @param alone how often a watchdog ended the worker of this run
 */
export async function runRule(context: RunContext, alone: number, signal: AbortSignal): Promise<StepOutcome> {
  const { rule, records } = context;
  const recorded = records.get(ON_ERROR_STEP);
  const outcome = recorded ? failureOf(recorded) : asFailure(await runThen(context, alone, signal));
  if (outcome.kind !== "failed" || rule.onError.length === 0) return outcome;
  if (recorded === undefined) await recordFailure(context, outcome);
  const answered = await runOnError(context, outcome, signal);
  return answered.kind === "suspended" ? answered : outcome;
}

async function runThen(context: RunContext, alone: number, signal: AbortSignal): Promise<StepOutcome> {
  const { rule: { id, then, timeout }, run, waiting, options: { clock } } = context;
  const ms = Math.max(0, timeout - run.spent);
  const limit = { what: `The run of ${id}`, ms, of: timeout, excluded: () => waiting.held };
  const execute = (makeSignal: () => AbortSignal) => {
    const signal = makeSignal();
    return then === "function" ? new FunctionRun(context, alone, signal).execute() : runList(then, context, signal);
  };
  return await failedIfLate(withTimeout(clock, limit, signal, execute));
}

/** A list has no result for the run; its steps are in the trace. */
async function runList(then: Step[], context: RunContext, signal: AbortSignal): Promise<StepOutcome> {
  // If the program died between a stop and the end of the run, the other branches must not continue.
  const stop = context.records.list().find(({ kind, state }) => kind === "stop" && state === "succeeded");
  if (stop !== undefined) return stoppedBy(stop);
  try {
    const outcome = await runSteps(then, rootFrame(context, signal), true);
    if (outcome.kind !== "result") return outcome;
    checkAllAsked(context);
    return { kind: "result", output: null };
  } catch (thrown) {
    if (!(thrown instanceof ReplayError)) throw thrown;
    return { kind: "failed", error: recordError(thrown), step: "then" };
  }
}

/** It has the same time limit as `then`. */
function runOnError(context: RunContext, failure: StepFailure, signal: AbortSignal): Promise<StepOutcome> {
  const { rule: { id, then, onError, timeout }, records, waiting, options: { clock } } = context;
  const error = errorValue(failure.error, failure.step);
  const limit = { what: `The onError of ${id}`, ms: timeout, excluded: () => waiting.held };
  const execute = (makeSignal: () => AbortSignal) => {
    const frame = { ...rootFrame(context, makeSignal()), path: ON_ERROR_STEP, error };
    if (then !== "function") gatherResults(then, "", records, frame.steps);
    return runSteps(onError, frame);
  };
  return failedIfLate(withTimeout(clock, limit, signal, execute));
}

async function failedIfLate(executing: StepOutcome | Promise<StepOutcome>): Promise<StepOutcome> {
  try {
    return await executing;
  } catch (thrown) {
    if (!(thrown instanceof TimeoutError)) throw thrown;
    return { kind: "failed", error: { name: thrown.name, message: thrown.message }, step: "then" };
  }
}

/** A `stop` as failed is a failure too: `onError` handles it. */
function asFailure(outcome: StepOutcome): StepOutcome {
  if (outcome.kind !== "stopped" || outcome.as !== "failed") return outcome;
  return { kind: "failed", error: { name: "Stopped", message: outcome.reason }, step: outcome.step };
}

async function recordFailure({ records, options: { clock } }: RunContext, { error, step }: StepFailure): Promise<void> {
  const at = clock.now();
  const input = { step };
  await records.write({
    path: ON_ERROR_STEP,
    kind: "onError",
    state: "failed",
    attempts: 1,
    startedAt: at,
    endedAt: at,
    input,
    error,
  });
}

function failureOf({ error, input }: StepRecord): StepFailure {
  return { kind: "failed", error: error!, step: (input as JsonObject).step as string };
}
