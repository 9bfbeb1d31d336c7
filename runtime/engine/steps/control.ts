import { z } from "zod";
import { TerminalError } from "../../model/errors.ts";
import { showResult } from "../../language/expressions/expression.ts";
import type { Step } from "../../model/rule.ts";
import type { Kind } from "../../language/kind.ts";
import { evaluateIn, type RunSteps, type StepFrame } from "../step_frame.ts";
import type { StepOutcome } from "../outcome.ts";

/** A kind of step that decides which steps are performed and when, rather than acting itself. */
export interface Control extends Kind {
  perform(step: Step, frame: StepFrame, runSteps: RunSteps): Promise<StepOutcome>;
}

/** An option that other steps have and these do not; the message says what to use instead. */
export function notTaken(message: string) {
  return z.never({ error: message }).optional();
}

/** A step around others has no timeout and no attempts of its own: those of its steps apply. */
export function notOn(kind: string, lists: string) {
  return notTaken(`${kind} does not take this; write it on the steps under ${lists}`);
}

/**
 * Whether an expression holds.
 * @throws ExpressionError, or TerminalError if the result is neither true nor false
 */
export async function holds(text: string, frame: StepFrame): Promise<boolean> {
  const value = await evaluateIn(frame, text);
  if (typeof value === "boolean") return value;
  throw new TerminalError(`The condition "${text}" gives ${showResult(text, value)}; true or false is expected`);
}
