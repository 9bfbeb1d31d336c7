import type { JsonObject } from "../model/json.ts";
import type { StepAnswer, StepCall, ThrownError } from "./isolate.ts";
import type { Step, StepOptions } from "./language/step.ts";
import type { Computed } from "./messages.ts";
import { plainJson } from "./plain_json.ts";
import { describeThrown, reviveThrown } from "./thrown.ts";
import type { UserCode } from "./user_code.ts";

/** Sends a call to the main side. The promise never settles where the call is abandoned. */
export type Ask = (step: StepCall, computed?: Computed) => Promise<StepAnswer>;

/** The `step` that a rule's function gets: every call becomes a message. */
export function stepCalls(ask: Ask, code: UserCode): Step {
  let answered = 0;
  const perform = async (step: StepCall, fn?: Compute): Promise<unknown> => {
    // Taken before the first await: later the caller is no longer on the stack.
    const callSite = new Error().stack ?? "";
    let answer = await ask(step);
    while (answer.kind === "compute") answer = await ask(step, await computed(step, fn, answer.attempt, code));
    if (answer.kind !== "abandon") answered++;
    if (answer.kind === "result") return answer.output;
    if (answer.kind === "failed") throw failureAt(callSite, answer.error);
    return new Promise(() => {});
  };
  const ofKind = (kind: string) => async (name: string, main: unknown, options: object = {}) =>
    await perform(callOf(kind, name, { [kind]: main, ...options }, answered));
  const compute = async (name: string, fn: Compute, options: StepOptions = {}) =>
    await perform(callOf("do", name, options, answered), fn);
  return Object.freeze({ ...Object.fromEntries(KINDS.map((kind) => [kind, ofKind(kind)])), do: compute }) as Step;
}

const KINDS = ["http", "run", "call", "emit", "log", "state", "reply", "stop"] satisfies (keyof Step)[];

type Compute = (attempt: { attempt: number }) => unknown;

function callOf(kind: string, name: unknown, args: object, answered: number): StepCall {
  if (typeof name !== "string" || name === "") {
    throw new TypeError(
      `step.${kind} needs the step's name first, got ${typeof name === "string" ? '""' : typeof name}`,
    );
  }
  return { name, scope: [], kind, args: plainJson(args, `step ${JSON.stringify(name)}`) as JsonObject, answered };
}

async function computed(
  step: StepCall,
  fn: Compute | undefined,
  attempt: number,
  code: UserCode,
): Promise<Computed> {
  try {
    if (typeof fn !== "function") throw new TypeError(`step.do(${JSON.stringify(step.name)}, …) needs a function`);
    return { output: plainJson(await fn({ attempt }), `the result of step ${JSON.stringify(step.name)}`) };
  } catch (thrown) {
    return { error: describeThrown(thrown, code).error };
  }
}

/** A failed step throws where it was called, not where the main side found out. */
function failureAt(callSite: string, error: ThrownError): Error {
  const frames = callSite.split("\n").slice(1);
  return Object.assign(reviveThrown(error), { stack: [`${error.name}: ${error.message}`, ...frames].join("\n") });
}
