import { InterruptedError, RuleCodeError } from "../workers/workers.ts";
import { type RecordedError, recordError } from "../model/errors.ts";
import type { Json } from "../model/json.ts";
import type { Rule } from "../model/rule.ts";
import type { Verdict } from "../model/verdict.ts";
import type { ClaimedRun, Park, RunEnd } from "../store/store.ts";
import { askCondition } from "./condition.ts";
import type { Life } from "./frame.ts";
import { Interruption } from "./interruption.ts";
import type { Parked, StepOutcome } from "./outcome.ts";
import { Records } from "./records.ts";
import { performRule } from "./rule_run.ts";
import type { RunnerOptions } from "./runner_options.ts";
import { servicesFor } from "./services.ts";
import { Waiting } from "./waiting.ts";

/** How long a run is left alone that could not be performed because of the program, not of itself. */
const TROUBLE_DELAY = 30_000;

/** Performs one claimed run until it has ended or is parked, and writes that. */
export class Execution {
  /** Resolves when the run is off our hands, with its children gone. Never rejects. Another one once it goes on again. */
  done: Promise<void>;
  #off = Promise.withResolvers<void>();
  readonly #stop = new AbortController();
  /** By the clock that nobody sets. */
  readonly #begun: number;
  #replaces: string[] = [];
  #life: Life | undefined;
  /** Woken before there was anything to wake. */
  #wokenEarly = false;
  /** Given up while it slept: what comes of it counts no more. */
  #forgotten = false;

  /** @param onLeaving called when what frees its place for others has just been asked of the store: they go along */
  constructor(
    readonly claim: ClaimedRun,
    private readonly options: RunnerOptions,
    getRule: (version: string) => Promise<Rule | undefined>,
    private readonly onLeaving: () => void,
  ) {
    this.#begun = options.clock.ticks();
    this.done = this.#off.promise;
    this.#perform(getRule).catch((error) => this.#trouble(error)).finally(() => this.#off.resolve());
  }

  /** Runs that this one replaces (mode `restart`), once its function `if` said yes: they have to end. */
  get replaces(): string[] {
    return this.#replaces;
  }

  /** Whether it does nothing but wait for a time. */
  get idle(): boolean {
    return this.#life?.waiting.idle === true;
  }

  /** It goes on later from what is recorded, where it is only held. */
  park(): void {
    this.#life?.waiting.park();
  }

  /** How many branches wait while the run sleeps; 0 where it does not. */
  get sleeping(): number {
    const waiting = this.#life?.waiting;
    return waiting?.asleep === true ? waiting.size : 0;
  }

  /**
   * The run was claimed again: it goes on where it slept.
   * @returns false where it has to be performed anew, as somebody has changed more of it than a wait
   */
  goOn({ run, steps, alone }: ClaimedRun): boolean {
    const { waiting, records } = this.#life!;
    const isSame = run.version === this.claim.run.version && alone === this.claim.alone && records.goOnWith(steps);
    if (!isSame) return false;
    this.#off = Promise.withResolvers();
    this.done = this.#off.promise;
    waiting.rouse(records.refresh(steps));
    return true;
  }

  /** Gives up a run that sleeps: in memory only. */
  forget(): void {
    this.#forgotten = true;
    this.park();
  }

  /** Ends it; see {@link Interruption}. One that sleeps, or is about to, is parked. */
  interrupt(reason: Interruption): void {
    if (this.sleeping === 0) this.#stop.abort(reason);
  }

  /** The store changed what the run waits for: those that wait here look at what became of theirs. Never rejects. */
  async wake(): Promise<void> {
    const { claim: { run }, options: { store, onError } } = this;
    if (this.#life === undefined) return void (this.#wokenEarly = true);
    try {
      const trace = await store.getRun(run.id);
      if (trace !== undefined) this.#life.records.refresh(trace.steps);
      this.#life.waiting.wake();
    } catch (error) {
      onError(`Cannot wake run ${run.id} of ${run.rule}; it goes on when it is next due`, error);
    }
  }

  async #perform(getRule: (version: string) => Promise<Rule | undefined>): Promise<void> {
    const { run, steps, asksFirst, alone } = this.claim;
    const { store, clock } = this.options;
    const rule = await getRule(run.version);
    if (rule === undefined) {
      const message =
        `Cannot perform the run: version ${run.version} of ${run.rule} is not in the store; replay it with the rule as it is now`;
      return await this.#finish("failed", { name: "Error", message });
    }
    const records = new Records(run, steps, store, clock, this.options);
    const services = servicesFor(rule, this.options);
    const life: Life = {
      run,
      rule,
      records,
      services,
      options: this.options,
      // A function would keep its worker.
      waiting: new Waiting(clock, this.options.holds, rule.then === "function" ? undefined : (it) => this.#sleep(it)),
      end: () => ({ state: "succeeded", output: null, spent: this.#spent() }),
      leave: (written) => this.#leave(written),
    };
    this.#life = life;
    if (this.#wokenEarly) await this.wake();
    try {
      if (asksFirst) return await this.#ask(life);
      return await this.#end(await performRule(life, alone, this.#stop.signal));
    } catch (thrown) {
      return await this.#answerThrown(thrown);
    }
  }

  async #ask(life: Life): Promise<void> {
    const { run, alone } = this.claim;
    const { record, verdict } = await askCondition(life, alone, this.#stop.signal);
    const { store, clock } = this.options;
    const answered = await this.#leave(store.answerCondition(run.id, record, verdict, clock.now()));
    this.#replaces = answered.replaces;
    const { verdict: became } = answered;
    if (became.kind !== "started" && became.kind !== "held") await this.#announce(became);
  }

  /** The run is parked, and stays in memory: whoever performs runs says for how long. Never rejects. */
  async #sleep({ waitingFor, due }: Parked): Promise<void> {
    try {
      await this.#park({ state: "waiting", waitingFor, due });
    } catch (error) {
      this.forget();
      await this.#trouble(error);
    }
    this.#off.resolve();
  }

  async #end(outcome: StepOutcome): Promise<void> {
    if (this.#forgotten) return;
    switch (outcome.kind) {
      case "result":
        return await this.#finish("succeeded", undefined, outcome.output);
      case "stopped":
        return await this.#finish(outcome.as, undefined, outcome.reason, outcome.step);
      case "failed":
        return await this.#finish("failed", outcome.error, undefined, outcome.step);
      case "parked":
        return await this.#park({ state: "waiting", waitingFor: outcome.waitingFor, due: outcome.due });
    }
  }

  /** What ends a life of a run from outside: most of it is nothing that the run could do about. */
  async #answerThrown(thrown: unknown): Promise<void> {
    const { alone } = this.claim;
    const again = { state: "queued", due: this.options.clock.now() } as const;
    if (thrown instanceof Interruption && thrown.kind === "cancelled") {
      return await this.#finish("cancelled", { name: "Cancelled", message: thrown.message });
    }
    if (thrown instanceof Interruption) return await this.#park({ ...again, waitingFor: "the program to start again" });
    if (thrown instanceof InterruptedError) return await this.#park({ ...again, waitingFor: "another worker" });
    if (!(thrown instanceof RuleCodeError && thrown.blocked)) throw thrown;
    if (alone === 0) return await this.#park({ ...again, waitingFor: "a worker of its own", alone: alone + 1 });
    const error = recordError(thrown);
    await this.#finish("failed", { ...error, message: `Failed again in a worker of its own: ${error.message}` });
  }

  /** @param step the path of the step that failed it, unless it was none of them */
  async #finish(state: RunEnd["state"], error?: RecordedError, output?: Json, step?: string): Promise<void> {
    const isStep = step !== undefined && this.#life?.records.get(step) !== undefined;
    const end: RunEnd = {
      state,
      spent: this.#spent(),
      ...(error && { error }),
      ...(output !== undefined && { output }),
      ...(state === "failed" && isStep && { failedStep: step }),
    };
    const endedAt = this.options.clock.now();
    if (!this.#life?.records.endedRun) await this.#leave(this.options.store.finishRun(this.claim.run.id, end, endedAt));
    const ended = { state, spent: end.spent, ...(error && { error }), ...(output !== undefined && { output }) };
    this.options.onFinished?.({ ...this.claim.run, ...ended, endedAt });
  }

  async #park(park: Omit<Park, "spent">): Promise<void> {
    const { store, clock } = this.options;
    await this.#leave(store.parkRun(this.claim.run.id, { ...park, spent: this.#spent() }, clock.now()));
  }

  #leave<T>(written: Promise<T>): Promise<T> {
    this.onLeaving();
    return written;
  }

  /** Reads the run back: the store decided how it ended. */
  async #announce(verdict: Verdict): Promise<void> {
    const { store, onFinished } = this.options;
    const trace = onFinished && await store.getRun(this.claim.run.id);
    if (trace) onFinished(trace.run, verdict);
  }

  /** The program failed, not the run: it is put back, or stays leased until the next start where even that fails. */
  async #trouble(error: unknown): Promise<void> {
    const { id, rule } = this.claim.run;
    this.options.onError(`Cannot go on with run ${id} of ${rule}`, error);
    const due = this.options.clock.now() + TROUBLE_DELAY;
    try {
      await this.#park({ state: "queued", waitingFor: "the program to recover", due });
    } catch (again) {
      this.options.onError(`Cannot put back run ${id} of ${rule}; it goes on after the next start`, again);
    }
  }

  #spent(): number {
    return this.claim.run.spent + this.options.clock.ticks() - this.#begun - (this.#life?.waiting.held ?? 0);
  }
}
