import type { Computed, StepAnswer } from "../../workers/workers.ts";

/** A step that the function computes itself; connects the engine's `compute` with the function's next call. */
export class ComputedStep {
  /** The answer to the function's call: to compute. */
  #asked = Promise.withResolvers<StepAnswer>();
  #said: PromiseWithResolvers<Computed> | undefined;
  /** The function did not finish in time, and cannot be asked again in this execution. */
  hangs = false;

  get asked(): Promise<StepAnswer> {
    return this.#asked.promise;
  }

  /** Whether the function computes now. */
  get goesOn(): boolean {
    return this.#said !== undefined;
  }

  /**
   * Lets the function compute.
   * @throws the signal's reason
   */
  async ask(step: { path: string; attempt: number }, signal: AbortSignal): Promise<Computed> {
    const said = this.#said = Promise.withResolvers<Computed>();
    const abort = () => {
      this.hangs = true;
      said.reject(signal.reason);
    };
    signal.addEventListener("abort", abort);
    try {
      this.#asked.resolve({ kind: "compute", ...step });
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
