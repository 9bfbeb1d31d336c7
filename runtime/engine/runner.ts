import { type Cancel, type Clock, sleepFor } from "../host/clock.ts";
import type { RunState } from "../model/run.ts";
import type { ClaimedRun, Lease } from "../store/store.ts";
import { Execution } from "./execution.ts";
import { Interruption } from "./interruption.ts";
import type { RunnerOptions } from "./runner_options.ts";
import { Sleepers } from "./sleepers.ts";
import { VersionCache } from "./version_cache.ts";

/**
 * Runs at once: most of them wait for someone else's answer and cost a few kilobytes. More would not be faster on the one
 * main thread, and each may hold a socket or a child; 1,024 open files are a usual limit.
 */
const MAX_RUNS = 256;
/** Milliseconds after which a store that failed to give runs is asked again. */
const CLAIM_AGAIN = 5_000;

/** Claims due runs and performs them; woken after ingest, when a run ends, and by the clock. */
export class Runner {
  readonly #active = new Map<string, Execution>();
  readonly #sleepers: Sleepers;
  readonly #versions: VersionCache;
  readonly #maxRuns: number;
  #claiming: Promise<void> | undefined;
  #woken = false;
  #stopped = false;
  /** Room set aside for what ingest may claim. */
  #leased = 0;
  /** There was no room for what may be due: what is new waits behind it. */
  #behind = false;
  #alarm: Cancel | undefined;
  #forgetClock: Cancel = () => {};
  /** Resolves at the next change, where anybody waits for that. */
  #change: PromiseWithResolvers<void> | undefined;

  constructor(private readonly options: RunnerOptions) {
    this.#versions = new VersionCache(options.store);
    this.#maxRuns = options.maxRuns ?? MAX_RUNS;
    this.#sleepers = new Sleepers(options.clock);
  }

  /** Queues again what a crash left running, then claims. */
  async start(): Promise<void> {
    const { store, owner, clock } = this.options;
    await store.reclaimRuns(owner, clock.now());
    this.#forgetClock = clock.onRollback((by) => void this.#rollBackClock(by));
    this.wake();
  }

  /** Something may have become claimable. */
  wake(): void {
    if (this.#stopped) return;
    this.#woken = true;
    this.#claiming ??= this.#claim();
  }

  /** The store changed what these runs wait for: those being performed look again, the others are claimed. */
  woken(runs: string[]): void {
    if (runs.length === 0) return;
    const look = () => {
      for (const run of runs) this.#active.get(run)?.wake();
    };
    look();
    // One may be on its way here, as it was before that.
    this.#claiming?.then(look);
    this.wake();
  }

  /** Sets room aside for up to so many runs that are claimed together with their event, until {@link take} is called. */
  lease(most: number): Lease {
    const max = this.#stopped || this.#behind ? 0 : Math.max(0, Math.min(most, this.#room()));
    this.#leased += max;
    return { owner: this.options.owner, max };
  }

  /** Performs what was claimed on a lease. What comes once it has stopped goes on after the next start. */
  take(lease: Lease, claimed: ClaimedRun[]): void {
    this.#leased -= lease.max;
    if (!this.#stopped) { for (const claim of claimed) this.#perform(claim); }
    if (this.#behind && claimed.length < lease.max) this.wake();
    this.#changed();
  }

  /** Runs being performed now. */
  running(): number {
    return this.#active.size;
  }

  /** Whether nothing happens before the clock moves or somebody wakes it. */
  get idle(): boolean {
    return this.#claiming === undefined && !this.#woken && this.#leased === 0 &&
      [...this.#active.values()].every(({ idle }) => idle);
  }

  /** Parks the runs that are held in memory. */
  suspend(): void {
    for (const execution of this.#active.values()) execution.suspend();
  }

  /**
   * Ends a run; one that is running is gone, with its children, when this resolves.
   * @returns the state it is in then, or undefined where there is no such run
   */
  async cancel(run: string, reason = "Cancelled by an operator"): Promise<RunState | undefined> {
    const { store, clock } = this.options;
    for (;;) {
      const state = await store.cancelRun(run, reason, clock.now());
      // It may have been claimed a moment ago.
      if (state === "running" && !this.#active.has(run)) await this.#claiming;
      const execution = this.#active.get(run);
      if (state !== "running" || execution === undefined) {
        this.#sleepers.take(run)?.forget();
        this.wake();
        return state;
      }
      execution.interrupt(new Interruption("cancelled", reason));
      await execution.done;
      // Asked once more: it may have been suspended at that very moment.
    }
  }

  /** Ends the running runs that a new one replaces (mode `restart`); it is claimed once they are gone. */
  replace(runs: string[]): void {
    for (const run of runs) {
      this.cancel(run, "Replaced by a newer run").catch((error) => {
        this.options.onError(`Cannot end run ${run}, which a newer one replaces`, error);
      });
    }
  }

  /** Resolves when nothing is running and nothing becomes claimable within `within` milliseconds: for `whenthen once`. */
  async settled(within: number): Promise<void> {
    const isQuiet = () => this.#active.size + this.#leased === 0 && this.#claiming === undefined && !this.#woken;
    for (;;) {
      const change = (this.#change ??= Promise.withResolvers()).promise;
      if (isQuiet()) {
        const due = await this.options.store.nextDue();
        if (isQuiet() && (due === undefined || due > this.options.clock.now() + within)) return;
      }
      await change;
    }
  }

  /** Claims nothing more, waits up to `ms`, then aborts and suspends what still runs: it goes on behind its last recorded step. */
  async drain(ms: number): Promise<void> {
    const { clock } = this.options;
    this.#stopped = true;
    this.#woken = false;
    this.#alarm?.();
    this.#forgetClock();
    await this.#claiming;
    const ended = Promise.all([...this.#active.values()].map((execution) => execution.done));
    if (ms > 0) await within(clock, ms, ended);
    for (const execution of this.#active.values()) {
      execution.interrupt(new Interruption("shutdown", "The program stops"));
    }
    await ended;
    this.#sleepers.clear();
  }

  async #rollBackClock(by: number): Promise<void> {
    const { store, clock, onError } = this.options;
    try {
      await store.rollBackClock(by, clock.now());
    } catch (error) {
      onError("Cannot have go on what waits since before the clock was set back", error);
    }
    // One may be on its way here, as it was before that.
    await this.#claiming;
    this.woken([...this.#active.keys()]);
    this.wake();
  }

  async #claim(): Promise<void> {
    const { clock, onError } = this.options;
    try {
      while (this.#woken && !this.#stopped) {
        this.#woken = false;
        await this.#claimDue();
      }
    } catch (error) {
      onError("Cannot claim runs", error);
      this.#wakeAt(clock.now() + CLAIM_AGAIN);
    } finally {
      this.#claiming = undefined;
      this.#changed();
    }
  }

  async #claimDue(): Promise<void> {
    const { store, owner, clock } = this.options;
    for (;;) {
      const room = this.#room();
      this.#behind = room <= 0;
      // Whoever gives room back wakes us.
      if (this.#behind) return;
      const now = clock.now();
      // Asked together, as between two questions a disk may have to sync.
      const [claimed, due] = await Promise.allSettled([store.claimRuns(owner, room, now), store.nextDue()]);
      if (claimed.status === "rejected") throw claimed.reason;
      // First: what is claimed and not performed would stay so until the next start.
      for (const claim of claimed.value) this.#perform(claim);
      if (due.status === "rejected") throw due.reason;
      if (claimed.value.length === room) continue;
      // What was due at `now` and not given waits for a run that has to end first, which wakes us.
      if (due.value !== undefined && due.value > now) this.#wakeAt(due.value);
      return;
    }
  }

  #room(): number {
    return this.#maxRuns - this.#active.size - this.#leased;
  }

  #wakeAt(at: number): void {
    this.#alarm?.();
    if (!this.#stopped) this.#alarm = this.options.clock.at(at, () => this.wake());
  }

  async #perform(claim: ClaimedRun): Promise<void> {
    const { id } = claim.run;
    const execution = this.#goOn(claim) ?? this.#begin(claim);
    const { done } = execution;
    this.#active.set(id, execution);
    await done;
    // It may be here again by now.
    if (this.#active.get(id) === execution && execution.done === done) {
      this.#active.delete(id);
      if (!this.#stopped) this.#sleepers.add(id, execution);
    }
    this.replace(execution.replaces);
    if (this.#behind) this.wake();
    this.#changed();
  }

  #begin(claim: ClaimedRun): Execution {
    return new Execution(claim, this.options, (version) => this.#versions.get(version), () => this.wake());
  }

  /** What sleeps of a run that was claimed, if it can go on. */
  #goOn(claim: ClaimedRun): Execution | undefined {
    const { id } = claim.run;
    // One that was suspended a moment ago is still here.
    const execution = this.#sleepers.take(id) ?? this.#active.get(id);
    if (execution === undefined || execution.sleeping === 0) return undefined;
    if (execution.goOn(claim)) return execution;
    execution.forget();
  }

  #changed(): void {
    this.#change?.resolve();
    this.#change = undefined;
  }
}

/** Waits for something, but no longer than `ms`. */
async function within(clock: Clock, ms: number, something: Promise<unknown>): Promise<void> {
  const done = new AbortController();
  await Promise.race([something, sleepFor(clock, ms, done.signal)]);
  done.abort();
}
