import type { JsonObject } from "../../model/json.ts";
import type { Kind } from "../../language/kind.ts";
import { readSecrets, recordArgs } from "../../language/expressions/recorded_args.ts";
import { resolveArgs } from "../../language/expressions/template.ts";
import { inScope, type StepFrame } from "../step_frame.ts";

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
