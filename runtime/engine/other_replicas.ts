import { type Clock, waitAtMost } from "../host/clock.ts";
import type { ClaimedRun, Store } from "../store/store.ts";

/** Milliseconds that another replica has for ending a run; a program that stops has as long. */
const LONGEST_END = 25_000;

/** A run that another replica was asked to end, and has not ended yet. */
export class NotEndedError extends Error {
  override name = "NotEndedError";

  constructor(run: string, replica: string) {
    super(
      `Run ${run} has not ended yet: replica ${replica}, which executes it, was asked to end it ${
        LONGEST_END / 1_000
      } s ago; ` +
        "it ends at the latest when it waits, or when that replica ends",
    );
  }
}

/** Waits until other replicas have ended runs. */
export class EndsElsewhere {
  /** Resolves at the next change of a run, if something waits for it. */
  #change: PromiseWithResolvers<void> | undefined;

  constructor(private readonly store: Pick<Store, "getLiveRuns">, private readonly clock: Clock) {}

  /** Other replicas have changed runs. */
  changed(): void {
    this.#change?.resolve();
    this.#change = undefined;
  }

  /** When a request of now is too late, for {@link wait}. */
  deadline(): number {
    return this.clock.ticks() + LONGEST_END;
  }

  /**
   * Resolves when a run is no longer executed.
   * @param deadline by the monotonic clock
   * @throws NotEndedError after it
   */
  async wait(run: string, replica: string, deadline: number): Promise<void> {
    for (;;) {
      const change = (this.#change ??= Promise.withResolvers()).promise;
      const [live] = await this.store.getLiveRuns([run]);
      if (live?.state !== "running") return;
      const left = deadline - this.clock.ticks();
      if (left <= 0) throw new NotEndedError(run, replica);
      await waitAtMost(this.clock, left, change);
    }
  }
}

/** The most runs that are remembered. */
const MOST_EARLY = 1_000;

/** Runs that are claimed together with their event, and that others changed before this replica knew of the claim. */
export class EarlyChanges {
  readonly #runs = new Set<string>();

  add(runs: string[]): void {
    for (const run of runs) this.#runs.add(run);
    // Some are of claims that came to nothing.
    for (const oldest of this.#runs) {
      if (this.#runs.size <= MOST_EARLY) break;
      this.#runs.delete(oldest);
    }
  }

  /**
   * Those of the runs that are known now.
   * @param isLast whether no other claim is in flight
   */
  take(claimed: ClaimedRun[], isLast: boolean): string[] {
    if (this.#runs.size === 0) return [];
    const found = claimed.map(({ run }) => run.id).filter((run) => this.#runs.delete(run));
    if (isLast) this.#runs.clear();
    return found;
  }
}
