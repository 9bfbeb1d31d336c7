import type { Cancel, Clock } from "../host/clock.ts";
import type { Execution } from "./execution.ts";

/** The most branches of all sleeping runs: each keeps a few kilobytes. */
const MOST_BRANCHES = 4_096;
/** Milliseconds after which a run that was not woken is released; it is then read back from the store. */
const LONGEST_SLEEP = 600_000;

/**
 * An LRU cache of runs that are suspended in the store but still in memory: the run that has slept longest is evicted
 * first.
 */
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

  /** Removes a run that is to continue, or to be given up. */
  take(run: string): Execution | undefined {
    const found = this.#runs.get(run);
    if (found === undefined) return undefined;
    found.cancel();
    this.#runs.delete(run);
    this.#branches -= found.branches;
    return found.execution;
  }

  /** Gives up all runs. */
  clear(): void {
    for (const run of [...this.#runs.keys()]) this.#forget(run);
  }

  #forget(run: string): void {
    this.take(run)?.forget();
  }
}
