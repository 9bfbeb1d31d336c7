import type { StepCall } from "../../workers/workers.ts";
import { isBelow } from "../../workers/step_path.ts";
import { PendingStep } from "./pending_step.ts";
import type { StepOutcome } from "../outcome.ts";

/** The steps that a rule's function has asked for and has no answer to yet. */
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
   * Nobody hears any more of steps in these branches of a step.
   * @returns how those inside it ended that stand in no such branch: its code did not wait for them
   */
  async giveUp(path: string, branches: string[]): Promise<StepOutcome[]> {
    const inside = this.#inside(path);
    for (const step of inside) step.lost ||= branches.some((branch) => isBelow(step.path, branch));
    return await Promise.all(inside.filter(({ lost }) => !lost).map(({ outcome }) => outcome));
  }

  /** Ends those inside a step that were given up: what they were doing is gone when this resolves. */
  async endLosers(path: string, reason: unknown): Promise<void> {
    const losers = this.#inside(path).filter(({ lost }) => lost);
    for (const loser of losers) loser.abort(reason);
    await Promise.allSettled(losers.map(({ outcome }) => outcome));
  }

  #inside(path: string): PendingStep[] {
    return this.all().filter((step) => isBelow(step.path, path));
  }
}
