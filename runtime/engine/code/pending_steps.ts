import { BY_FUNCTION } from "../../actions/patch.ts";
import type { Json } from "../../model/json.ts";
import { BRANCHING, type Computed, isBelow, type StepAnswer, type StepCall } from "../../workers/workers.ts";
import type { StepOutcome } from "../outcome.ts";
import type { Pace } from "../steps/each.ts";

/** The steps that a rule's function has asked for and that have no answer yet. */
export class PendingSteps {
  readonly #byCall = new WeakMap<StepCall, PendingStep>();
  readonly #open = new Map<string, PendingStep>();

  add(step: PendingStep): void {
    this.#byCall.set(step.call, step);
    this.#open.set(step.path, step);
  }

  remove(step: PendingStep): void {
    this.#open.delete(step.path);
  }

  ofCall(call: StepCall): PendingStep | undefined {
    return this.#byCall.get(call);
  }

  at(path: string): PendingStep | undefined {
    return this.#open.get(path);
  }

  all(): PendingStep[] {
    return [...this.#open.values()];
  }

  /**
   * Marks the steps in these branches of a step as lost: no code waits for their answers.
   * @returns the outcomes of the other steps inside it, which its code did not await
   */
  async giveUp(path: string, branches: string[]): Promise<StepOutcome[]> {
    const inside = this.#inside(path);
    for (const step of inside) step.lost ||= branches.some((branch) => isBelow(step.path, branch));
    return await Promise.all(inside.filter(({ lost }) => !lost).map(({ outcome }) => outcome));
  }

  /** Ends the lost steps inside a step; they have stopped when this resolves. */
  async endLosers(path: string, reason: unknown): Promise<void> {
    const losers = this.#inside(path).filter(({ lost }) => lost);
    for (const loser of losers) loser.abort(reason);
    await Promise.allSettled(losers.map(({ outcome }) => outcome));
  }

  #inside(path: string): PendingStep[] {
    return this.all().filter((step) => isBelow(step.path, path));
  }
}

/** A step that a rule's function has asked for, until it has its answer. */
export class PendingStep {
  readonly path: string;
  readonly kind: string;
  /** See {@link StepRecord.after}. */
  readonly after?: string;
  /** Set if the function computes the step. */
  readonly computing?: ComputedStep;
  /** Settles when it has ended or is suspended. */
  outcome!: Promise<StepOutcome>;
  /** The final answer to the function. */
  answer!: Promise<StepAnswer>;
  /** Set for an `each` with a rate. */
  pace?: Pace;
  /** Its branch was abandoned: no code waits for its answer. */
  lost = false;
  readonly #controller = new AbortController();

  constructor(readonly call: StepCall, { path, after }: { path: string; after?: string }) {
    this.path = path;
    this.kind = call.kind;
    if (after !== undefined) this.after = after;
    if (this.kind === "do" || this.isBranching || isByFunction(call)) {
      this.computing = new ComputedStep(call.begunAt !== undefined);
    }
  }

  /** Whether it has branches, whose steps are pending steps of their own. */
  get isBranching(): boolean {
    return BRANCHING.has(this.kind);
  }

  /** Ends the step from outside. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  abort(reason: unknown): void {
    this.#controller.abort(reason);
  }
}

/** A `patch` whose function makes the changed item. */
function isByFunction({ kind, args }: StepCall): boolean {
  return kind === "patch" && args.patch === BY_FUNCTION;
}

/** A step that the function computes: connects the engine's `compute` with the function's next call. */
class ComputedStep {
  /** The answer to the function's call: to compute. */
  #asked = Promise.withResolvers<StepAnswer>();
  /** What the function reports; set while it computes. */
  #said: PromiseWithResolvers<Computed> | undefined;
  /** The function did not finish in time, and cannot be asked again in this execution. */
  hangs = false;

  /** @param isBegun the function computes its first attempt without being asked */
  constructor(isBegun: boolean) {
    if (isBegun) this.#said = Promise.withResolvers();
  }

  get asked(): Promise<StepAnswer> {
    return this.#asked.promise;
  }

  /**
   * Lets the function compute.
   * @throws the signal's reason
   */
  async ask(step: { path: string; attempt: number; given?: Json }, signal: AbortSignal): Promise<Computed> {
    const isBegun = this.#said !== undefined;
    const said = this.#said ??= Promise.withResolvers<Computed>();
    const abort = () => {
      this.hangs = true;
      said.reject(signal.reason);
    };
    signal.addEventListener("abort", abort);
    try {
      if (!isBegun) this.#asked.resolve({ kind: "compute", ...step });
      return await said.promise;
    } finally {
      this.#said = undefined;
      signal.removeEventListener("abort", abort);
    }
  }

  /** The function reports its result. */
  say(computed: Computed): void {
    this.#asked = Promise.withResolvers();
    this.#said?.resolve(computed);
  }
}
