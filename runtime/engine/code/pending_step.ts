import { BRANCHING, type StepAnswer, type StepCall } from "../../workers/workers.ts";
import { ComputedStep } from "./computed_step.ts";
import type { StepOutcome } from "../outcome.ts";
import type { Pace } from "../steps/pace.ts";

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
  /** Its branch was given up: nobody waits for its answer. */
  lost = false;
  readonly #controller = new AbortController();

  constructor(readonly call: StepCall, { path, after }: { path: string; after?: string }) {
    this.path = path;
    this.kind = call.kind;
    if (after !== undefined) this.after = after;
    if (this.kind === "do" || this.isBranching) this.computing = new ComputedStep();
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
