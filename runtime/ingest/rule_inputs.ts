import { ExpressionError, type Scope } from "../language/expressions/expression.ts";
import { resolve } from "../language/expressions/template.ts";
import {
  checkValues,
  type FieldProblem,
  mayChange,
  sayProblem,
  withoutCleared,
} from "../language/fields/check_values.ts";
import type { Event } from "../model/event.ts";
import { isObject, type JsonObject } from "../model/json.ts";
import type { Field, Rule, Trigger } from "../model/rule.ts";

/**
 * The type of events that start a rule by hand. If `by` is set, which no sender can do, the event's data are the given
 * values.
 */
export const BY_HAND = "manual";

/** Whether an event is a start by hand. */
export function isByHand({ type, by }: Event): boolean {
  return type === BY_HAND && by !== undefined;
}

/** The values of a rule's inputs, or what is wrong with them, by name. */
type Inputs = { values: JsonObject; problems?: undefined } | {
  values?: undefined;
  problems: Record<string, string>;
};

/** The inputs of a rule for an event: the values of its trigger, then those that a person gave. */
export function inputsOf(event: Event, fields: Record<string, Field>, trigger: Trigger, scope: Scope): Inputs {
  const given: JsonObject = {};
  const missing: FieldProblem[] = [];
  for (const [key, value] of Object.entries(trigger.inputs ?? {})) {
    try {
      given[key] = resolve(value, scope);
    } catch (error) {
      if (!(error instanceof ExpressionError)) throw error;
      missing.push({ key, kind: "unfit", message: error.message });
    }
  }
  const byHand = isByHand(event) && isObject(event.data) ? event.data as JsonObject : {};
  Object.assign(given, byHand);
  const unknown = new Set(missing.map(({ key }) => key).filter((key) => !Object.hasOwn(given, key)));
  const { values, problems } = checkValues(withoutCleared(fields, byHand), given, unknown);
  const all = [...missing.filter(({ key }) => unknown.has(key)), ...problems];
  const found = byName(all);
  return found === undefined ? { values } : { problems: found };
}

/** The inputs of a batch's run: its trigger gives them without an event. */
export function inputsOfBatch({ inputs }: Rule, trigger: Trigger | undefined): JsonObject | undefined {
  return inputs === undefined ? undefined : checkValues(inputs, trigger?.inputs ?? {}).values;
}

/** What is wrong with values that a person gives to start a rule through a trigger; undefined if nothing is. */
export function problemsOfGiven(
  fields: Record<string, Field> = {},
  trigger: Trigger,
  given: JsonObject,
): Record<string, string> | undefined {
  const preset = Object.entries(trigger.inputs ?? {}).filter(([key]) => !Object.hasOwn(given, key));
  const open = new Set(preset.filter(([, value]) => mayChange(value)).map(([key]) => key));
  const values = { ...Object.fromEntries(preset.filter(([key]) => !open.has(key))), ...given };
  const { problems } = checkValues(withoutCleared(fields, given), values, open);
  return byName(problems);
}

/** Problems as sentences, by the name at which they are shown; undefined if there are none. */
export function byName(problems: FieldProblem[]): Record<string, string> | undefined {
  if (problems.length === 0) return undefined;
  const found: Record<string, string> = {};
  for (const problem of problems) {
    const { key } = problem;
    found[key] = Object.hasOwn(found, key) ? `${found[key]}; ${sayProblem(problem)}` : sayProblem(problem);
  }
  return found;
}
