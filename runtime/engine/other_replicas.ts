import { type Clock, waitAtMost } from "../host/clock.ts";
import type { Store } from "../store/store.ts";

/** What a change of the store by other replicas means for the runner. */
export interface RunnerChange {
  /** Runs that this replica executes and that were woken, or are to end. */
  runs: string[];
  /** Those that are to end, and why. */
  endings: ReadonlyMap<string, { reason: string }>;
  /** The tables whose rows have changed. */
  tables: ReadonlySet<string>;
  /** Whether a run may have become claimable. */
  isClaimable: boolean;
}

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

/** The most changes that are kept. */
const MOST_EARLY = 1_000;

/** What others did to runs that are claimed with their event, before this replica knew of the claim. */
export class EarlyChanges {
  readonly #changes = new Map<string, RunnerChange>();

  add(run: string, change: RunnerChange): void {
    this.#changes.set(run, { ...change, runs: [run], isClaimable: false });
    if (this.#changes.size > MOST_EARLY) this.#changes.delete(this.#changes.keys().next().value!);
  }

  /** The changes of a run that is now known. */
  take(run: string): RunnerChange | undefined {
    if (this.#changes.size === 0) return undefined;
    const change = this.#changes.get(run);
    this.#changes.delete(run);
    return change;
  }

  /** No claim is in flight. */
  clear(): void {
    if (this.#changes.size > 0) this.#changes.clear();
  }
}
