import type { Outcome } from "../action/action.ts";
import {
  InterruptedError,
  type PerformStep,
  RuleCodeError,
  type StepAnswer,
  type StepCall,
} from "../isolate/isolate.ts";
import { reviveThrown } from "../isolate/thrown.ts";
import { recordError, TerminalError } from "../model/errors.ts";
import type { Json } from "../model/json.ts";
import { type ActionStep, performAction } from "./action_step.ts";
import { attemptStep, computeStep, type Task } from "./attempt.ts";
import { performStop } from "./control.ts";
import { type Frame, type Life, rootFrame } from "./frame.ts";
import { stepKinds } from "./index.ts";
import { Interruption } from "./interruption.ts";
import { type Parked, parkedTogether, type StepFailure, type StepOutcome } from "./outcome.ts";
import { ReplayOrder } from "./replay_order.ts";
import { STANDARD_DELAYS } from "./retry.ts";
import { codeOf, codeScope } from "./rule_code.ts";
import { performSteps } from "./sequence.ts";
import { checkCall, type CheckedCall } from "./step_options.ts";

/**
 * Milliseconds that a function gets to ask for another step when all it has asked for are parked. Parking a little
 * early would only repeat what the function does between steps.
 */
const QUIET = 20;

/** The kind of step that the function computes itself. */
const DO = "do";

/** A step that the function has asked for. */
interface AskedStep {
  path: string;
  /** Settles when the step has ended or is parked. */
  outcome: Promise<StepOutcome>;
  /** What the function gets in the end. */
  answer: Promise<StepAnswer>;
  /** Of a `do`. */
  computing?: Computing;
}

/** A `do`: the function itself computes, between our `compute` and its next call. */
interface Computing {
  asked: PromiseWithResolvers<StepAnswer>;
  result: PromiseWithResolvers<Outcome>;
  state: "recorded" | "asked" | "computed";
}

/**
 * One life of a TypeScript rule's function. It is performed from its top; steps that are recorded answer at once. It ends
 * with the function, with a `stop`, or parked when everything that the function still waits for is.
 */
export class FunctionRun {
  readonly #order: ReplayOrder;
  readonly #frame: Frame;
  readonly #stop = new AbortController();
  readonly #steps = new Map<StepCall, AskedStep>();
  readonly #over = Promise.withResolvers<StepOutcome>();
  readonly #parked: Parked[] = [];
  #open = 0;
  #asked = 0;
  #failure: StepFailure | undefined;

  constructor(private readonly life: Life, private readonly alone: number, signal: AbortSignal) {
    this.#order = new ReplayOrder(life.rule.id, life.records.list());
    this.#frame = rootFrame(life, AbortSignal.any([signal, this.#stop.signal]));
    this.#over.promise.catch(() => {});
  }

  /**
   * @returns what the function returned, or how else the run goes on
   * @throws Interruption, InterruptedError, or RuleCodeError where the worker was ended
   */
  async perform(): Promise<StepOutcome> {
    const { rule, options } = this.life;
    const code = options.isolates.runRule(
      codeOf(rule),
      codeScope(this.life, this.alone),
      (call, computed) => this.#perform(call, computed),
      this.#frame.signal,
    );
    const returned = code.then((output) => this.#afterReturn(output), (thrown) => this.#afterThrow(thrown));
    try {
      const outcome = await Promise.race([returned, this.#over.promise]);
      if (outcome.kind !== "parked") this.#order.end();
      return outcome;
    } catch (thrown) {
      if (!(thrown instanceof TerminalError)) throw thrown;
      return { kind: "failed", error: recordError(thrown), step: "then" };
    } finally {
      this.#over.resolve({ kind: "result", output: null });
      this.#stop.abort(new Interruption("cancelled", "The run ended before this step did: is an await missing?"));
      await Promise.allSettled([returned, ...[...this.#steps.values()].map((step) => step.answer)]);
    }
  }

  /** A step that was not awaited is still the run's: it ends, or is parked, first. */
  async #afterReturn(output: Json): Promise<StepOutcome> {
    const open = [...this.#steps.values()].filter((step) => step.computing?.state !== "asked");
    await Promise.allSettled(open.map((step) => step.outcome));
    return this.#parked.length > 0 ? parkedTogether(this.#parked) : { kind: "result", output };
  }

  #afterThrow(thrown: unknown): StepOutcome {
    const { signal } = this.#frame;
    if (signal.aborted) throw signal.reason;
    if (thrown instanceof InterruptedError || (thrown instanceof RuleCodeError && thrown.blocked)) throw thrown;
    const error = recordError(thrown);
    const failed = this.#failure?.error.message === error.message ? this.#failure : undefined;
    return { kind: "failed", error, step: failed?.step ?? "then" };
  }

  async #perform(call: StepCall, computed: Parameters<PerformStep>[1]): Promise<StepAnswer> {
    try {
      const step = this.#steps.get(call) ?? this.#begin(call);
      if (step.computing === undefined) return await step.answer;
      if (computed === undefined) return await Promise.race([step.computing.asked.promise, step.answer]);
      step.computing.state = "computed";
      if ("error" in computed) step.computing.result.reject(reviveThrown(computed.error));
      else step.computing.result.resolve(computed);
      return await step.answer;
    } catch (thrown) {
      this.#over.reject(thrown);
      return { kind: "abandon" };
    }
  }

  #begin(call: StepCall): AskedStep {
    const asked = this.#order.ask(call);
    const computing: Computing | undefined = call.kind === DO
      ? { asked: Promise.withResolvers(), result: Promise.withResolvers(), state: "recorded" }
      : undefined;
    const outcome = this.#start(call, asked, computing);
    const answer = outcome.then((outcome) => this.#end(asked.path, outcome, computing));
    const step: AskedStep = { path: asked.path, outcome, answer, computing };
    this.#open++;
    this.#asked++;
    this.#steps.set(call, step);
    answer.catch((thrown) => this.#over.reject(thrown));
    return step;
  }

  #start(
    call: StepCall,
    { path, after }: { path: string; after?: string },
    computing?: Computing,
  ): Promise<StepOutcome> {
    const { signal } = this.#frame;
    let checked: CheckedCall;
    try {
      checked = checkCall(path, call.kind === DO ? undefined : stepKinds[call.kind], call.args);
    } catch (thrown) {
      return computeStep(this.life, { path, kind: call.kind, after }, signal, () => Promise.reject(thrown));
    }
    const { args, timeout, retry } = checked;
    const step = { path, kind: call.kind, after, timeout, retry, args: () => Promise.resolve(args) };
    if (computing !== undefined) return attemptStep(this.life, computation(step, computing), signal);
    if (call.kind === "stop") return performStop(step, this.life, signal);
    return performAction({ ...step, target: args.call as string | undefined }, this.#frame, performSteps);
  }

  /** Tells the function how its step ended, unless the run goes no further here. */
  async #end(path: string, outcome: StepOutcome, computing?: Computing): Promise<StepAnswer> {
    // The function hangs in a computation that took too long; it learns of that when it is performed again.
    const hangs = computing?.state === "asked" && outcome.kind === "failed";
    const due = this.life.options.clock.now();
    const ended: StepOutcome = hangs
      ? { kind: "parked", due, waitingFor: "its function to be performed again" }
      : outcome;
    switch (ended.kind) {
      case "result":
      case "failed":
        this.#open--;
        this.#order.answer(path);
        this.#parkWhenQuiet();
        if (ended.kind === "result") return { kind: "result", output: ended.output };
        this.#failure = ended;
        return { kind: "failed", error: ended.error };
      case "parked":
        this.#parked.push(ended);
        this.#parkWhenQuiet();
        break;
      case "stopped":
        this.#over.resolve(ended);
    }
    await this.#over.promise;
    return { kind: "abandon" };
  }

  #parkWhenQuiet(): void {
    const isQuiet = () => this.#parked.length > 0 && this.#open === this.#parked.length;
    const asked = this.#asked;
    if (isQuiet()) {
      setTimeout(() => {
        if (isQuiet() && asked === this.#asked) this.#over.resolve(parkedTogether(this.#parked));
      }, QUIET);
    }
  }
}

function computation(step: Omit<ActionStep, "args">, computing: Computing): Task {
  return {
    ...step,
    retry: step.retry ?? { attempts: 1, ...STANDARD_DELAYS },
    worthRetrying: () => true,
    prepare: () => Promise.resolve(null),
    act: (_args, attempt, signal) => {
      signal.addEventListener("abort", () => computing.result.reject(signal.reason));
      computing.state = "asked";
      computing.asked.resolve({ kind: "compute", attempt, path: step.path });
      return computing.result.promise;
    },
  };
}
