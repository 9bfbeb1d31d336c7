import {
  type Computed,
  InterruptedError,
  ITEM,
  RuleCodeError,
  type StepAnswer,
  type StepCall,
} from "../../workers/workers.ts";
import { reviveThrown, stepOf } from "../../workers/thread_messages.ts";
import type { Outcome } from "../../actions/action.ts";
import { recordError, TerminalError } from "../../model/errors.ts";
import { isObject, type Json, type JsonObject } from "../../model/json.ts";
import { isFinalStep } from "../../model/run.ts";
import { resolvedArgs } from "../../language/kind.ts";
import { nameSecrets } from "../../language/expressions/recorded_args.ts";
import { PendingStep, PendingSteps } from "./pending_steps.ts";
import { mayAct } from "../acting.ts";
import { abandon, outcomeOf } from "../attempt.ts";
import { endComposite, type Ending } from "../steps/branch_set.ts";
import { fitting, Pace } from "../steps/each.ts";
import { rootFrame, type RunContext, type StepFrame } from "../step_frame.ts";
import { FunctionActivity } from "../waiting.ts";
import { eachSchemas, runCall } from "./function_step.ts";
import { Interruption, type StepOutcome, type Suspended, suspendedTogether } from "../outcome.ts";
import { checkSize } from "../records.ts";
import { ReplayOrder } from "./replay.ts";
import { codeOf, codeScope } from "../rule_code.ts";

const UNAWAITED = "The run ended before this step did: is an await missing?";
const ABANDON: StepAnswer = { kind: "abandon" };
const LOST: StepAnswer = { kind: "abandon", lost: true };

/**
 * One execution of a TypeScript rule's function. The function is called from the top; recorded steps answer at once. The
 * execution ends with the function, with a `stop`, or suspended when the function and all steps that it has asked for wait.
 */
export class FunctionRun {
  readonly #order: ReplayOrder;
  readonly #frame: StepFrame;
  readonly #activity: FunctionActivity;
  readonly #steps = new PendingSteps();
  readonly #suspended = new Map<PendingStep, Suspended>();
  readonly #over = Promise.withResolvers<StepOutcome>();
  /** How many steps the engine executes, including those that wait. */
  #working = 0;
  /** How many steps the function computes. */
  #computing = 0;
  /** Called when no step is executed any more. */
  #onIdle = () => {};

  constructor(private readonly context: RunContext, private readonly alone: number, signal: AbortSignal) {
    this.#order = new ReplayOrder(context.rule.id, context.records.list());
    this.#frame = rootFrame(context, signal);
    this.#over.promise.catch(() => {});
    const isWaiting = () => this.#computing === 0 && this.#working + this.#suspended.size > 0;
    const onRest = () => this.#suspendIfAllWait();
    this.#activity = new FunctionActivity(context.waiting, isWaiting, onRest, context.options.holds);
  }

  /**
   * @returns what the function returned, or how else the execution ended
   * @throws Interruption, InterruptedError, or RuleCodeError if the worker was ended
   */
  async execute(): Promise<StepOutcome> {
    const { signal } = this.#frame;
    const held = mayAct(this.context.options, signal);
    if (held !== undefined) await held;
    const done = new AbortController();
    const abort = () => {
      this.#abort(signal.reason);
      done.abort(signal.reason);
    };
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort);
    const returned = this.#runCode(done.signal);
    let reason = new Interruption("shutdown", "The run continues in another context");
    try {
      const outcome = await this.#end(returned);
      if (outcome.kind === "stopped") reason = new Interruption("cancelled", `Step "${outcome.step}" ended the run`);
      else if (outcome.kind !== "suspended") reason = new Interruption("cancelled", UNAWAITED);
      return outcome;
    } finally {
      this.#over.resolve({ kind: "result", output: null });
      signal.removeEventListener("abort", abort);
      this.#abort(reason);
      done.abort(reason);
      await Promise.allSettled([returned, ...this.#steps.all().map(({ answer }) => answer)]);
      this.#activity.close();
    }
  }

  async #end(returned: Promise<StepOutcome>): Promise<StepOutcome> {
    try {
      const outcome = await Promise.race([returned, this.#over.promise]);
      if (outcome.kind !== "suspended") this.#order.end();
      return outcome;
    } catch (thrown) {
      if (!(thrown instanceof TerminalError)) throw thrown;
      return { kind: "failed", error: recordError(thrown), step: "then" };
    }
  }

  async #runCode(signal: AbortSignal): Promise<StepOutcome> {
    const { rule, options: { isolates } } = this.context;
    const execute = (call: StepCall, computed?: Computed) => this.#execute(call, computed);
    try {
      const scope = codeScope(this.context, this.alone);
      const output = await isolates.runRule(codeOf(rule), scope, execute, signal, () => this.#activity.markQuiet());
      checkSize("then", output);
      return await this.#afterReturn(output);
    } catch (thrown) {
      if (this.#frame.signal.aborted) throw this.#frame.signal.reason;
      if (thrown instanceof InterruptedError || (thrown instanceof RuleCodeError && thrown.blocked)) throw thrown;
      return { kind: "failed", error: recordError(thrown), step: stepOf(thrown) ?? "then" };
    }
  }

  /** A step that was not awaited still belongs to the run, which waits until it ends or is suspended. */
  async #afterReturn(output: Json): Promise<StepOutcome> {
    const idle = new Promise<void>((resolve) => this.#onIdle = resolve);
    this.#activity.end();
    if (this.#working > 0) await idle;
    return this.#suspended.size > 0 ? suspendedTogether([...this.#suspended.values()]) : { kind: "result", output };
  }

  /** The engine's side of one call; see {@link RunStep}. */
  async #execute(call: StepCall, computed?: Computed): Promise<StepAnswer | undefined> {
    this.#activity.markWorking();
    try {
      if (call.kind === ITEM) return await this.#admit(call);
      const step = this.#steps.ofCall(call) ?? this.#begin(call);
      if (computed !== undefined) step.computing!.say(computed);
      else if (call.begunAt !== undefined) return undefined;
      const answer = await (step.computing ? Promise.race([step.computing.asked, step.answer]) : step.answer);
      const held = answer.kind === "abandon" ? undefined : mayAct(this.context.options, this.#frame.signal);
      if (held !== undefined) {
        this.#activity.markWorking();
        await held;
      }
      // It may have said that it had nothing to do before it knew of this answer.
      if (answer.kind !== "abandon") this.#activity.markWorking();
      // Count the answers in the order in which the function gets them.
      if (answer.kind === "result" || answer.kind === "failed") this.#order.answer(step.path);
      return answer;
    } catch (thrown) {
      this.#over.reject(thrown);
      return ABANDON;
    }
  }

  #begin(call: StepCall): PendingStep {
    const step = new PendingStep(call, this.#order.ask(call));
    if (this.#frame.signal.aborted) step.abort(this.#frame.signal.reason);
    this.#steps.add(step);
    step.outcome = this.#outcomeOf(step);
    step.answer = this.#answer(step);
    step.answer.catch((thrown) => this.#over.reject(thrown));
    return step;
  }

  async #outcomeOf(step: PendingStep): Promise<StepOutcome> {
    this.#enter();
    try {
      let outcome = await runCall(step, this.#frame, {
        compute: (attempt, signal, given) => this.#compute(step, signal, { attempt, given }),
        branch: (args) => this.#branch(step, args),
      });
      // The function hangs in a computation that timed out; it gets the failure in its next execution.
      if (outcome.kind === "failed" && step.computing?.hangs) outcome = this.#againSoon();
      if (outcome.kind === "suspended") this.#suspended.set(step, outcome);
      else this.#activity.markWorking();
      return outcome;
    } finally {
      this.#leave();
    }
  }

  /** Answers the function with its step's outcome, unless this execution ends here. */
  async #answer(step: PendingStep): Promise<StepAnswer> {
    let outcome: StepOutcome;
    try {
      outcome = await step.outcome;
    } catch (thrown) {
      if (!step.lost) throw thrown;
      outcome = this.#againSoon();
    }
    if (step.lost) {
      this.#steps.remove(step);
      this.#suspended.delete(step);
      return LOST;
    }
    switch (outcome.kind) {
      case "result":
        this.#steps.remove(step);
        return { kind: "result", output: outcome.output };
      case "failed":
        this.#steps.remove(step);
        return { kind: "failed", error: { ...outcome.error, step: outcome.step } };
      case "stopped":
        this.#over.resolve(outcome);
    }
    await this.#over.promise;
    return ABANDON;
  }

  /** One attempt of a `do`, or of the function of a `patch`. */
  async #compute(
    { path, computing }: PendingStep,
    signal: AbortSignal,
    asked: { attempt: number; given?: Json },
  ): Promise<Outcome | Suspended> {
    if (computing!.hangs) return this.#againSoon();
    this.#computing++;
    try {
      const computed = await this.#leftToFunction(() => computing!.ask({ path, ...asked }, signal));
      if ("error" in computed) throw reviveThrown(computed.error);
      return { output: computed.output };
    } finally {
      this.#computing--;
      if (computing!.hangs) this.#activity.recheck();
    }
  }

  /** The function executes the branches of a step; their outcome is recorded here. */
  async #branch(step: PendingStep, args: JsonObject): Promise<StepOutcome> {
    const { path, kind, after, call, computing } = step;
    const { records, options: { clock, isolates } } = this.context;
    const recorded = records.get(path);
    if (recorded !== undefined && isFinalStep(recorded.state)) return outcomeOf(recorded);
    const startedAt = records.begunAt(path) ?? clock.now();
    if (kind === "each") {
      const { each, rate } = resolvedArgs(eachSchemas, args);
      if (rate !== undefined) step.pace = new Pace(this.context, path, each, rate);
    }
    const input = nameSecrets(call.args, isolates.handedSecrets(this.context.rule.version));
    const composite = { path, kind, input, ...(after !== undefined && { after }) };
    let computed: Computed;
    let unawaited: StepOutcome[];
    try {
      [computed, unawaited] = await this.#leftToFunction(async () => {
        const computed = await computing!.ask({ path, attempt: 1 }, step.signal);
        return [computed, await this.#steps.giveUp(path, computed.lost ?? [])];
      });
    } catch (thrown) {
      if (!step.signal.aborted) throw thrown;
      return await abandon(this.context, { ...composite, state: "waiting", attempts: 1, startedAt }, thrown);
    }
    // An item may still wait for its turn.
    step.abort(new Interruption("cancelled", `Step "${path}" is decided`));
    const suspended = unawaited.find((outcome) => outcome.kind === "suspended");
    if (suspended !== undefined) return suspended;
    const { lost = [] } = computed;
    this.#order.close(path, lost);
    const record = await endComposite(this.context, composite, startedAt, endingOf(step, computed), lost);
    await this.#steps.endLosers(path, new Interruption("cancelled", `Step "${path}" was decided without it`));
    return outcomeOf(record);
  }

  /** The next item of an `each` with a rate asks whether it may begin. */
  async #admit({ name, scope }: StepCall): Promise<StepAnswer> {
    const step = this.#steps.at(scope);
    if (step?.pace === undefined || step.lost) return LOST;
    this.#enter();
    try {
      const suspended = await step.pace.admit(Number(name), step.signal);
      if (suspended !== undefined) this.#suspended.set(step, suspended);
      else this.#activity.markWorking();
      if (suspended !== undefined) return ABANDON;
      await mayAct(this.context.options, step.signal);
      return { kind: "result", output: null };
    } catch (thrown) {
      if (step.signal.aborted) return LOST;
      throw thrown;
    } finally {
      this.#leave();
    }
  }

  /** While the function computes a step, the function counts as working, not the step. */
  async #leftToFunction<T>(compute: () => Promise<T>): Promise<T> {
    this.#activity.markWorking();
    this.#leave();
    try {
      return await compute();
    } finally {
      this.#enter();
    }
  }

  #enter(): void {
    this.#working++;
    this.context.waiting.enter();
  }

  #leave(): void {
    this.#working--;
    this.context.waiting.leave();
    if (this.#working === 0) this.#onIdle();
    this.#suspendIfAllWait();
  }

  #suspendIfAllWait(): void {
    if (this.#activity.works || this.#working > 0 || this.#suspended.size === 0) return;
    this.#over.resolve(suspendedTogether([...this.#suspended.values()]));
  }

  #againSoon(): Suspended {
    return {
      kind: "suspended",
      due: this.context.options.clock.now(),
      waitingFor: "its function to be executed again",
    };
  }

  #abort(reason: unknown): void {
    for (const step of this.#steps.all()) step.abort(reason);
  }
}

function endingOf({ path, kind }: PendingStep, computed: Computed): Ending {
  if ("output" in computed) {
    const { output } = computed;
    return { output: kind === "each" && isObject(output) ? fitting(output) : output };
  }
  const { step = path } = computed.error;
  return { kind: "failed", error: recordError(reviveThrown(computed.error)), step };
}
