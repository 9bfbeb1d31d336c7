import process from "node:process";
import { leaveSignals, listenToSignals } from "./early_signals.ts";

/** This long after the signal the program ends, even if something hangs (promise 10 says 25 s). What counts is on disk. */
const LONGEST_STOP = 24_000;

/**
 * A terminal's Ctrl-C reaches every process of its group, and npm forwards it again: signals within this time count as one.
 */
const ONE_WISH = 1_000;

/** Waits for a stop signal. A second signal, or a stop that takes too long, ends the program at once. */
export class StopSignal {
  readonly received: Promise<void>;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #told = 0;

  constructor() {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.received = promise;
    listenToSignals(() => {
      if (this.#timer !== undefined) {
        if (performance.now() - this.#told > ONE_WISH) process.exit(1);
        return;
      }
      this.#told = performance.now();
      this.#timer = setTimeout(() => process.exit(0), LONGEST_STOP);
      resolve();
    });
  }

  /** Whether a stop signal has come. */
  get isReceived(): boolean {
    return this.#timer !== undefined;
  }

  /** The program has stopped by itself. */
  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    leaveSignals();
  }
}
