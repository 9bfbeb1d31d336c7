import process from "node:process";

/** Whether this is the long form, `deno task torture`; the short one runs with all other tests. */
export const isLong = process.env.WHENTHEN_TORTURE === "long";

/** A number that the long form has larger. */
export function size(short: number, long: number): number {
  return isLong ? long : short;
}

/** A whole number from `from` up to `to`. */
export function between(from: number, to: number): number {
  return from + Math.floor(Math.random() * (to - from + 1));
}

/** Waits: for moments at which something is done to the program, never for something to have happened. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** The promise's result; an error where it has none after so many milliseconds: what hangs must not hang the tests. */
export async function within<T>(ms: number, what: string, promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${ms} ms`)), ms);
  });
  return await Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
