import type { Cancel, Clock } from "../host/clock.ts";
import type { RunFiles } from "../host/run_files.ts";
import type { Uploads } from "../host/uploads.ts";
import type { Retention, Store } from "./store.ts";

/** Milliseconds between two checks of retention. */
const INTERVAL = 10_000;
/**
 * The time by which identities expire advances at most this many times as fast as the monotonic clock. So a clock that shows
 * 2099 for a while does not expire all identities at once.
 */
const FASTEST = 10;

/** Options of `Upkeep`. */
export interface UpkeepOptions {
  store: Store;
  files: Pick<RunFiles, "sweep">;
  uploads: Pick<Uploads, "sweep">;
  clock: Clock;
  retention: () => Retention;
  /** Versions of rules in force: kept even if no run uses them. */
  liveVersions: () => string[];
  /** Whether nobody else has other versions in force. @default always */
  knowsLiveVersions?: () => Promise<boolean>;
  onError: (message: string, error: unknown) => void;
}

/** Applies retention to the store: checks at the start and every ten seconds, and drops in slices. */
export class Upkeep {
  #stopped = false;
  #cancel: Cancel = () => {};
  #pass: Promise<void> = Promise.resolve();
  /** The time by which retention decides, and the reading of the monotonic clock when that was set. */
  #trusted: { time: number; ticks: number } | undefined;

  constructor(private readonly options: UpkeepOptions) {}

  start(): void {
    const { clock, onError } = this.options;
    this.#pass = this.#prune()
      .catch((error) => {
        if (!this.#stopped) onError("Retention could not be applied", error);
      })
      .finally(() => {
        if (!this.#stopped) this.#cancel = clock.after(INTERVAL, () => this.start());
      });
  }

  /** Stops; resolves when no slice is running. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel();
    await this.#pass;
  }

  /** The clock's time, limited by the time that can have passed since the last trusted one: at first, since the newest event. */
  async #readClock(): Promise<number> {
    const { store, clock } = this.options;
    const [now, ticks] = [clock.now(), clock.ticks()];
    const newest = async () => (await store.listEvents({ limit: 1 }))[0]?.receivedAt ?? now;
    const { time, ticks: then } = this.#trusted ?? { time: await newest(), ticks };
    // Never backwards: else, after the clock was wrong by years, this would take long to catch up.
    const trusted = Math.max(time, Math.min(now, time + FASTEST * (ticks - then)));
    this.#trusted = { time: trusted, ticks };
    return Math.min(now, trusted);
  }

  async #prune(): Promise<void> {
    const { store, files, uploads, retention, onError } = this.options;
    const now = await this.#readClock();
    let more = true;
    while (more && !this.#stopped) more = await store.prune(retention(), now);
    // A run's files go with its trace, an upload goes with its event.
    const events = { findKey: store.findEventKey.bind(store), isKnown: store.hasEvent.bind(store) };
    for (const sweep of [() => files.sweep((run) => store.hasRun(run)), () => uploads.sweep(events)]) {
      if (this.#stopped) break;
      // A file that cannot be removed stops nothing else.
      await sweep().catch((error) => onError("Saved files could not be checked", error));
    }
    if (!this.#stopped) await this.#dropVersions();
  }

  async #dropVersions(): Promise<void> {
    const { store, liveVersions, knowsLiveVersions = () => Promise.resolve(true) } = this.options;
    if (await knowsLiveVersions()) await store.dropVersions(liveVersions());
  }
}
