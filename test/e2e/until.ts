import { setTimeout as pause } from "node:timers/promises";

/** Milliseconds that a test waits for a condition: a busy machine may take ten times as long as an idle one. */
export const TIMEOUT = 120_000;

/** Milliseconds between two checks: without a pause they would take the program's processor time. */
const PAUSE = 20;

/**
 * Checks repeatedly until the condition holds; fails after `timeout` milliseconds, showing the last value.
 * @param what for the message: `the run to wait`
 */
export async function until<Seen>(
  what: string,
  look: () => Promise<Seen>,
  holds: (seen: Seen) => boolean,
  timeout = TIMEOUT,
): Promise<Seen> {
  const end = Date.now() + timeout;
  for (;;) {
    const seen = await look();
    if (holds(seen)) return seen;
    if (Date.now() > end) throw new Error(`${timeout} ms of waiting for ${what}; seen last: ${JSON.stringify(seen)}`);
    await pause(PAUSE);
  }
}

/** The promise's result, or an error after so many milliseconds: a hanging program must not hang the tests. */
export async function within<T>(ms: number, what: string, promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${ms} ms`)), ms);
  });
  return await Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
