import { type Cancel, waitAtMost } from "../host/clock.ts";
import type { RunState } from "../model/run.ts";
import type { Change } from "../store/shared_store.ts";
import type { By, ClaimedRun, Lease, Refused, Seen } from "../store/store.ts";
import { AheadOfDisk } from "./ahead.ts";
import { announceEnds, Execution, Sleepers } from "./execution.ts";
import { EarlyChanges, EndsElsewhere } from "./other_replicas.ts";
import { Interruption } from "./outcome.ts";
import { CLAIM_AGAIN, DEFERENCE, LAST_ANSWERS, MAX_RUNS, type RunnerOptions } from "./runner_options.ts";
import { VersionCache } from "./version_cache.ts";

/** Claims due runs and executes them; woken after ingest, when a run ends, by the clock, and by changes of other replicas. */
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
  /** Whether this program decides what becomes of the store's rows: the only one, or one of several replicas. */
  #decides = true;
  /** Set while due runs are left to other replicas. */
  #deferring: Cancel | undefined;
  readonly #ahead = new AheadOfDisk();
  readonly #early = new EarlyChanges();
  readonly #endsElsewhere: EndsElsewhere;

  constructor(private readonly options: RunnerOptions) {
    this.#versions = new VersionCache(options);
    this.#maxRuns = options.maxRuns ?? MAX_RUNS;
    this.#sleepers = new Sleepers(options.clock);
    this.#endsElsewhere = new EndsElsewhere(options.store, options.clock);
  }

  /**
   * Queues again the runs that a crash left running, then claims.
   * @param decides false for a replica that follows another one: it leaves the runs of replicas that have ended to that one
   */
  async start({ decides = true } = {}): Promise<void> {
    const { clock, store } = this.options;
    this.#decides = decides;
    store.onFound((run) => this.woken([run]));
    if (decides) await this.#reclaim();
    this.#forgetClock = clock.onRollback((by) => void this.#rollBackClock(by));
    this.wake();
  }

  /** From now on this replica decides, as the one that did has ended. */
  async promote(): Promise<void> {
    this.#decides = true;
    await this.#reclaim();
    this.wake();
  }

  async #reclaim(): Promise<void> {
    const { store, owner, shared, clock } = this.options;
    // In this order: a replica that registers meanwhile is not known yet, so its runs are left alone.
    const known = await shared?.store.knownReplicas();
    const kept = [owner, ...await shared?.registered() ?? []];
    await store.reclaimRuns(known ? { of: known.filter((id) => !kept.includes(id)) } : { kept }, clock.now());
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
    this.#nowAndClaimed(() => this.#rouse(runs));
    this.wake();
  }

  /** Other replicas have changed the store. */
  changed({ runs, tables, isClaimable }: Change): void {
    if (runs.length > 0) {
      void this.#lookAt(runs);
      if (this.#leased > 0) this.#early.add(runs.filter((run) => !this.#active.has(run)));
    }
    if (isClaimable) this.#wakeOrDefer();
    if (tables.has("run")) this.#endsElsewhere.changed();
  }

  /** Other replicas have woken these runs, or asked to end them. */
  async #lookAt(runs: string[]): Promise<void> {
    const { shared, onError } = this.options;
    this.#nowAndClaimed(() => this.#rouse(runs));
    try {
      const endings = await shared!.store.getEndings(runs);
      this.#nowAndClaimed(() => {
        for (const [run, { reason }] of endings) {
          this.#active.get(run)?.interrupt(new Interruption("cancelled", reason));
        }
      });
    } catch (error) {
      if (!this.#stopped) onError("Cannot read which runs are to be ended", error);
    }
  }

  #rouse(runs: string[]): void {
    for (const run of runs) this.#active.get(run)?.wake();
  }

  /** A claim may be in flight that read the old state: the work is repeated when it lands. */
  #nowAndClaimed(work: () => void): void {
    work();
    this.#claiming?.then(work);
  }

  #wakeOrDefer(): void {
    if (this.#decides) return this.wake();
    if (this.#stopped) return;
    this.#deferring ??= this.options.clock.after(DEFERENCE, () => {
      this.#deferring = undefined;
      void this.#wakeIfDue();
    });
  }

  /** Wakes if the others have left something. */
  async #wakeIfDue(): Promise<void> {
    const { store, clock, onError } = this.options;
    try {
      const due = await store.nextDue();
      if (due === undefined || this.#stopped) return;
      if (due <= clock.now()) this.wake();
      else this.#wakeAt(due);
    } catch (error) {
      if (!this.#stopped) onError("Cannot read when the next run is due", error);
    } finally {
      this.#changed();
    }
  }

  /** Reserves up to `most` slots for runs that are claimed together with their event, until {@link take} is called. */
  lease(most: number): Lease {
    const isHeld = this.#stopped || this.#behind || this.options.shared?.acting() !== undefined;
    const max = isHeld ? 0 : Math.max(0, Math.min(most, this.#freeSlots()));
    this.#leased += max;
    return { owner: this.options.owner, max };
  }

  /** Begins those runs that need not wait for the disk. @returns whether there are any */
  begin(lease: Lease, claimed: ClaimedRun[]): boolean {
    if (this.#stopped) return false;
    const begun = this.#ahead.choose(lease, claimed, (version) => this.#versions.known(version));
    this.#leased -= begun.length;
    for (const claim of begun) this.#execute(claim, true);
    return begun.length > 0;
  }

  /**
   * Executes the runs that were claimed on a lease. After the stop they are left to the next start of the program.
   * @param claimed those that are on disk
   */
  take(lease: Lease, claimed: ClaimedRun[]): void {
    const { begun, undone, rest } = this.#ahead.settle(lease, claimed);
    this.#leased -= lease.max - begun.length;
    for (const { run } of undone) this.#active.get(run.id)?.abandon();
    for (const { run } of begun) this.#active.get(run.id)?.confirm();
    if (!this.#stopped) { for (const claim of rest) this.#execute(claim); }
    const early = this.#early.take(claimed, this.#leased === 0);
    if (early.length > 0) void this.#lookAt(early);
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
   * Ends a run. If it was running, it and its child processes have stopped when this resolves, also if another replica executed it.
   * @param by who ends it, for the notes
   * @param seen refuses a run that has changed since
   * @returns its state then, or undefined if there is no such run
   * @throws NotEndedError if another replica executes it, and has not ended it in time
   */
  async cancel(
    run: string,
    reason = "Cancelled by an operator",
    by?: By,
    seen?: Seen,
  ): Promise<RunState | Refused | undefined> {
    const { store, clock } = this.options;
    const deadline = this.#endsElsewhere.deadline();
    for (let asked = seen;; asked = undefined) {
      const cancelled = await store.cancelRun(run, reason, clock.now(), by, asked);
      if (cancelled?.kind === "asked" && cancelled.owner !== undefined) {
        await this.#endsElsewhere.wait(run, cancelled.owner, deadline);
        continue;
      }
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
  announce(runs: string[]): Promise<void> {
    return announceEnds(runs, this.options);
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
    this.#deferring?.();
    this.#forgetClock();
    await this.#answered(this.#claiming);
    const ended = Promise.all([...this.#active.values()].map((execution) => execution.done));
    if (ms > 0) await waitAtMost(clock, ms, ended);
    for (const execution of this.#active.values()) {
      execution.interrupt(new Interruption("shutdown", "The program stops"));
    }
    await this.#answered(ended);
    this.#sleepers.clear();
  }

  /** Of replicas that stop at once, nobody may be left who decides on what a run records last. */
  async #answered(work: Promise<unknown> | undefined): Promise<void> {
    if (this.options.shared === undefined) await work;
    else await waitAtMost(this.options.clock, LAST_ANSWERS, work ?? Promise.resolve());
  }

  /** Only the replica that decides adapts the store's times: the clock of another one says nothing about them. */
  async #rollBackClock(by: number): Promise<void> {
    const { store, clock, onError } = this.options;
    try {
      if (this.#decides) await store.rollBackClock(by, clock.now());
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
      // This replica was excluded, so others have its runs; or it stops before anybody has decided.
      if (error instanceof Interruption || this.#stopped) return;
      onError("Cannot claim runs", error);
      this.#wakeAt(clock.now() + CLAIM_AGAIN);
    } finally {
      this.#claiming = undefined;
      this.#changed();
    }
  }

  async #claimDue(): Promise<void> {
    const { store, owner, clock, shared } = this.options;
    for (;;) {
      const held = shared?.acting();
      if (held !== undefined) await held;
      const free = this.#freeSlots();
      this.#behind = free <= 0;
      // `take` or the end of a run, which free a slot, wake us.
      if (this.#behind) return;
      const now = clock.now();
      // Asked together: in sequence, the disk might have to sync in between. Another replica only asks for the claim, and reads
      // here what is due after it.
      const claiming = store.claimRuns(owner, free, now);
      if (!this.#decides) await claiming.catch(() => {});
      const [claimed, due] = await Promise.allSettled([claiming, store.nextDue()]);
      if (claimed.status === "rejected") throw claimed.reason;
      // Execute first: a claimed run that nobody executes would stay claimed until the next start.
      for (const claim of claimed.value) this.#execute(claim);
      if (due.status === "rejected") throw due.reason;
      if (claimed.value.length === free) continue;
      // A run that was due at `now` and not given waits for another one to end, which wakes us.
      if (due.value !== undefined && (due.value > now || !this.#decides)) this.#wakeAt(due.value);
      return;
    }
  }

  #freeSlots(): number {
    return this.#maxRuns - this.#active.size - this.#leased;
  }

  #wakeAt(at: number): void {
    this.#alarm?.();
    if (!this.#stopped) this.#alarm = this.options.clock.at(at, () => this.#wakeOrDefer());
  }

  /** @param isAhead its run is not on disk yet */
  async #execute(claim: ClaimedRun, isAhead = false): Promise<void> {
    const { id } = claim.run;
    const execution = this.#resume(claim) ?? this.#begin(claim);
    if (isAhead) execution.beginAhead();
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
