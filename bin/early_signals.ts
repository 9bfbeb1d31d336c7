import process from "node:process";

/** What service managers and terminals end a program with. */
export const STOP_SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;

type StopSignalName = typeof STOP_SIGNALS[number];

let early: StopSignalName | undefined;

function note(signal: StopSignalName): void {
  early ??= signal;
}

/** Notes signals from here on, while the program loads: nothing has begun that a signal could end half-way. */
export function noteEarlySignals(): void {
  for (const signal of STOP_SIGNALS) process.on(signal, note);
}

/** The signal that came while the program loaded, if one did. From here on somebody else listens. */
export function takeEarlySignal(): StopSignalName | undefined {
  for (const signal of STOP_SIGNALS) process.off(signal, note);
  return early;
}

/** For commands that a signal ends as it ends any program: with the one that came meanwhile, if one did. */
export function obeyEarlySignal(): void {
  const signal = takeEarlySignal();
  if (signal !== undefined) process.kill(process.pid, signal);
}
