import { setTimeout as sleep } from "node:timers/promises";

/** Milliseconds to wait after the first failure, and at most; each further failure doubles them. */
const FIRST = 50;
const LONGEST = 500;

/**
 * Waits before the next attempt to reach the disk or the database.
 * @param failures in a row, at least 1
 * @param signal ends the wait
 */
export async function retryPause(failures: number, signal: AbortSignal): Promise<void> {
  await sleep(Math.min(FIRST * 2 ** (failures - 1), LONGEST), undefined, { signal }).catch(() => {});
}
