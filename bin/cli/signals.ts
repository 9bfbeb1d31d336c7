import process from "node:process";

/** The signals by which service managers and terminals end a program. */
const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;

type Signal = typeof SIGNALS[number];

let isListening = false;
let early: Signal | undefined;
let listener: ((signal: Signal) => void) | undefined;

function receive(signal: Signal): void {
  if (listener === undefined) early ??= signal;
  else listener(signal);
}

/** Records signals from now on, while the program loads. Nothing has started yet that a signal could interrupt. */
export function noteSignals(): void {
  if (isListening) return;
  isListening = true;
  for (const signal of SIGNALS) process.on(signal, receive);
}

/** Calls `onSignal` with each signal from now on, and at once with one that came while the program loaded. */
function listenToSignals(onSignal: (signal: Signal) => void): void {
  // Always the same listener: between the removal of one and the addition of another, a signal would be lost.
  noteSignals();
  listener = onSignal;
  if (early !== undefined) onSignal(early);
}

/** Restores the default: a signal ends the program. One that came while the program loaded ends it now. */
export function leaveSignals(): void {
  isListening = false;
  for (const signal of SIGNALS) process.off(signal, receive);
  if (listener === undefined && early !== undefined) process.kill(process.pid, early);
  listener = early = undefined;
}

/** Milliseconds after a signal until the program ends, even if something hangs (promise 10 says 25 s). All state is on disk. */
const LONGEST_STOP = 24_000;

/**
 * Signals within this many milliseconds count as one: Ctrl-C in a terminal reaches every process of its group, and npm forwards
 * it again.
 */
const REPEATED = 1_000;

/** Waits for a stop signal. A second signal, or a stop that takes too long, ends the program at once. */
export class StopSignal {
  readonly received: Promise<void>;
  /** Aborted when it comes. */
  readonly aborts: AbortSignal;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #lastSignal = 0;

  constructor() {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.received = promise;
    const controller = new AbortController();
    this.aborts = controller.signal;
    promise.then(() => controller.abort());
    listenToSignals(() => {
      if (this.#timer !== undefined) {
        if (performance.now() - this.#lastSignal > REPEATED) process.exit(1);
        return;
      }
      this.#lastSignal = performance.now();
      this.#timer = setTimeout(() => process.exit(0), LONGEST_STOP);
      resolve();
    });
  }

  /** Whether a stop signal has come. */
  get isReceived(): boolean {
    return this.#timer !== undefined;
  }

  /** Ends the waiting, after the program has stopped. */
  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    leaveSignals();
  }
}
