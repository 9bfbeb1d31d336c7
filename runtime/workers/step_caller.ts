import type { Json, JsonObject } from "../model/json.ts";
import { CodeBranches, isLost } from "./code_branches.ts";
import { type Computed, ITEM, type StepAnswer, type StepCall, type ThrownError } from "./workers.ts";
import { plainJson } from "./plain_json.ts";
import { describeThrown, reviveThrown } from "./thrown.ts";
import type { UserCode } from "./user_code.ts";

/** Sends a call to the main side. The promise never settles where the call is abandoned. */
export type Ask = (step: StepCall, computed?: Computed) => Promise<StepAnswer>;

/** A call of a function of `step`. */
export interface Call {
  kind: string;
  name: unknown;
  /** The main argument under the kind's name, and the options. */
  args: object;
  /** What the worker does for it where the main side says so. */
  compute?: (asked: Computing) => Promise<Computed>;
}

/** A step that the worker computes. */
export type Computing = Extract<StepAnswer, { kind: "compute" }>;

/** Makes the calls of one function: each becomes a message, with the branch that the code stands in. */
export class StepCaller {
  readonly branches = new CodeBranches();
  #answered = 0;

  constructor(private readonly ask: Ask, private readonly code: UserCode) {}

  /**
   * @returns what the step gave. Never settles where the call is abandoned or its branch given up
   * @throws what the step failed with, as thrown where this was called
   */
  async perform({ kind, name, args, compute }: Call): Promise<Json> {
    // Taken before the first await: later the caller is no longer on the stack.
    const callSite = new Error().stack ?? "";
    const branch = this.branches.current;
    const step: StepCall = {
      name: checkName(kind, name),
      scope: branch.path,
      kind,
      args: plainJson(args, `step ${JSON.stringify(name)}`) as JsonObject,
      answered: this.#answered,
    };
    const heard = async (computed?: Computed): Promise<StepAnswer> => {
      if (isLost(branch)) return await new Promise(() => {});
      const answer = await this.ask(step, computed);
      // The main side counts in the same way: also what nobody listens to any more.
      if (answer.kind !== "compute") this.#answered++;
      return isLost(branch) ? await new Promise(() => {}) : answer;
    };
    let answer = await heard();
    while (answer.kind === "compute") answer = await heard(await compute!(answer));
    if (answer.kind === "failed") throw failureAt(callSite, answer.error);
    return answer.kind === "result" ? answer.output : await new Promise(() => {});
  }

  /** Resolves when the next item of an each with a rate may begin. */
  async admit(each: string, index: number): Promise<void> {
    await this.ask({ name: String(index), scope: each, kind: ITEM, args: {}, answered: this.#answered });
  }

  /** What the main side is told of an error that a step's own code threw. */
  describe(thrown: unknown): ThrownError {
    return describeThrown(thrown, this.code).error;
  }
}

function checkName(kind: string, name: unknown): string {
  if (typeof name === "string" && name !== "") return name;
  const found = typeof name === "string" ? '""' : typeof name;
  throw new TypeError(`step.${kind} needs the step's name first, got ${found}`);
}

/** A failed step throws where it was called, not where the main side found out. */
export function failureAt(callSite: string, error: ThrownError): Error {
  const frames = callSite.split("\n").slice(1);
  return Object.assign(reviveThrown(error), { stack: [`${error.name}: ${error.message}`, ...frames].join("\n") });
}
