import type { StepCall } from "../../workers/workers.ts";
import { isBelow } from "../../workers/step_path.ts";
import { PendingStep } from "./pending_step.ts";
import type { StepOutcome } from "../outcome.ts";

/** The steps that a rule's function has asked for and not yet been answered. */
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
   * Marks the steps in these branches of a step as lost: nobody waits for their answers.
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
