import type { Event } from "../model/event.ts";
import { branchCalls } from "./branch_calls.ts";
import type { Step, StepOptions } from "../sdk/step.ts";
import { TriggerDefinition } from "../sdk/triggers.ts";
import { plainJson } from "./plain_json.ts";
import { type Ask, type Computing, StepCaller } from "./step_caller.ts";
import type { UserCode } from "./user_code.ts";
import { validatedEvent } from "./validated_event.ts";
import { writeExactJson } from "../formats/exact_json.ts";

/** The kinds that take only data. */
const KINDS = [
  ...["http", "run", "call", "emit", "log", "state", "reply", "mail", "wait", "form", "stop"] as const,
] satisfies (keyof Step)[];

/** The `step` that a rule's function gets: every call becomes a message. */
export function stepCalls(ask: Ask, code: UserCode): Step {
  const caller = new StepCaller(ask, code);
  const ofKind = (kind: string) => async (name: string, main: unknown, options: object = {}) => {
    if (main === undefined) throw new TypeError(withoutName(kind, name));
    return await caller.perform({ kind, name, args: { [kind]: main, ...options } });
  };
  return Object.freeze({
    ...Object.fromEntries(KINDS.map((kind) => [kind, ofKind(kind)])),
    ...branchCalls(caller),
    do: doCall(caller),
    waitFor: waitForCall(caller),
  }) as unknown as Step;
}

/** A call with only one argument lacks the name. */
function withoutName(kind: string, only: unknown): string {
  const given = writeExactJson(only);
  return `step.${kind}(${given}) needs a name for the step, which stands first, as in step.${kind}("name", ${given})`;
}

function doCall(caller: StepCaller) {
  return async (name: string, fn: (attempt: { attempt: number }) => unknown, options: StepOptions = {}) => {
    const compute = async ({ attempt }: Computing) => {
      try {
        if (typeof fn !== "function") throw new TypeError(`step.do(${JSON.stringify(name)}, …) needs a function`);
        return { output: plainJson(await fn({ attempt }), `the result of step ${JSON.stringify(name)}`) };
      } catch (thrown) {
        return { error: caller.describe(thrown) };
      }
    };
    return await caller.perform({ kind: "do", name, args: options, compute });
  };
}

function waitForCall(caller: StepCaller) {
  return async (name: string, awaited: unknown, options: object = {}) => {
    const { type, schema } = awaited instanceof TriggerDefinition
      ? { type: typeOf(name, awaited), schema: awaited.schema }
      : { type: awaited };
    const event = await caller.perform({ kind: "waitFor", name, args: { waitFor: type, ...options } });
    return event === null ? null : await validatedEvent(event as unknown as Event, schema);
  };
}

/** The event types that a trigger listens to. */
function typeOf(name: string, { entry }: TriggerDefinition): unknown {
  const { event, ...others } = entry as { event?: unknown };
  const [other] = Object.keys(others);
  if (event !== undefined && other === undefined) return event;
  const found = event === undefined ? `a ${other} trigger` : `one with the option ${JSON.stringify(other)}`;
  throw new TypeError(
    `step.waitFor(${JSON.stringify(name)}, …) needs the type of an event, or event(type, schema), got ${found}`,
  );
}
