import { setTimeout as pause } from "node:timers/promises";

/** Milliseconds that a test waits for what must come: a machine with other work may take ten times as long as one without. */
export const TIMEOUT = 120_000;

/** Milliseconds between two looks: one at once after the other would keep the program from what it is waited for. */
const PAUSE = 20;

/**
 * Looks again and again until what is seen is as it should be; fails after `patience` milliseconds, showing it.
 * @param what for the message: `the run to wait`
 */
export async function until<Seen>(
  what: string,
  look: () => Promise<Seen>,
  holds: (seen: Seen) => boolean,
  patience = TIMEOUT,
): Promise<Seen> {
  const end = Date.now() + patience;
  for (;;) {
    const seen = await look();
    if (holds(seen)) return seen;
    if (Date.now() > end) throw new Error(`${patience} ms of waiting for ${what}; seen last: ${JSON.stringify(seen)}`);
    await pause(PAUSE);
  }
}
