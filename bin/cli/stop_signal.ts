import process from "node:process";
import { leaveSignals, listenToSignals } from "./early_signals.ts";

/** Whatever hangs: this long after the signal the program is gone (promise 10 says 25 s). What counts is on disk. */
const LONGEST_STOP = 24_000;

/** A terminal's Ctrl-C reaches every process of its group, and npm passes it on once more: the same wish within this is one. */
const ONE_WISH = 1_000;

/** Waits to be told to stop. A second signal, or a stop that takes too long, ends the program at once. */
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

  /** Whether it has been told. */
  get isReceived(): boolean {
    return this.#timer !== undefined;
  }

  /** The program has stopped by itself. */
  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    leaveSignals();
  }
}
