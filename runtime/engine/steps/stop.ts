import { z } from "zod";
import type { StepRecord } from "../../model/run.ts";
import { template } from "../../language/fields/field.ts";
import { computeStep } from "../attempt.ts";
import { pathIn, type RunContext } from "../step_frame.ts";
import type { StepOutcome, Stopped } from "../outcome.ts";
import { type Control, defineControl, resolveStepArgs, type StepArgs } from "./control.ts";

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
