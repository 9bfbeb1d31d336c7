import { writeExactJson } from "../formats/exact_json.ts";
import { TerminalError } from "../model/errors.ts";
import type { Event } from "../model/event.ts";
import type { Json, JsonObject } from "../model/json.ts";
import { ActionDefinition } from "../sdk/source.ts";
import { ACTIONS, type StepOptions } from "../sdk/generated/options.ts";
import type { Branches, EachOptions, Step } from "../sdk/step.ts";
import { TriggerDefinition } from "../sdk/trigger_definition.ts";
import { type Ask, type ComputeRequest, type Ended, type Plan, StepCaller } from "./step_caller.ts";
import { validatedEvent } from "./module_exports.ts";
import { plainJson } from "./plain_json.ts";
import { branchPath, type Computed } from "./workers.ts";
import { stepOf } from "./thread_messages.ts";
import type { UserCode } from "./user_code.ts";

/** The kinds that take only data. */
const KINDS = [...ACTIONS, "wait", "form", "stop"];

/** The `step` that a rule's function gets: every call becomes a message. */
export function stepCalls(ask: Ask, code: UserCode, ahead: boolean): Step {
  const caller = new StepCaller(ask, code, ahead);
  const ofKind = (kind: string) => async (name: string, main: unknown, options: object = {}) => {
    if (main === undefined) throw new TypeError(withoutName(kind, name));
    return await caller.execute({ kind, name, args: { [kind]: main, ...options } });
  };
  return Object.freeze({
    ...Object.fromEntries(KINDS.map((kind) => [kind, ofKind(kind)])),
    ...branchCalls(caller),
    call: callCall(ofKind("call")),
    do: doCall(caller),
    patch: patchCall(caller),
    waitFor: waitForCall(caller),
  }) as unknown as Step;
}

/** `step.call(comment, "say", { text })` calls an action; else the name comes first, as everywhere. */
function callCall(call: (name: string, target: unknown, options?: object) => Promise<Json>) {
  return async (first: unknown, second: unknown, third?: object, options: object = {}) => {
    if (!(first instanceof ActionDefinition)) return await call(first as string, second, third);
    return await call(second as string, first.definition, { ...options, with: third ?? {} });
  };
}

/** A call with only one argument lacks the name. */
function withoutName(kind: string, only: unknown): string {
  const given = writeExactJson(only);
  return `step.${kind}(${given}) needs the step's name as its first argument, as in step.${kind}("name", ${given})`;
}

function doCall(caller: StepCaller) {
  return async (name: string, fn: (attempt: { attempt: number }) => unknown, options: StepOptions = {}) => {
    const compute = async ({ attempt }: ComputeRequest) => {
      try {
        if (typeof fn !== "function") throw new TypeError(`step.do(${JSON.stringify(name)}, …) needs a function`);
        return { output: plainJson(await fn({ attempt }), `the result of step ${JSON.stringify(name)}`) };
      } catch (thrown) {
        return { error: caller.describe(thrown) };
      }
    };
    return await caller.execute({ kind: "do", name, args: options, compute });
  };
}

/** With a function, the program reads the item, and the function makes the changed one of it. */
function patchCall(caller: StepCaller) {
  return async (name: string, change: unknown, options: object = {}) => {
    if (typeof change !== "function") {
      return await caller.execute({ kind: "patch", name, args: { patch: change, ...options } });
    }
    const compute = async ({ given }: ComputeRequest) => {
      try {
        return { output: plainJson(await change(given), `the item that step ${JSON.stringify(name)} makes`) };
      } catch (thrown) {
        return { error: caller.describe(thrown) };
      }
    };
    return await caller.execute({ kind: "patch", name, args: { patch: "function", ...options }, compute });
  };
}

function waitForCall(caller: StepCaller) {
  return async (name: string, awaited: unknown, options: object = {}) => {
    const { type, schema } = awaited instanceof TriggerDefinition
      ? { type: typeOf(name, awaited), schema: awaited.schema }
      : { type: awaited };
    const event = await caller.execute({ kind: "waitFor", name, args: { waitFor: type, ...options } });
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

/** `step.each`, `step.all` and `step.any`: the worker executes the branches and reports their outcome. */
function branchCalls(caller: StepCaller) {
  return { each: eachCall(caller), all: allCall(caller), any: anyCall(caller) };
}

function allCall(caller: StepCaller) {
  return async (name: string, branches: Branches, options: { join?: number } = {}) => {
    const names = namesOf("all", name, branches);
    const { join = names.length } = options;
    const compute = async ({ path }: ComputeRequest) => {
      const plan = { ...planOf(path, branches), needed: join, tolerated: names.length - join };
      return outcomeOf(caller, plan, await caller.branches.execute(plan), ({ outputs }) => {
        return Object.fromEntries(names.map((name, index) => [name, outputs[index] ?? null]));
      });
    };
    return await caller.execute({ kind: "all", name, args: { all: names, ...options }, compute });
  };
}

function anyCall(caller: StepCaller) {
  return async (name: string, branches: Branches) => {
    const names = namesOf("any", name, branches);
    const compute = async ({ path }: ComputeRequest) => {
      const plan = { ...planOf(path, branches), needed: 1, tolerated: names.length - 1 };
      return outcomeOf(caller, plan, await caller.branches.execute(plan), ({ outputs }) => {
        const winner = outputs.findIndex((output) => output !== undefined);
        return { winner: names[winner], result: outputs[winner] ?? null };
      });
    };
    return await caller.execute({ kind: "any", name, args: { any: names }, compute });
  };
}

type ItemFunction = (item: unknown, index: number) => unknown;

function eachCall(caller: StepCaller) {
  return async (
    name: string,
    items: readonly unknown[],
    fn: ItemFunction,
    options: EachOptions & { onError?: "stop" | "continue" } = {},
  ) => {
    if (!Array.isArray(items) || typeof fn !== "function") {
      throw new TypeError(`step.each(${JSON.stringify(name)}, …) needs a list and a function of its items`);
    }
    const { max = 1, rate, onError } = options;
    const compute = async ({ path }: ComputeRequest) => {
      const plan: Plan = {
        branches: items.map((item, index) => ({ path: branchPath(path, index), code: () => fn(item, index) })),
        max,
        needed: items.length,
        tolerated: onError === "continue" ? items.length : 0,
        ...(rate !== undefined && { admit: oneAtATime((index) => caller.admit(path, index)) }),
      };
      return outcomeOf(caller, plan, await caller.branches.execute(plan), (ended) => eachResult(plan, ended));
    };
    const output = await caller.execute({ kind: "each", name, args: { each: items.length, ...options }, compute });
    return withResults(name, output as JsonObject);
  };
}

/** If the results of all items together exceed the limit for a step, the function gets an error when it reads them. */
function withResults(name: string, output: JsonObject): JsonObject {
  if ("results" in output) return output;
  return Object.defineProperty(output, "results", {
    get() {
      const remedy = "return less for each item, or write it to a file";
      throw new TerminalError(
        `The results of step.each(${JSON.stringify(name)}, …) were too large to be kept: ${remedy}`,
      );
    },
  });
}

function eachResult({ branches }: Plan, { outputs, failures }: Ended): Json {
  const errors = failures.toSorted((a, b) => a.index - b.index).map(({ index, thrown }) => ({
    index,
    step: stepOf(thrown) ?? branches[index].path,
    message: thrown instanceof Error ? thrown.message : String(thrown),
  }));
  const results = outputs.map((output) => output ?? null);
  return { total: branches.length, failed: errors.length, results, errors };
}

function outcomeOf(caller: StepCaller, plan: Plan, ended: Ended, output: (ended: Ended) => Json): Computed {
  const { failures, lost } = ended;
  const given = lost.length > 0 ? { lost } : {};
  if (failures.length <= plan.tolerated) return { output: output(ended), ...given };
  const [{ index, thrown }] = failures;
  return { error: { step: plan.branches[index].path, ...caller.describe(thrown) }, ...given };
}

function namesOf(kind: string, name: string, branches: Branches): string[] {
  const entries = Object.entries(branches ?? {});
  if (entries.every(([name, branch]) => name !== "" && typeof branch === "function")) {
    return entries.map(([name]) => name);
  }
  throw new TypeError(`step.${kind}(${JSON.stringify(name)}, …) needs functions with their names: { crm: () => … }`);
}

function planOf(path: string, branches: Branches): Pick<Plan, "branches" | "max"> {
  const entries = Object.entries(branches);
  return { branches: entries.map(([name, code]) => ({ path: branchPath(path, name), code })), max: entries.length };
}

/** Makes calls one at a time and in order: each starts after the answer to the one before. */
function oneAtATime(ask: (index: number) => Promise<void>): (index: number) => Promise<void> {
  let last = Promise.resolve();
  return (index) => last = last.then(() => ask(index));
}
