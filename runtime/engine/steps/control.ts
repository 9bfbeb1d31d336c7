import { z } from "zod";
import { showResult } from "../../language/expressions/expression.ts";
import { readSecrets, recordArgs } from "../../language/expressions/recorded_args.ts";
import { resolveArgs } from "../../language/expressions/template.ts";
import type { Kind, OptionSchemas, ReadArgs, Schemas } from "../../language/kind.ts";
import { TerminalError } from "../../model/errors.ts";
import type { JsonObject } from "../../model/json.ts";
import type { Step } from "../../model/rule.ts";
import type { StepOutcome } from "../outcome.ts";
import { evaluateIn, inScope, type RunSteps, type StepFrame } from "../step_frame.ts";

/** A kind of step that decides which steps are executed and when, rather than acting itself. */
export interface Control extends Kind {
  execute(step: Step, frame: StepFrame, runSteps: RunSteps): Promise<StepOutcome>;
}

/** A step of one kind: its arguments have the types that the kind's schemas give. */
export type StepOf<S extends Schemas> = Step & { args: ReadArgs<S> };

/** A control step whose functions see the arguments with the types that its schemas give. */
interface ControlDefinition<S extends Schemas> extends Omit<Control, keyof Schemas | "check" | "address" | "execute"> {
  /** See {@link Kind.check}. */
  check?: (args: ReadArgs<S>, now: number) => string[];
  /** See {@link Control.execute}. */
  execute: (step: StepOf<S>, frame: StepFrame, runSteps: RunSteps) => Promise<StepOutcome>;
}

/** Defines a kind of control step; the types of its arguments follow from `main` and `options`. */
export function defineControl<const Name extends string, Main extends z.ZodType, Options extends OptionSchemas>(
  control: Schemas<Name, Main, Options> & ControlDefinition<Schemas<Name, Main, Options>>,
): Control {
  return control as Control;
}

/** An option that other steps have and this kind has not; the message names the alternative. */
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

/** The resolved arguments of a step. */
export interface StepArgs {
  /** What the step acts on. */
  used: JsonObject;
  /** What its record holds: the same, but with expressions instead of secrets. */
  recorded: JsonObject;
}

/** Arguments that hold no secrets. */
export function plainArgs(args: JsonObject): StepArgs {
  return { used: args, recorded: args };
}

/** Resolves the arguments of a YAML step. @throws ExpressionError */
export function resolveStepArgs(kind: Kind, args: JsonObject, frame: StepFrame): Promise<StepArgs> {
  const { unresolved } = frame;
  return inScope(frame, (scope) => {
    const used = resolveArgs(kind, args, scope);
    return { used, recorded: readSecrets(args, unresolved) ? recordArgs(kind, args, scope, unresolved) : used };
  });
}
