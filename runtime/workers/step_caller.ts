import type { Json, JsonObject } from "../model/json.ts";
import { CodeBranches, isLost } from "./code_branches.ts";
import { type Computed, ITEM, type StepAnswer, type StepCall, type ThrownError } from "./workers.ts";
import { plainJson } from "./plain_json.ts";
import { describeThrown, reviveThrown } from "./thrown.ts";
import type { UserCode } from "./user_code.ts";

/** Sends a call to the main thread. The promise never settles if the call is abandoned. */
export type Ask = (step: StepCall, computed?: Computed) => Promise<StepAnswer>;

/** A call of a function of `step`. */
export interface Call {
  kind: string;
  name: unknown;
  /** The main argument under the kind's name, and the options. */
  args: object;
  /** Runs the step in the worker, if the main thread says so. */
  compute?: (asked: Computing) => Promise<Computed>;
}

/** A step that the worker computes. */
export type Computing = Extract<StepAnswer, { kind: "compute" }>;

/** Makes the calls of one function: each becomes a message, with the branch of the calling code. */
export class StepCaller {
  readonly branches = new CodeBranches();
  #answered = 0;

  constructor(private readonly ask: Ask, private readonly code: UserCode) {}

  /**
   * @returns the step's result. Never settles if the call is abandoned or its branch given up
   * @throws the step's failure, as thrown where this was called
   */
  async execute({ kind, name, args, compute }: Call): Promise<Json> {
    // Read before the first await: later the caller is no longer on the stack.
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
      // Count even answers that nobody waits for, because the main thread counts them too.
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

  /** An error that a step's own code threw, as it is sent to the main thread. */
  describe(thrown: unknown): ThrownError {
    return describeThrown(thrown, this.code).error;
  }
}

function checkName(kind: string, name: unknown): string {
  if (typeof name === "string" && name !== "") return name;
  const found = typeof name === "string" ? '""' : typeof name;
  throw new TypeError(`step.${kind} needs the step's name first, got ${found}`);
}

/** A failed step throws where it was called, not where the main thread reported it. */
export function failureAt(callSite: string, error: ThrownError): Error {
  const frames = callSite.split("\n").slice(1);
  return Object.assign(reviveThrown(error), { stack: [`${error.name}: ${error.message}`, ...frames].join("\n") });
}
