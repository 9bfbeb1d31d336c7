import { dirname, join } from "node:path";
import { type Cancel, type Clock, sleepFor } from "../host/clock.ts";
import type { RunState } from "../model/run.ts";
import type { By, ClaimedRun, Lease, Refused, Seen } from "../store/store.ts";
import { Execution, Sleepers } from "./execution.ts";
import { Interruption } from "./outcome.ts";
import type { RunnerOptions } from "./runner_options.ts";
import { servicesFor } from "./services.ts";
import type { RuleVersion } from "./step_frame.ts";

/**
 * How many runs are executed at once: most of them wait for an answer and cost a few kilobytes. More would not be
 * faster on the one main thread, and each may hold a socket or a child; 1,024 open files are a usual limit.
 */
const MAX_RUNS = 256;
/** Milliseconds until the store is asked again after it failed to give runs. */
const CLAIM_AGAIN = 5_000;

/** Claims due runs and executes them; woken after ingest, when a run ends, and by the clock. */
export class Runner {
  readonly #active = new Map<string, Execution>();
  readonly #sleepers: Sleepers;
  readonly #versions: VersionCache;
  readonly #maxRuns: number;
  #claiming: Promise<void> | undefined;
  #woken = false;
  #stopped = false;
  /** Slots reserved for runs that ingest may claim. */
  #leased = 0;
  /** There was no free slot for runs that may be due: new ones wait behind them. */
  #behind = false;
  #alarm: Cancel | undefined;
  #forgetClock: Cancel = () => {};
  /** Resolves at the next change, if something waits for it. */
  #change: PromiseWithResolvers<void> | undefined;

  constructor(private readonly options: RunnerOptions) {
    this.#versions = new VersionCache(options);
    this.#maxRuns = options.maxRuns ?? MAX_RUNS;
    this.#sleepers = new Sleepers(options.clock);
  }

  /** Queues again the runs that a crash left running, then claims. */
  async start(): Promise<void> {
    const { store, owner, clock } = this.options;
    await store.reclaimRuns([owner], clock.now());
    this.#forgetClock = clock.onRollback((by) => void this.#rollBackClock(by));
    this.wake();
  }

  /** Something may have become claimable. */
  wake(): void {
    if (this.#stopped) return;
    this.#woken = true;
    this.#claiming ??= this.#claim();
  }

  /** The store changed what these runs wait for: those being executed check their records, the others are claimed. */
  woken(runs: string[]): void {
    if (runs.length === 0) return;
    const look = () => {
      for (const run of runs) this.#active.get(run)?.wake();
    };
    look();
    // A claim may be in flight that read the old state; look again when it lands.
    this.#claiming?.then(look);
    this.wake();
  }

  /** Reserves up to `most` slots for runs that are claimed together with their event, until {@link take} is called. */
  lease(most: number): Lease {
    const max = this.#stopped || this.#behind ? 0 : Math.max(0, Math.min(most, this.#freeSlots()));
    this.#leased += max;
    return { owner: this.options.owner, max };
  }

  /** Executes the runs that were claimed on a lease. After the stop they are left to the next start of the program. */
  take(lease: Lease, claimed: ClaimedRun[]): void {
    this.#leased -= lease.max;
    if (!this.#stopped) { for (const claim of claimed) this.#execute(claim); }
    if (this.#behind && claimed.length < lease.max) this.wake();
    this.#changed();
  }

  /** Runs being executed now. */
  running(): number {
    return this.#active.size;
  }

  /** Whether nothing happens until the clock moves or {@link wake} is called. */
  get idle(): boolean {
    return this.#claiming === undefined && !this.#woken && this.#leased === 0 &&
      [...this.#active.values()].every(({ idle }) => idle);
  }

  /** Suspends the runs that are held in memory. */
  suspend(): void {
    for (const execution of this.#active.values()) execution.suspend();
  }

  /**
   * Ends a run. If it was running, it and its child processes have stopped when this resolves.
   * @param by who ends it, for the notes
   * @param seen refuses a run that has changed since
   * @returns its state then, or undefined if there is no such run
   */
  async cancel(
    run: string,
    reason = "Cancelled by an operator",
    by?: By,
    seen?: Seen,
  ): Promise<RunState | Refused | undefined> {
    const { store, clock } = this.options;
    for (let asked = seen;; asked = undefined) {
      const cancelled = await store.cancelRun(run, reason, clock.now(), by, asked);
      const isRunning = cancelled?.kind === "asked" && cancelled.state === "running";
      // A claim of it may be in flight.
      if (isRunning && !this.#active.has(run)) await this.#claiming;
      const execution = this.#active.get(run);
      if (!isRunning || execution === undefined) {
        this.#sleepers.take(run)?.forget();
        if (cancelled?.kind === "asked" && cancelled.ended) await this.announce([run]);
        this.wake();
        return cancelled?.kind === "asked" ? cancelled.state : cancelled;
      }
      execution.interrupt(new Interruption("cancelled", reason));
      await execution.done;
      // Ask once more: it may have been suspended in the meantime.
    }
  }

  /**
   * Ends the running runs that a new one replaces (mode `restart`); the new one is claimed when they have ended. Reports
   * the end of the others.
   */
  replace({ replaces, replaced }: { replaces: string[]; replaced?: string[] }): void {
    if (replaced !== undefined) void this.announce(replaced);
    for (const run of replaces) {
      this.cancel(run, "Replaced by a newer run").catch((error) => {
        this.options.onError(`Cannot end run ${run}, which a newer one replaces`, error);
      });
    }
  }

  /** Reports the end of runs that ended while nothing executed them. */
  async announce(runs: string[]): Promise<void> {
    const { store, onFinished, onError } = this.options;
    if (onFinished === undefined) return;
    for (const run of runs) {
      try {
        const trace = await store.getRun(run);
        if (trace !== undefined) onFinished(trace.run);
      } catch (error) {
        onError(`Cannot read run ${run}, which has ended`, error);
      }
    }
  }

  /** Resolves when nothing is running and nothing becomes claimable within `within` milliseconds, for `whenthen once`. */
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

  /**
   * Claims nothing more, waits up to `ms`, then aborts and suspends what still runs: it resumes after its last recorded
   * step.
   */
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
      onError("Cannot resume runs after the clock was rolled back", error);
    }
    // A claim may be in flight that read the old times; wait for it.
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
      const free = this.#freeSlots();
      this.#behind = free <= 0;
      // `take` or the end of a run, which free a slot, wake us.
      if (this.#behind) return;
      const now = clock.now();
      // Asked together: in sequence, the disk might have to sync in between.
      const [claimed, due] = await Promise.allSettled([store.claimRuns(owner, free, now), store.nextDue()]);
      if (claimed.status === "rejected") throw claimed.reason;
      // Execute first: a claimed run that nobody executes would stay claimed until the next start.
      for (const claim of claimed.value) this.#execute(claim);
      if (due.status === "rejected") throw due.reason;
      if (claimed.value.length === free) continue;
      // A run that was due at `now` and not given waits for another one to end, which wakes us.
      if (due.value !== undefined && due.value > now) this.#wakeAt(due.value);
      return;
    }
  }

  #freeSlots(): number {
    return this.#maxRuns - this.#active.size - this.#leased;
  }

  #wakeAt(at: number): void {
    this.#alarm?.();
    if (!this.#stopped) this.#alarm = this.options.clock.at(at, () => this.wake());
  }

  async #execute(claim: ClaimedRun): Promise<void> {
    const { id } = claim.run;
    const execution = this.#resume(claim) ?? this.#begin(claim);
    const { done } = execution;
    this.#active.set(id, execution);
    await done;
    // It may have been claimed again by now.
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

  /** The execution of a claimed run that sleeps in memory, if it can continue. */
  #resume(claim: ClaimedRun): Execution | undefined {
    const { id } = claim.run;
    // A run that was suspended a moment ago is still here.
    const execution = this.#sleepers.take(id) ?? this.#active.get(id);
    if (execution === undefined || execution.sleeping === 0) return undefined;
    if (execution.resume(claim)) return execution;
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

/** How many rule versions are kept in memory. */
const CACHED_VERSIONS = 64;

/** The rule versions that runs are pinned to, in an LRU cache. */
class VersionCache {
  readonly #rules = new Map<string, Promise<RuleVersion | undefined>>();

  constructor(private readonly options: RunnerOptions) {}

  get(version: string): Promise<RuleVersion | undefined> {
    const rule = this.#rules.get(version) ?? this.#read(version);
    // Moves it to the end: a Map keeps the insertion order, so the first entry is the least recently used.
    this.#rules.delete(version);
    this.#rules.set(version, rule);
    if (this.#rules.size > CACHED_VERSIONS) this.#rules.delete(this.#rules.keys().next().value!);
    return rule;
  }

  async #read(version: string): Promise<RuleVersion | undefined> {
    const { store, folder } = this.options;
    try {
      const rule = await store.getVersion(version);
      if (rule !== undefined) {
        return { rule, services: servicesFor(rule, this.options), ruleFolder: join(folder, dirname(rule.file)) };
      }
      this.#rules.delete(version);
    } catch (error) {
      this.#rules.delete(version);
      throw error;
    }
  }
}
