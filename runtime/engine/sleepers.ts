import type { Cancel, Clock } from "../host/clock.ts";
import type { Execution } from "./execution.ts";

/** BranchSet of all runs that sleep: each keeps a few kilobytes. */
const MOST_BRANCHES = 4_096;
/** Milliseconds after which a run that nobody woke is read back from the store after all. */
const LONGEST_SLEEP = 600_000;

/** Runs that are suspended in the store and still in memory, as many as there is room for: the longest asleep goes first. */
export class Sleepers {
  readonly #runs = new Map<string, { execution: Execution; branches: number; cancel: Cancel }>();
  #branches = 0;

  constructor(private readonly clock: Clock) {}

  /** Keeps a run if it sleeps. */
  add(run: string, execution: Execution): void {
    const branches = execution.sleeping;
    if (branches === 0) return;
    const cancel = this.clock.after(LONGEST_SLEEP, () => this.#forget(run));
    this.#runs.set(run, { execution, branches, cancel });
    this.#branches += branches;
    for (const oldest of this.#runs.keys()) {
      if (this.#branches <= MOST_BRANCHES) break;
      this.#forget(oldest);
    }
  }

  /** A run that is to go on, or be given up. */
  take(run: string): Execution | undefined {
    const found = this.#runs.get(run);
    if (found === undefined) return undefined;
    found.cancel();
    this.#runs.delete(run);
    this.#branches -= found.branches;
    return found.execution;
  }

  /** Gives up all of them. */
  clear(): void {
    for (const run of [...this.#runs.keys()]) this.#forget(run);
  }

  #forget(run: string): void {
    this.take(run)?.forget();
  }
}
