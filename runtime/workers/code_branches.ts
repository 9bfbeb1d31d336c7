import { AsyncLocalStorage } from "node:async_hooks";
import type { Json } from "../model/json.ts";
import { plainJson } from "./plain_json.ts";

/** One branch of an `each`, `all` or `any`, or (with the path `""`) the function itself. */
export interface Branch {
  path: string;
  around?: Branch;
  /** Given up: its code continues until its next step, which is never answered. */
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

/** The branches of one function; knows which branch the running code belongs to, across awaits. */
export class CodeBranches {
  readonly #root: Branch = { path: "", lost: false };
  readonly #current = new AsyncLocalStorage<Branch>();

  /** The innermost branch around the calling code. */
  get current(): Branch {
    return this.#current.getStore() ?? this.#root;
  }

  /** Runs branches until the outcome is decided. */
  execute(plan: Plan): Promise<Ended> {
    const around = this.current;
    return new Performance(plan, (path, code) => {
      const branch = { path, around, lost: false };
      return { branch, output: this.#current.run(branch, async () => await code()) };
    }).ended;
  }
}

/** Whether the branch, or one around it, was given up. */
export function isLost(branch: Branch): boolean {
  return branch.lost || (branch.around !== undefined && isLost(branch.around));
}

class Performance {
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
