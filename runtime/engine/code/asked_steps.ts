import type { StepCall } from "../../workers/workers.ts";
import { isBelow } from "../../workers/step_path.ts";
import { AskedStep } from "./asked_step.ts";
import type { StepOutcome } from "../outcome.ts";

/** The steps that a rule's function has asked for and has no answer to yet. */
export class AskedSteps {
  readonly #byCall = new WeakMap<StepCall, AskedStep>();
  readonly #open = new Map<string, AskedStep>();

  add(step: AskedStep): void {
    this.#byCall.set(step.call, step);
    this.#open.set(step.path, step);
  }

  remove(step: AskedStep): void {
    this.#open.delete(step.path);
  }

  ofCall(call: StepCall): AskedStep | undefined {
    return this.#byCall.get(call);
  }

  at(path: string): AskedStep | undefined {
    return this.#open.get(path);
  }

  all(): AskedStep[] {
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

  #inside(path: string): AskedStep[] {
    return this.all().filter((step) => isBelow(step.path, path));
  }
}
