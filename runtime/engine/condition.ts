import { InterruptedError, InvalidEventError, RuleCodeError } from "../workers/workers.ts";
import { recordError } from "../model/errors.ts";
import { CONDITION_STEP, type StepRecord } from "../model/run.ts";
import type { Verdict } from "../model/verdict.ts";
import type { RunContext } from "./step_frame.ts";
import { codeOf, codeScope } from "./code/rule_code.ts";
import { GRACE, withTimeout } from "./timeout.ts";

/** Milliseconds that a function `if` may take. */
const CONDITION_TIMEOUT = 10_000;

export interface ConditionAnswer {
  record: StepRecord;
  verdict: "yes" | Verdict;
}

/**
 * Calls the function `if` of a TypeScript rule.
 * @param alone how often a watchdog ended its worker
 * @throws Interruption, InterruptedError, or RuleCodeError if the worker was ended and the call is to be repeated in a
 * worker of its own
 */
export async function askCondition(context: RunContext, alone: number, signal: AbortSignal): Promise<ConditionAnswer> {
  const { rule, options: { clock, isolates } } = context;
  const startedAt = clock.now();
  const record = (ending: Pick<StepRecord, "state" | "output" | "error">): StepRecord => {
    return { path: CONDITION_STEP, kind: "if", attempts: 1, startedAt, endedAt: clock.now(), ...ending };
  };
  const limit = { what: `The function if of ${rule.id}`, ms: CONDITION_TIMEOUT, grace: GRACE };
  const ask = (makeSignal: () => AbortSignal) =>
    isolates.askCondition(codeOf(rule), codeScope(context, alone), makeSignal());
  try {
    const holds = await withTimeout(clock, limit, signal, ask);
    const verdict = holds ? "yes" : { kind: "condition" as const, reason: "The function if said no" };
    return { record: record({ state: "succeeded", output: holds }), verdict };
  } catch (thrown) {
    if (signal.aborted) throw signal.reason;
    if (thrown instanceof InterruptedError || (thrown instanceof RuleCodeError && thrown.blocked && alone === 0)) {
      throw thrown;
    }
    const error = recordError(thrown);
    const kind = thrown instanceof InvalidEventError ? "condition" : "error";
    return { record: record({ state: "failed", error }), verdict: { kind, reason: reasonOf(thrown, error.message) } };
  }
}

function reasonOf(thrown: unknown, message: string): string {
  if (thrown instanceof InvalidEventError) return message;
  const again = thrown instanceof RuleCodeError && thrown.blocked ? ", also in a worker of its own" : "";
  return `The function if failed${again}: ${message}`;
}
