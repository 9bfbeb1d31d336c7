import { z } from "zod";
import type { JsonObject } from "../../model/json.ts";
import { branches } from "../../language/fields/field.ts";
import { outcomeOf } from "../attempt.ts";
import { BranchSet, type Ending } from "./branch_set.ts";
import { handOver, innerFrame, leaveOut, pathIn, type RunSteps, type StepFrame } from "../step_frame.ts";
import type { StepFailure, Stopped, Suspended } from "../outcome.ts";
import { type Control, defineControl, notOn, type StepOf } from "./control.ts";

const notHere = notOn("a parallel step", "its branches");

const schemas = {
  kind: "parallel",
  main: branches().describe("The lists, each with a name"),
  options: {
    join: z.union([z.enum(["all", "any"]), z.number().int().min(1)]).optional()
      .describe("How many have to succeed before the run continues: all, any, or a number; by default all"),
    timeout: notHere,
    retry: notHere,
    onTimeout: notHere,
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
