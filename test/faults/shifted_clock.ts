import { readFileSync } from "node:fs";
import { setInterval } from "node:timers";
import { type Clock, wallClock } from "../../runtime/host/clock.ts";

/** Milliseconds between readings of the file: a change of the clock takes effect soon. */
const LOOK_AGAIN = 100;

/**
 * A clock for black-box tests: the given clock, shifted by the milliseconds in the file that
 * `WHENTHEN_TEST_CLOCK` names, also when they change. Undefined or empty leaves the clock unchanged.
 * @throws Error if the file holds no whole number
 */
export function chooseClock(clock: Clock, file: string | undefined): Clock {
  if (!file) return clock;
  let shift = readShift(file);
  setInterval(() => shift = readShift(file), LOOK_AGAIN).unref();
  return wallClock(() => clock.now() + shift, LOOK_AGAIN);
}

function readShift(file: string): number {
  const text = readFileSync(file, "utf8").trim();
  if (/^-?\d+$/.test(text)) return Number(text);
  throw new Error(
    `Cannot use WHENTHEN_TEST_CLOCK: ${file} holds ${JSON.stringify(text)}; expected milliseconds such as 3600000`,
  );
}
