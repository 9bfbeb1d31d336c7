import process from "node:process";

/** The signals by which service managers and terminals end a program. */
const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;

type Signal = typeof SIGNALS[number];

let isListening = false;
let early: Signal | undefined;
let told: ((signal: Signal) => void) | undefined;

function receive(signal: Signal): void {
  if (told === undefined) early ??= signal;
  else told(signal);
}

/** From now on, records signals while the program loads; nothing has started yet that a signal could interrupt. */
export function noteSignals(): void {
  if (isListening) return;
  isListening = true;
  for (const signal of SIGNALS) process.on(signal, receive);
}

/** From now on, calls `tell` with each signal; at once if a signal came while the program loaded. */
export function listenToSignals(tell: (signal: Signal) => void): void {
  // Always the same listener: between the removal of one and the addition of another, a signal would be lost.
  noteSignals();
  told = tell;
  if (early !== undefined) tell(early);
}

/** From now on, a signal ends the program as it does any other; one that came while it loaded ends it now. */
export function leaveSignals(): void {
  isListening = false;
  for (const signal of SIGNALS) process.off(signal, receive);
  if (told === undefined && early !== undefined) process.kill(process.pid, early);
  told = early = undefined;
}
