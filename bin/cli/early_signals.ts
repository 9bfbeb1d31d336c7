import process from "node:process";

/** What service managers and terminals end a program with. */
const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;

type Signal = typeof SIGNALS[number];

let isListening = false;
let early: Signal | undefined;
let told: ((signal: Signal) => void) | undefined;

function receive(signal: Signal): void {
  if (told === undefined) early ??= signal;
  else told(signal);
}

/** Notes signals from here on, while the program loads: nothing has begun that a signal could end half-way. */
export function noteSignals(): void {
  if (isListening) return;
  isListening = true;
  for (const signal of SIGNALS) process.on(signal, receive);
}

/** Calls `tell` with each signal from here on, at once with one that came while the program loaded. */
export function listenToSignals(tell: (signal: Signal) => void): void {
  // Always the same listener: between one that goes and one that comes a signal would be lost.
  noteSignals();
  told = tell;
  if (early !== undefined) tell(early);
}

/** From here on a signal ends the program as it ends any other; one that came while it loaded does so now. */
export function leaveSignals(): void {
  isListening = false;
  for (const signal of SIGNALS) process.off(signal, receive);
  if (told === undefined && early !== undefined) process.kill(process.pid, early);
  told = early = undefined;
}
