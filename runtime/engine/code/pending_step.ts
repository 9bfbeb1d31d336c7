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
  /** Of one that the function computes. */
  readonly computing?: ComputedStep;
  /** Settles when it has ended or is suspended. */
  outcome!: Promise<StepOutcome>;
  /** What the function gets in the end. */
  answer!: Promise<StepAnswer>;
  /** Of an `each` with a rate. */
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

  /** It has branches: others perform the steps in them. */
  get isBranching(): boolean {
    return BRANCHING.has(this.kind);
  }

  /** What ends it from outside. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  abort(reason: unknown): void {
    this.#controller.abort(reason);
  }
}
