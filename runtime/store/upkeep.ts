import type { Cancel, Clock } from "../host/clock.ts";
import type { RunFiles } from "../host/run_files.ts";
import type { Retention, Store } from "./store.ts";

/** Milliseconds between two looks at what retention may drop. */
const INTERVAL = 10_000;
/**
 * How many times as fast as the program runs the time may pass by which identities are dropped: a clock that shows 2099 for a
 * while does not forget in a moment what was delivered.
 */
const FASTEST = 10;

/** What upkeep works with. */
export interface UpkeepOptions {
  store: Store;
  files: Pick<RunFiles, "sweep">;
  clock: Clock;
  retention: () => Retention;
  /** Versions of rules in force: kept although no run may need them yet. */
  liveVersions: () => string[];
  onError: (message: string, error: unknown) => void;
}

/** Keeps the store within its bounds: looks at once and every ten seconds, drops in slices. */
export class Upkeep {
  #stopped = false;
  #cancel: Cancel = () => {};
  #pass: Promise<void> = Promise.resolve();
  /** The time by which things are old, and when it was that, by the clock that nobody sets. */
  #believed: { time: number; ticks: number } | undefined;

  constructor(private readonly options: UpkeepOptions) {}

  start(): void {
    const { clock, onError } = this.options;
    this.#pass = this.#prune()
      .catch((error) => onError("Retention could not be applied", error))
      .finally(() => {
        if (!this.#stopped) this.#cancel = clock.after(INTERVAL, () => this.start());
      });
  }

  /** Resolves once no slice is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel();
    await this.#pass;
  }

  /** The clock's time, but no later than it can be since what was believed before: at first, since the newest event. */
  async #believe(): Promise<number> {
    const { store, clock } = this.options;
    const [now, ticks] = [clock.now(), clock.ticks()];
    const newest = async () => (await store.listEvents({ limit: 1 }))[0]?.receivedAt ?? now;
    const { time, ticks: then } = this.#believed ?? { time: await newest(), ticks };
    // Never back: a clock that was wrong by years is not caught up with from there.
    const believed = Math.max(time, Math.min(now, time + FASTEST * (ticks - then)));
    this.#believed = { time: believed, ticks };
    return Math.min(now, believed);
  }

  async #prune(): Promise<void> {
    const { store, files, retention, liveVersions } = this.options;
    const now = await this.#believe();
    let more = true;
    while (more && !this.#stopped) more = await store.prune(retention(), now);
    // A run's files go with its trace.
    if (!this.#stopped) await files.sweep(async (run) => await store.getRun(run) !== undefined);
    if (!this.#stopped) await store.dropVersions(liveVersions());
  }
}
