import type { Cancel, Clock } from "../host/clock.ts";
import type { Retention, Store } from "./store.ts";

/** Milliseconds between two looks at what retention may drop. */
const INTERVAL = 10_000;

/** What upkeep works with. */
export interface UpkeepOptions {
  store: Store;
  clock: Clock;
  retention: () => Retention;
  /** Versions of rules in force: kept although no run may need them yet. */
  liveVersions: () => string[];
  onError: (message: string, error: unknown) => void;
}

/** Keeps the store within its bounds: looks every ten seconds, drops in slices. */
export class Upkeep {
  #stopped = false;
  #cancel: Cancel = () => {};
  #pass: Promise<void> = Promise.resolve();

  constructor(private readonly options: UpkeepOptions) {}

  start(): void {
    const { clock, onError } = this.options;
    this.#cancel = clock.after(INTERVAL, () => {
      this.#pass = this.#prune()
        .catch((error) => onError("Retention could not be applied", error))
        .finally(() => this.#stopped || this.start());
    });
  }

  /** Resolves once no slice is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel();
    await this.#pass;
  }

  async #prune(): Promise<void> {
    const { store, clock, retention, liveVersions } = this.options;
    let more = true;
    while (more && !this.#stopped) more = await store.prune(retention(), clock.now());
    if (!this.#stopped) await store.dropVersions(liveVersions());
  }
}
