import type { Event } from "../model/event.ts";
import type { JsonObject } from "../model/json.ts";
import { RuleDefinition } from "../sdk/rule.ts";
import { type StandardSchema, validate } from "../sdk/schema.ts";
import { TriggerDefinition } from "../sdk/triggers.ts";
import { plainJson } from "./plain_json.ts";
import { type Declaration, InvalidEventError } from "./workers.ts";

const FUNCTION = { function: true };

/**
 * What a rule declares, as plain data with the keys of a YAML file. A rule with validators but no `if` gets a function
 * `if`, so that an invalid event gets a verdict instead of a failed run.
 */
export function declarationOf(rule: RuleDefinition): Declaration {
  const { when, ...rest } = rule.spec;
  const validates = triggersOf(rule).some((trigger) => trigger.schema !== undefined);
  const entries: [string, unknown][] = [["when", Array.isArray(when) ? when.map(entryOf) : entryOf(when)]];
  if (validates && rest.if === undefined) entries.push(["if", FUNCTION]);
  for (const [key, value] of Object.entries(rest)) {
    if (value !== undefined) entries.push([key, typeof value === "function" ? FUNCTION : value]);
  }
  return plainJson(Object.fromEntries(entries), "the rule") as JsonObject;
}

/** The entries under `when`, as a list. */
export function triggersOf(rule: RuleDefinition): TriggerDefinition[] {
  const { when } = rule.spec;
  return [when].flat().filter((trigger) => trigger instanceof TriggerDefinition);
}

function entryOf(trigger: unknown): unknown {
  return trigger instanceof TriggerDefinition ? trigger.entry : trigger;
}

/**
 * The rule that a module exports as default; undefined if the module is a helper.
 * @throws Error if it looks like a rule but was not made by `rule()`
 */
export function ruleOf(exported: unknown): RuleDefinition | undefined {
  if (exported instanceof RuleDefinition) return exported;
  if (typeof exported === "object" && exported !== null && "when" in exported && "then" in exported) {
    throw new Error(
      "the default export has `when` and `then` but is not made by rule(): write export default rule({ … })",
    );
  }
  return undefined;
}

/** An event with the output of a validator as its data. */
export interface ValidatedEvent extends Omit<Event, "data"> {
  data: unknown;
}

/**
 * Runs the validator, if there is one, over an event's data.
 * @throws InvalidEventError if the data is invalid
 */
export async function validatedEvent(event: Event, schema: StandardSchema | undefined): Promise<ValidatedEvent> {
  if (schema === undefined) return event;
  const checked = await validate(schema, event.data);
  if ("value" in checked) return { ...event, data: checked.value };
  throw new InvalidEventError(`event ${event.type} is not as the rule expects: ${checked.problems.join("; ")}`);
}
