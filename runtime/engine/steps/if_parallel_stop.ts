import { z } from "zod";
import { branches, expression, template } from "../../language/arg_types.ts";
import type { JsonObject } from "../../model/json.ts";
import type { StepRecord } from "../../model/run.ts";
import { computeStep, outcomeOf } from "../attempt.ts";
import type { StepFailure, StepOutcome, Stopped, Suspended } from "../outcome.ts";
import {
  handOver,
  innerFrame,
  leaveOut,
  pathIn,
  type RunContext,
  type RunSteps,
  type StepFrame,
} from "../step_frame.ts";
import { BranchSet, type Ending } from "./branch_set.ts";
import { type Control, defineControl, holds, notOn, resolveStepArgs, type StepArgs, type StepOf } from "./control.ts";

const onIf = notOn("an if step", "then and else");

/**
 * Runs `then` if its expression holds, else `else`. Its record is the decision, made once before the branch; its result
 * is whether the expression held.
 */
export const branch: Control = defineControl({
  kind: "if",
  summary: "Runs the steps under then if the expression holds, else those under else",
  main: expression().describe("The condition"),
  options: { timeout: onIf, retry: onIf, onTimeout: onIf },
  controls: true,
  children: ["then", "else"],
  async execute(step, frame, runSteps) {
    const path = pathIn(frame, step.id);
    const decision = await computeStep(frame.context, { path, kind: step.kind }, frame.signal, () => {
      return holds(step.args.if, frame);
    });
    if (decision.kind !== "result") return decision;
    // Also for the branch that is taken: if a step of it fails, those after it are not executed.
    leaveOut(Object.values(step.children).flat(), frame);
    const taken = decision.output === true ? "then" : "else";
    const outcome = await runSteps(step.children[taken] ?? [], { ...frame, path: `${path}/${taken}` });
    return outcome.kind === "result" ? decision : outcome;
  },
});

const onParallel = notOn("a parallel step", "its branches");

const schemas = {
  kind: "parallel",
  main: branches().describe("The lists, each with a name"),
  options: {
    join: z.union([z.enum(["all", "any"]), z.number().int().min(1)]).optional()
      .describe("How many have to succeed before the run continues: all, any, or a number; by default all"),
    timeout: onParallel,
    retry: onParallel,
    onTimeout: onParallel,
  },
} as const;

/** Runs lists of steps concurrently until the required number has succeeded. */
export const parallel: Control = defineControl({
  ...schemas,
  summary: "Runs lists of steps concurrently",
  controls: true,
  nested: {},
  check({ parallel: names, join }) {
    const count = names.length;
    return typeof join === "number" && join > count
      ? [`join: ${join} of ${count} branches can never succeed; write at most ${count}`]
      : [];
  },
  async execute(step, frame, runSteps) {
    const { records } = frame.context;
    const path = pathIn(frame, step.id);
    const isRecorded = records.ended(path) !== undefined;
    const inner = new Map<string, StepFrame>();
    if (!isRecorded) {
      const unfinished = await runBranches(step, frame, runSteps, inner);
      if (unfinished !== undefined) return unfinished;
    }
    for (const [name, steps] of Object.entries(step.children)) {
      const branch = inner.get(name) ?? innerFrame(frame, `${path}/${name}`, frame.signal);
      if (records.hasLost(branch.path)) {
        leaveOut(steps, frame);
        continue;
      }
      // Recorded steps answer at once; if one of them failed, that is the step's own failure.
      if (isRecorded) await runSteps(steps, branch);
      handOver(steps, branch, frame);
    }
    return outcomeOf(records.get(path)!);
  },
});

/** @returns why the run does not continue after the step, or undefined if the step is decided */
async function runBranches(
  step: StepOf<typeof schemas>,
  frame: StepFrame,
  runSteps: RunSteps,
  inner: Map<string, StepFrame>,
): Promise<Suspended | Stopped | undefined> {
  const path = pathIn(frame, step.id);
  const names = Object.keys(step.children);
  const { join = "all" } = step.args;
  const needed = join === "all" ? names.length : join === "any" ? 1 : join;
  const branches = new BranchSet(
    frame.context,
    { path, kind: step.kind, input: { parallel: names, join } },
    frame.signal,
  );
  const results: JsonObject = Object.fromEntries(names.map((name) => [name, null]));
  const failures: StepFailure[] = [];
  let succeeded = 0;
  const settle = (name: string) => (ending: Ending): Ending | undefined => {
    if (!("output" in ending)) failures.push(ending);
    else {
      succeeded++;
      results[name] = ending.output;
    }
    if (succeeded === needed) return { output: results };
    return failures.length > names.length - needed ? failures[0] : undefined;
  };
  return await branches.run(names.map((name) => async () => {
    const branch = innerFrame(frame, `${path}/${name}`, branches.signal);
    inner.set(name, branch);
    await branches.execute(branch.path, () => runSteps(step.children[name], branch), settle(name));
  }));
}

/** Ends the run. */
export const stop: Control = defineControl({
  kind: "stop",
  summary: "Ends the run",
  main: template().describe("The reason, for people"),
  options: {
    as: z.enum(["succeeded", "failed"]).optional().describe("The state that the run ends in; by default succeeded"),
  },
  controls: true,
  execute(step, frame) {
    const args = () => resolveStepArgs(stop, step.args, frame);
    return runStop({ path: pathIn(frame, step.id), args }, frame.context, frame.signal);
  },
});

/** Ends the run as the arguments of a YAML step or of `step.stop` say. */
export async function runStop(
  { args, ...step }: { path: string; after?: string; args(): Promise<StepArgs> },
  context: RunContext,
  signal: AbortSignal,
): Promise<StepOutcome> {
  const outcome = await computeStep(context, { ...step, kind: stop.kind }, signal, async () => {
    const { used: { stop: reason, as = "succeeded" } } = await args();
    return { reason, as };
  });
  return outcome.kind === "result" ? stoppedBy(context.records.get(step.path)!) : outcome;
}

/** How a recorded stop ends the run. */
export function stoppedBy({ path, output }: StepRecord): Stopped {
  const { reason, as } = output as { reason: string; as: Stopped["as"] };
  return { kind: "stopped", as, reason, step: path };
}
