import type { Outcome } from "../../actions/action.ts";
import { BY_FUNCTION } from "../../actions/patch.ts";
import { TimeoutError } from "../../model/errors.ts";
import type { Json, JsonObject } from "../../model/json.ts";
import { nameSecrets } from "../../language/expressions/recorded_args.ts";
import { type ActionStep, runAction, targetOf } from "../steps/action_step.ts";
import type { PendingStep } from "./pending_steps.ts";
import { attemptStep, computeStep } from "../attempt.ts";
import { runStop } from "../steps/stop.ts";
import { runWaitUntil } from "../steps/wait.ts";
import { runWaitFor } from "../steps/wait_for.ts";
import { runForm } from "../steps/form.ts";
import type { StepFrame } from "../step_frame.ts";
import type { StepOutcome, Suspended } from "../outcome.ts";
import { STANDARD_DELAYS } from "../retry.ts";
import { runSteps } from "../steps/sequence.ts";
import { checkCall, type CheckedCall } from "../steps/step_options.ts";

/** The parts of a step that the function executes itself. */
export interface Executing {
  /** One attempt of a `do`, or what the function of a `patch` makes of the given item. */
  compute(attempt: number, signal: AbortSignal, given?: Json): Promise<Outcome | Suspended>;
  /** The branches of an `each`, `all` or `any`. */
  branch(args: JsonObject): Promise<StepOutcome>;
}

/** Runs one `step.*` call. A call that does not match its kind's schema fails the step. */
export function runCall(step: PendingStep, around: StepFrame, executing: Executing): Promise<StepOutcome> {
  const { path, kind, after, signal } = step;
  const frame: StepFrame = { ...around, signal };
  const { context } = frame;
  let checked: CheckedCall;
  try {
    checked = checkCall(path, kind, step.call.args, context.options.clock.now());
  } catch (thrown) {
    return computeStep(context, { path, kind, after }, signal, () => Promise.reject(thrown));
  }
  const { args, timeout, retry } = checked;
  const recorded = nameSecrets(args, context.options.isolates.handedSecrets(context.rule.version));
  const common = { path, kind, after, timeout, args: () => Promise.resolve({ used: args, recorded }) };
  const asAction = (compute?: ActionStep["compute"]) => {
    const task = { ...common, retry, target: targetOf(args), ...compute && { compute } };
    return runAction(task, frame, runSteps);
  };
  switch (kind) {
    case "do":
      if (context.options.standIn?.({ kind, path })) return asAction();
      return attemptStep(context, {
        ...common,
        retry: retry ?? { attempts: 1, ...STANDARD_DELAYS },
        worthRetrying: () => true,
        prepare: () => Promise.resolve(null),
        act: (_args, attempt, makeSignal) => executing.compute(attempt, makeSignal()),
      }, signal);
    case "each":
    case "all":
    case "any":
      return executing.branch(args);
    case "task":
      // Its timeout is one of each device.
      return runAction({ ...common, timeout: undefined, retry, goesOn: args.onError === "continue" }, frame, runSteps);
    case "patch":
      return args.patch === BY_FUNCTION ? asAction(computing(executing)) : asAction();
    case "wait":
      return runWaitUntil(common, context, signal);
    case "waitFor":
      return runWaitFor(common, context, signal);
    case "form":
      return runForm(common, frame, runSteps);
    case "stop":
      return runStop(common, context, signal);
    default:
      return asAction();
  }
}

/** The function of a step that another one executes. */
function computing({ compute }: Executing): ActionStep["compute"] {
  return async (attempt, signal, given) => {
    const computed = await compute(attempt, signal, given);
    if ("output" in computed) return computed.output;
    throw new TimeoutError("Its function still computes an earlier attempt");
  };
}
