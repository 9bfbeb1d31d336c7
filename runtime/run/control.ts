import { z } from "zod";
import { TerminalError } from "../model/errors.ts";
import type { JsonObject } from "../model/json.ts";
import type { Step } from "../model/rule.ts";
import { expression, template } from "../rule/field.ts";
import type { Kind } from "../rule/kind.ts";
import { resolveArgs } from "../rule/template.ts";
import { computeStep } from "./attempt.ts";
import { evaluateIn, type Frame, inScope, type Life, pathIn, type PerformSteps } from "./frame.ts";
import type { StepOutcome } from "./outcome.ts";

/** A kind of step that decides which steps are performed, rather than acting itself. */
export interface Control extends Kind {
  perform(step: Step, frame: Frame, performSteps: PerformSteps): Promise<StepOutcome>;
}

/** A branch has no time and no attempts of its own: those of its steps count. */
const notOnIf = z.never({ error: "an if step does not take this; write it on the steps under then and else" })
  .optional();

/**
 * Performs `then` where its expression holds, else `else`. Its record is the decision, made once before the branch; its
 * result is whether it held.
 */
const branch: Control = {
  kind: "if",
  summary: "Performs the steps under then where the expression holds, else those under else",
  main: expression().describe("The condition"),
  options: { timeout: notOnIf, retry: notOnIf, onTimeout: notOnIf },
  children: ["then", "else"],
  async perform(step, frame, performSteps) {
    const path = pathIn(frame, step.id);
    const decision = await computeStep(frame.life, { path, kind: step.kind }, frame.signal, () => {
      return holds(step.args.if as string, frame);
    });
    if (decision.kind !== "result") return decision;
    const [taken, left] = decision.output === true ? ["then", "else"] : ["else", "then"];
    leaveOut(step.children[left] ?? [], frame);
    const outcome = await performSteps(step.children[taken] ?? [], { ...frame, path: `${path}/${taken}` });
    return outcome.kind === "result" ? decision : outcome;
  },
};

/** Ends the run. */
const stop: Control = {
  kind: "stop",
  summary: "Ends the run",
  main: template().describe("The reason, for people"),
  options: {
    as: z.enum(["succeeded", "failed"]).optional().describe("The state that the run ends in; by default succeeded"),
  },
  perform(step, frame) {
    const args = () => inScope(frame, (scope) => resolveArgs(stop, step.args, scope));
    return performStop({ path: pathIn(frame, step.id), args }, frame.life, frame.signal);
  },
};

/** The kinds of control steps, by name. */
export const controls: Record<string, Control> = { if: branch, stop };

/** Ends the run with what the arguments say, of a YAML step or of `step.stop`. */
export async function performStop(
  { args, ...step }: { path: string; after?: string; args(): Promise<JsonObject> },
  life: Life,
  signal: AbortSignal,
): Promise<StepOutcome> {
  const outcome = await computeStep(life, { ...step, kind: stop.kind }, signal, async () => {
    const { stop: reason, as = "succeeded" } = await args();
    return { reason, as };
  });
  if (outcome.kind !== "result") return outcome;
  const { reason, as } = outcome.output as { reason: string; as: "succeeded" | "failed" };
  return { kind: "stopped", as, reason, step: step.path };
}

/**
 * Whether an expression holds.
 * @throws ExpressionError, or TerminalError where it gives neither true nor false
 */
export async function holds(text: string, frame: Frame): Promise<boolean> {
  const value = await evaluateIn(frame, text);
  if (typeof value === "boolean") return value;
  throw new TerminalError(`The condition "${text}" gives ${JSON.stringify(value)}; true or false is expected`);
}

/** Steps that are not performed have the result null. */
export function leaveOut(steps: Step[], frame: Frame): void {
  for (const step of steps) {
    frame.steps[step.id] = null;
    for (const nested of Object.values(step.children)) leaveOut(nested, frame);
  }
}
