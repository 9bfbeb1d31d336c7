import type { Cancel, Clock } from "../host/clock.ts";
import { type RecordedError, recordError } from "../model/errors.ts";
import type { Verdict } from "../model/event.ts";
import type { Json } from "../model/json.ts";
import type { Run, StepRecord } from "../model/run.ts";
import type { Answered, ClaimedRun, RunEnd, Suspension } from "../store/store.ts";
import { InterruptedError, RuleCodeError } from "../workers/workers.ts";
import { Interruption, type StepOutcome, type Suspended } from "./outcome.ts";
import { Records } from "./records.ts";
import { askCondition } from "./rule_code.ts";
import { runRule } from "./rule_run.ts";
import type { RunnerOptions } from "./runner_options.ts";
import type { RuleVersion, RunContext } from "./step_frame.ts";
import { Waiting } from "./waiting.ts";

/** Delay before a run is executed again that failed because of the program, not because of its rule. */
const TROUBLE_DELAY = 30_000;

/** Runs one claimed run until it ends or is suspended, and records that. */
export class Execution {
  /**
   * Resolves when the run has ended or is suspended, and its child processes have ended. Never rejects. A new promise
   * replaces it when the run continues.
   */
  done: Promise<void>;
  #off = Promise.withResolvers<void>();
  readonly #stop = new AbortController();
  /** Set if it began before its run was on disk. */
  #confirmed: PromiseWithResolvers<void> | undefined;
  /** From the monotonic clock. */
  readonly #begun: number;
  #replaces: Pick<Answered, "replaces" | "replaced"> = { replaces: [] };
  #context: RunContext | undefined;
  /** It was woken before it had a context. */
  #wokenEarly = false;
  /** It was given up, while it slept or before its run was on disk: its outcome is ignored. */
  #forgotten = false;
  /** The time spent at its last suspension: if the store has another one by now, another replica has executed the run since. */
  #left: number | undefined;

  /** @param onLeaving called right after the store was asked to free the run's place, so that claims share its sync */
  constructor(
    readonly claim: ClaimedRun,
    private readonly options: RunnerOptions,
    getVersion: (version: string) => Promise<RuleVersion | undefined>,
    private readonly onLeaving: () => void,
  ) {
    this.#begun = options.clock.ticks();
    this.done = this.#off.promise;
    void this.#perform(getVersion);
  }

  /** Runs that this one replaces (mode `restart`), known after its function `if` said yes: they must end. */
  get replaces(): Pick<Answered, "replaces" | "replaced"> {
    return this.#replaces;
  }

  /** Whether it only waits for a time. */
  get idle(): boolean {
    return this.#context?.waiting.idle === true;
  }

  /** Suspends it if it is only held in memory; it continues later from its records. */
  suspend(): void {
    this.#context?.waiting.suspend();
  }

  /** How many branches wait while the run sleeps; 0 if it does not. */
  get sleeping(): number {
    const waiting = this.#context?.waiting;
    return waiting?.asleep === true ? waiting.size : 0;
  }

  /**
   * The run was claimed again: it continues in memory.
   * @returns false if it must be executed anew, because more has changed than that waits ended
   */
  resume({ run, steps, alone }: ClaimedRun): boolean {
    const { waiting, records } = this.#context!;
    const isSame = run.version === this.claim.run.version && alone === this.claim.alone && run.spent === this.#left &&
      records.canResumeWith(steps);
    if (!isSame) return false;
    this.#off = Promise.withResolvers();
    this.done = this.#off.promise;
    if (this.options.localize === undefined) waiting.rouse(records.refresh(steps));
    else void this.#rouse(steps, this.options.localize);
    return true;
  }

  /** Gives up a sleeping run, in memory only. */
  forget(): void {
    this.#forgotten = true;
    this.suspend();
  }

  /** Its run is not on disk yet: until {@link confirm} or {@link abandon} a failure to record anything says nothing about it. */
  beginAhead(): void {
    this.#confirmed = Promise.withResolvers();
  }

  /** Its run is on disk. */
  confirm(): void {
    this.#confirmed?.resolve();
  }

  /**
   * Gives up a run that is not on disk; nothing of it is recorded. But a database may accept later what was refused because it took too
   * long: then the records that were written until now are accepted with the event, and the run is queued again.
   */
  abandon(): void {
    this.#forgotten = true;
    this.#stop.abort(new Interruption("shutdown", "Its event was not accepted"));
    this.confirm();
  }

  /** Ends it; see {@link Interruption}. A run that sleeps, or is about to, is suspended instead. */
  interrupt(reason: Interruption): void {
    if (this.sleeping === 0) this.#stop.abort(reason);
  }

  /** The store changed what the run waits for: the waiting branches check their records. Never rejects. */
  async wake(): Promise<void> {
    const { claim: { run }, options: { store, localize, onError } } = this;
    if (this.#context === undefined) return void (this.#wokenEarly = true);
    try {
      const trace = await store.getRun(run.id);
      const steps = trace && await (localize?.(trace.steps) ?? trace.steps);
      const { records, waiting } = this.#context;
      // It is being suspended. Whoever claims it next, perhaps this execution, sees what has changed.
      if (waiting.asleep) return;
      if (steps !== undefined) records.refresh(steps);
      waiting.wake();
    } catch (error) {
      onError(`Cannot wake run ${run.id} of ${run.rule}; it continues when it is next due`, error);
    }
  }

  /** Never rejects. */
  async #perform(getVersion: (version: string) => Promise<RuleVersion | undefined>): Promise<void> {
    try {
      await this.#execute(getVersion);
    } catch (error) {
      if (await this.#counts()) await this.#trouble(error);
    } finally {
      this.#off.resolve();
    }
  }

  async #execute(getVersion: (version: string) => Promise<RuleVersion | undefined>): Promise<void> {
    const { asksFirst, alone } = this.claim;
    const { store, clock, localize } = this.options;
    const { run, steps } = localize ? await localize(this.claim) : this.claim;
    const version = await getVersion(run.version);
    if (version === undefined) {
      const message =
        `Cannot run the run: version ${run.version} of ${run.rule} is not in the store; replay it with the rule as it is now`;
      return await this.#finish("failed", { name: "Error", message });
    }
    const records = new Records(run, steps, store, clock, this.options);
    const { rule } = version;
    const context: RunContext = {
      run,
      ...version,
      records,
      options: this.options,
      // A function that sleeps would keep its worker.
      waiting: new Waiting(clock, this.options.holds, rule.then === "function" ? undefined : (it) => this.#sleep(it)),
      end: () => ({ state: "succeeded", output: null, spent: this.#spent() }),
      leave: (written) => this.#leave(written),
    };
    this.#context = context;
    if (this.#wokenEarly) await this.wake();
    try {
      if (asksFirst) return await this.#ask(context);
      return await this.#end(await runRule(context, alone, this.#stop.signal));
    } catch (thrown) {
      if (await this.#counts()) await this.#answerThrown(thrown);
    }
  }

  /** Whether its outcome counts: not if it was given up. Of a run that is not on disk yet, waits until that is known. */
  async #counts(): Promise<boolean> {
    await this.#confirmed?.promise;
    return !this.#forgotten;
  }

  /** Continues with steps that another program may have recorded. Never rejects. */
  async #rouse(steps: StepRecord[], localize: NonNullable<RunnerOptions["localize"]>): Promise<void> {
    const { waiting, records } = this.#context!;
    try {
      waiting.rouse(records.refresh(await localize(steps)));
    } catch (error) {
      this.forget();
      await this.#trouble(error);
      this.#off.resolve();
    }
  }

  async #ask(context: RunContext): Promise<void> {
    const { run, alone } = this.claim;
    const { record, verdict } = await askCondition(context, alone, this.#stop.signal);
    const { store, clock } = this.options;
    const answered = await this.#leave(store.answerCondition(run.id, record, verdict, clock.now()));
    this.#replaces = answered;
    const { verdict: became } = answered;
    if (became.kind !== "started" && became.kind !== "held") await this.#announce(became);
  }

  /** The run is suspended, but stays in memory for as long as the runner keeps it. Never rejects. */
  async #sleep({ waitingFor, due }: Suspended): Promise<void> {
    try {
      await this.#suspend({ state: "waiting", waitingFor, due });
    } catch (error) {
      this.forget();
      await this.#trouble(error);
    }
    this.#off.resolve();
  }

  async #end(outcome: StepOutcome): Promise<void> {
    // Its event may have been accepted after all: the end of a run that has ended by then is reported like any other.
    if (this.#forgotten && this.#context?.records.endedRun !== true) return;
    switch (outcome.kind) {
      case "result":
        return await this.#finish("succeeded", undefined, outcome.output);
      case "stopped":
        return await this.#finish(outcome.as, undefined, outcome.reason, outcome.step);
      case "failed":
        return await this.#finish("failed", outcome.error, undefined, outcome.step);
      case "suspended":
        return await this.#suspend({ state: "waiting", waitingFor: outcome.waitingFor, due: outcome.due });
    }
  }

  /** Handles what ends an execution from outside; in most cases the run is not at fault. */
  async #answerThrown(thrown: unknown): Promise<void> {
    const { alone } = this.claim;
    const again = { state: "queued", due: this.options.clock.now() } as const;
    if (thrown instanceof Interruption && thrown.kind === "cancelled") {
      return await this.#finish("cancelled", { name: "Cancelled", message: thrown.message });
    }
    if (thrown instanceof Interruption) {
      return await this.#suspend({ ...again, waitingFor: "the program to start again" });
    }
    if (thrown instanceof InterruptedError) return await this.#suspend({ ...again, waitingFor: "another worker" });
    if (!(thrown instanceof RuleCodeError && thrown.blocked)) throw thrown;
    if (alone === 0) return await this.#suspend({ ...again, waitingFor: "a worker of its own", alone: alone + 1 });
    const error = recordError(thrown);
    await this.#finish("failed", { ...error, message: `Failed again in a worker of its own: ${error.message}` });
  }

  /** @param step the path of the step that failed the run, if it was a step */
  async #finish(state: RunEnd["state"], error?: RecordedError, output?: Json, step?: string): Promise<void> {
    const isStep = step !== undefined && this.#context?.records.get(step) !== undefined;
    const end: RunEnd = {
      state,
      spent: this.#spent(),
      ...(error && { error }),
      ...(output !== undefined && { output }),
      ...(state === "failed" && isStep && { failedStep: step }),
    };
    const endedAt = this.options.clock.now();
    if (!this.#context?.records.endedRun) {
      await this.#leave(this.options.store.finishRun(this.claim.run.id, end, endedAt));
    }
    const run: Run = { ...this.claim.run, state, spent: end.spent, endedAt };
    if (error) run.error = error;
    if (output !== undefined) run.output = output;
    this.options.onFinished?.(run);
  }

  async #suspend(suspension: Omit<Suspension, "spent">): Promise<void> {
    const { store, clock } = this.options;
    const spent = Math.round(this.#spent());
    this.#left = spent;
    await this.#leave(store.suspendRun(this.claim.run.id, { ...suspension, spent }, clock.now()));
  }

  #leave<T>(written: Promise<T>): Promise<T> {
    this.onLeaving();
    return written;
  }

  /** Reads the run back, because the store decided how it ended. */
  async #announce(verdict: Verdict): Promise<void> {
    const { store, onFinished } = this.options;
    const trace = onFinished && await store.getRun(this.claim.run.id);
    if (trace) onFinished(trace.run, verdict);
  }

  /** The program failed, not the run: the run is put back. If that fails too, it stays leased until the next start. */
  async #trouble(error: unknown): Promise<void> {
    const { id, rule } = this.claim.run;
    this.options.onError(`Cannot continue run ${id} of ${rule}`, error);
    const due = this.options.clock.now() + TROUBLE_DELAY;
    try {
      await this.#suspend({ state: "queued", waitingFor: "the program to recover", due });
    } catch (again) {
      this.options.onError(`Cannot put back run ${id} of ${rule}; it continues after the next start`, again);
    }
  }

  #spent(): number {
    return this.claim.run.spent + this.options.clock.ticks() - this.#begun - (this.#context?.waiting.held ?? 0);
  }
}

/** Reports the end of runs that ended while nothing executed them. */
export async function announceEnds(runs: string[], { store, onFinished, onError }: RunnerOptions): Promise<void> {
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
