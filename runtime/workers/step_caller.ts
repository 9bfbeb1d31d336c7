import { AsyncLocalStorage } from "node:async_hooks";
import type { Json } from "../model/json.ts";
import { plainJson, plainObject } from "./plain_json.ts";
import { describeThrown, reviveThrown } from "./thread_messages.ts";
import type { UserCode } from "./user_code.ts";
import { currentTime } from "./worker_globals.ts";
import { BRANCHING, type Computed, ITEM, type StepAnswer, type StepCall, type ThrownError } from "./workers.ts";

/** Sends a call to the main thread. The promise never settles if the call is abandoned. */
export type Ask = (step: StepCall, computed?: Computed) => Promise<StepAnswer>;

/** A call of a function of `step`. */
interface Call {
  kind: string;
  name: unknown;
  /** The main argument under the kind's name, and the options. */
  args: object;
  /** Runs the step in the worker, if the main thread asks for that. */
  compute?: (asked: ComputeRequest) => Promise<Computed>;
}

/** A step that the worker computes. */
export type ComputeRequest = Extract<StepAnswer, { kind: "compute" }>;

/** Makes the calls of one function: each becomes a message, with the branch of the calling code. */
export class StepCaller {
  readonly branches = new CodeBranches();
  #answered = 0;
  /** How many calls wait for their answer, and how many of these are not computed here: the run may be suspended for them. */
  #open = 0;
  #others = 0;
  /** By branch and name of each step that was called: whether other calls were open then. */
  readonly #called = new Map<string, boolean>();

  /** @param ahead see {@link CodeScope} */
  constructor(private readonly ask: Ask, private readonly code: UserCode, private readonly ahead: boolean) {}

  /**
   * @returns the step's result. Never settles if the call is abandoned or its branch given up
   * @throws the step's failure, as thrown where this was called
   */
  async execute({ kind, name, args, compute }: Call): Promise<Json> {
    // Made before the first await: later the caller is no longer on the stack.
    const callSite = new Error();
    const branch = this.branches.current;
    const step: StepCall = {
      name: checkName(kind, name),
      scope: branch.path,
      kind,
      args: plainObject(args, `step ${JSON.stringify(name)}`),
      answered: this.#answered,
    };
    const heard = async (computed?: Computed): Promise<StepAnswer> => {
      if (isLost(branch)) return await new Promise(() => {});
      const answer = await this.ask(step, computed);
      // Count even answers that no code waits for, because the main thread counts them too.
      if (answer.kind !== "compute") {
        this.#answered++;
        this.#count(kind, -1);
      }
      return isLost(branch) ? await new Promise(() => {}) : answer;
    };
    if (this.#beginsAhead(step)) step.begunAt = currentTime();
    this.#count(kind, 1);
    let answer = await heard();
    while (answer.kind === "compute") answer = await heard(await compute!(answer));
    if (answer.kind === "failed") throw failureAt(callSite, answer.error);
    return answer.kind === "result" ? answer.output : await new Promise(() => {});
  }

  #count(kind: string, change: number): void {
    this.#open += change;
    if (!COMPUTED.has(kind)) this.#others += change;
  }

  /**
   * Whether the code may compute a step while the main thread learns of its call. Not if the main thread could refuse the call, for
   * its options or because branches side by side use the same name, or is about to suspend the run.
   */
  #beginsAhead({ kind, scope, name, args }: StepCall): boolean {
    const path = `${scope}\n${name}`;
    const besideOthers = this.#called.get(path);
    this.#called.set(path, besideOthers || this.#open > 0);
    const isClear = besideOthers === undefined || (!besideOthers && this.#open === 0);
    return this.ahead && kind === "do" && isClear && this.#others === 0 && Object.keys(args).length === 0;
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

/** The kinds that the code computes. */
const COMPUTED = new Set(["do", ...BRANCHING]);

function checkName(kind: string, name: unknown): string {
  if (typeof name === "string" && name !== "") return name;
  const found = typeof name === "string" ? '""' : typeof name;
  throw new TypeError(`step.${kind} needs the step's name first, got ${found}`);
}

/** A failed step throws where it was called, not where the main thread reported it. */
export function failureAt(callSite: Error, error: ThrownError): Error {
  const frames = (callSite.stack ?? "").split("\n").slice(1);
  return Object.assign(reviveThrown(error), { stack: [`${error.name}: ${error.message}`, ...frames].join("\n") });
}

/** One branch of an `each`, `all` or `any`, or (with the path `""`) the function itself. */
interface Branch {
  path: string;
  around?: Branch;
  /** It was given up: its code continues until its next step, which is never answered. */
  lost: boolean;
}

/** Branches to execute, and how many of them are enough. */
export interface Plan {
  /** In starting order. */
  branches: { path: string; code: () => unknown }[];
  /** How many run at once. */
  max: number;
  /** Successes after which the others are given up. */
  needed: number;
  /** How many failures do not yet give up the others. */
  tolerated: number;
  /** Resolves when the branch may begin. */
  admit?: (index: number) => Promise<void>;
}

/** The outcome of branches. */
export interface Ended {
  /** By branch; undefined for those that did not succeed. */
  outputs: (Json | undefined)[];
  /** In order of time. */
  failures: { index: number; thrown: unknown }[];
  /** The paths of the branches that were given up. */
  lost: string[];
}

/** The branches of one function. It knows the branch of the running code, also after an `await`. */
class CodeBranches {
  readonly #root: Branch = { path: "", lost: false };
  readonly #current = new AsyncLocalStorage<Branch>();

  /** The innermost branch around the calling code. */
  get current(): Branch {
    return this.#current.getStore() ?? this.#root;
  }

  /** Runs branches until the outcome is decided. */
  execute(plan: Plan): Promise<Ended> {
    const around = this.current;
    return new RunningBranches(plan, (path, code) => {
      const branch = { path, around, lost: false };
      return { branch, output: this.#current.run(branch, async () => await code()) };
    }).ended;
  }
}

/** Whether the branch, or one around it, was given up. */
function isLost(branch: Branch): boolean {
  return branch.lost || (branch.around !== undefined && isLost(branch.around));
}

/** Branches that run, until their outcome is decided. */
class RunningBranches {
  readonly #ended = Promise.withResolvers<Ended>();
  readonly #outputs: Ended["outputs"];
  readonly #failures: Ended["failures"] = [];
  readonly #open = new Set<Branch>();
  #next = 0;
  #succeeded = 0;

  constructor(
    private readonly plan: Plan,
    private readonly begin: (path: string, code: () => unknown) => { branch: Branch; output: Promise<unknown> },
  ) {
    this.#outputs = plan.branches.map(() => undefined);
    this.#endWhenDecided();
    for (let count = 0; count < Math.min(plan.max, plan.branches.length); count++) this.#runSome();
  }

  get ended(): Promise<Ended> {
    return this.#ended.promise;
  }

  get #isDecided(): boolean {
    const { branches, needed, tolerated } = this.plan;
    return this.#succeeded >= needed || this.#failures.length > tolerated ||
      this.#succeeded + this.#failures.length === branches.length;
  }

  async #runSome(): Promise<void> {
    const { branches, admit } = this.plan;
    while (this.#next < branches.length && !this.#isDecided) {
      const index = this.#next++;
      await admit?.(index);
      if (!this.#isDecided) await this.#runOne(index);
    }
  }

  async #runOne(index: number): Promise<void> {
    const { path, code } = this.plan.branches[index];
    const { branch, output } = this.begin(path, code);
    this.#open.add(branch);
    try {
      const result = plainJson(await output, `the result of ${path}`);
      if (branch.lost) return;
      this.#outputs[index] = result;
      this.#succeeded++;
    } catch (thrown) {
      if (branch.lost) return;
      this.#failures.push({ index, thrown });
    }
    this.#open.delete(branch);
    this.#endWhenDecided();
  }

  #endWhenDecided(): void {
    if (!this.#isDecided) return;
    for (const loser of this.#open) loser.lost = true;
    const lost = [...this.#open].map(({ path }) => path);
    this.#ended.resolve({ outputs: this.#outputs, failures: this.#failures, lost });
  }
}
