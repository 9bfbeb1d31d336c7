import { actions } from "../../actions/index.ts";
import { recordError } from "../../model/errors.ts";
import type { Json, JsonObject } from "../../model/json.ts";
import type { Step } from "../../model/rule.ts";
import { isFinalStep, type StepRecord } from "../../model/run.ts";
import { outcomeOf } from "../attempt.ts";
import { checkKind } from "../code/replay.ts";
import type { StepFailure, StepOutcome, StepResultOutcome } from "../outcome.ts";
import type { Records } from "../records.ts";
import { errorValue, leaveOut, pathIn, type StepFrame } from "../step_frame.ts";
import { runAction, targetOf } from "./action_step.ts";
import { holds, resolveStepArgs } from "./control.ts";
import { controls } from "./index.ts";

/**
 * Runs a list of YAML steps in order, up to the first one without a result. After a crash it is called again and goes
 * through the same steps: recorded ones answer at once.
 * @param endsRun the run has nothing left to do after its last step
 * @returns the last result, or why the list ended early
 */
export async function runSteps(steps: Step[], frame: StepFrame, endsRun = false): Promise<StepOutcome> {
  let output: Json = null;
  for (const step of steps) {
    const outcome = await runStep(step, frame, endsRun && step === steps.at(-1));
    if (outcome.kind !== "result") return outcome;
    output = frame.steps[step.id] = outcome.output;
  }
  return { kind: "result", output };
}

async function runStep(step: Step, frame: StepFrame, isLast: boolean): Promise<StepOutcome> {
  frame.signal.throwIfAborted();
  checkKind(step.kind, pathIn(frame, step.id), frame.context);
  const leftOut = step.if === undefined ? undefined : await decideIf(step, step.if, frame);
  const outcome = leftOut ?? await execute(step, frame, isLast);
  if (outcome.kind === "failed") return await answerFailure(step, outcome, frame);
  return outcome.kind === "result" && outcome.timedOut ? await answerTimeout(step, outcome, frame) : outcome;
}

/** The outcome of a step that its `if` skips, or whose `if` fails; decided once, before the step begins. */
async function decideIf(step: Step, condition: string, frame: StepFrame): Promise<StepOutcome | undefined> {
  const { records } = frame.context;
  const path = pathIn(frame, step.id);
  if (!records.isBegun(path)) {
    const leftOut = await leftOutBy(condition, frame);
    if (leftOut === undefined) return undefined;
    const at = frame.context.options.clock.now();
    await records.write({ path, kind: step.kind, attempts: 0, startedAt: at, endedAt: at, ...leftOut });
  }
  const record = records.get(path);
  if (record?.state === "skipped") leaveOut(Object.values(step.children).flat(), frame);
  // A step that an operator retries may be open with no attempts: its first attempt continues.
  return record?.attempts === 0 && isFinalStep(record.state) ? outcomeOf(record) : undefined;
}

async function leftOutBy(
  condition: string,
  frame: StepFrame,
): Promise<Pick<StepRecord, "state" | "output" | "error"> | undefined> {
  try {
    return await holds(condition, frame) ? undefined : { state: "skipped", output: null };
  } catch (thrown) {
    return { state: "failed", error: recordError(thrown) };
  }
}

function execute(step: Step, frame: StepFrame, isLast: boolean): Promise<StepOutcome> {
  const control = controls[step.kind];
  if (control !== undefined) return control.execute(step, frame, runSteps);
  return runAction(
    {
      path: pathIn(frame, step.id),
      kind: step.kind,
      timeout: step.timeout,
      retry: step.retry,
      args: () => resolveStepArgs(actions[step.kind], step.args, frame),
      target: targetOf(step.args),
      written: step.written,
      isLast,
      continuesOnError: actions[step.kind].nested?.stops && step.onError === "continue",
    },
    frame,
    runSteps,
  );
}

/** Handles a step that failed for good: continues without it, or with steps whose last result replaces its own. */
async function answerFailure(step: Step, failure: StepFailure, frame: StepFrame): Promise<StepOutcome> {
  const timedOut = failure.error.name === "TimeoutError" && failure.step === pathIn(frame, step.id);
  const [role, answer] = timedOut && step.onTimeout ? ["onTimeout", step.onTimeout] : ["onError", step.onError];
  if (answer === undefined) return failure;
  const error = errorValue(failure.error, failure.step);
  if (answer !== "continue") return await runAnswer(step, role, answer, error, frame);
  frame.errors[step.id] = error;
  return { kind: "result", output: null };
}

/** Handles a wait that timed out. */
async function answerTimeout(step: Step, { output }: StepResultOutcome, frame: StepFrame): Promise<StepOutcome> {
  if (step.onTimeout === undefined) return { kind: "result", output };
  const path = pathIn(frame, step.id);
  const error = { name: "TimeoutError", message: `What step "${path}" waited for did not come in time` };
  return await runAnswer(step, "onTimeout", step.onTimeout, errorValue(error, path), frame);
}

async function runAnswer(
  step: Step,
  role: string,
  answer: Step[],
  error: JsonObject,
  frame: StepFrame,
): Promise<StepOutcome> {
  frame.errors[step.id] = error;
  return await runSteps(answer, { ...frame, path: `${pathIn(frame, step.id)}/${role}`, error });
}

/** The results of a rule's steps so far, as its `onError` sees them; null for a step without one. */
export function gatherResults(steps: Step[], prefix: string, records: Records, results: Record<string, Json>): void {
  for (const { id, kind, children, onError, onTimeout } of steps) {
    const path = `${prefix}${id}`;
    results[id] = records.get(path)?.output ?? null;
    const answers = { ...(Array.isArray(onError) && { onError }), ...(onTimeout && { onTimeout }) };
    for (const [role, nested] of Object.entries(answers)) gatherResults(nested, `${path}/${role}/`, records, results);
    if (controls[kind]?.nested?.apart) continue;
    for (const [role, nested] of Object.entries(children)) {
      const inner = kind === "repeat" ? lastTurn(path, records) : `${path}/${role}`;
      if (records.hasLost(inner)) leaveOut(nested, { steps: results, errors: {} });
      else gatherResults(nested, `${inner}/`, records, results);
    }
  }
}

function lastTurn(path: string, records: Records): string {
  let turn = 0;
  while (records.get(`${path}[${turn + 1}]`)?.output === true) turn++;
  return `${path}[${turn}]`;
}
