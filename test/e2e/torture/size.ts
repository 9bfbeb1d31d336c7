import process from "node:process";

/** Whether this is the long form, `deno task torture`; the short form runs with all other tests. */
export const isLong = process.env.WHENTHEN_TORTURE === "long";

/** A number that is larger in the long form. */
export function size(short: number, long: number): number {
  return isLong ? long : short;
}

/** A whole number from `from` up to `to`. */
export function between(from: number, to: number): number {
  return from + Math.floor(Math.random() * (to - from + 1));
}

/** Waits, to choose the moment of an attack on the program, never to wait for a result. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
