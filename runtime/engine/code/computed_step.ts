import type { Computed, StepAnswer } from "../../workers/workers.ts";

/** A step that the function itself computes: what passes between our `compute` and the function's next call. */
export class ComputedStep {
  /** What the function's call is answered with as soon as it is to compute. */
  #asked = Promise.withResolvers<StepAnswer>();
  #said: PromiseWithResolvers<Computed> | undefined;
  /** The function was not done with it in time, and cannot be asked again in this life. */
  hangs = false;

  get asked(): Promise<StepAnswer> {
    return this.#asked.promise;
  }

  /** Whether the function computes now. */
  get goesOn(): boolean {
    return this.#said !== undefined;
  }

  /**
   * Has the function compute.
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

  /** The function says what came of it. */
  say(computed: Computed): void {
    this.#asked = Promise.withResolvers();
    this.#said?.resolve(computed);
  }
}
