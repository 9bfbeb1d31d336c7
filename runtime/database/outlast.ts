import { messageOf } from "../model/errors.ts";
import type { Outage } from "../store/elsewhere.ts";
import { retryPause } from "../store/retry_pause.ts";
import { isOutage, type Sql } from "./pool.ts";
import type { Right } from "./right.ts";

/**
 * Repeats work that fails because the database cannot be reached, for as long as this program has its right.
 * @param right of the program at the moment; it is confirmed before each repetition
 * @throws FolderLostError once the right is lost; else the error of the work, if a repetition would not help or is not wanted any more
 */
export async function outlast<T>(
  sql: Sql,
  right: () => Right,
  work: () => Promise<T>,
  { signal, onOutage }: Outage,
): Promise<T> {
  for (let failures = 0;;) {
    try {
      if (failures > 0) await confirm(sql, right());
      return await work();
    } catch (error) {
      right().assertHeld();
      if (!isOutage(error)) throw error;
      if (failures === 0) onOutage(messageOf(error));
      await retryPause(++failures, signal);
      if (signal.aborted) throw error;
    }
  }
}

/** @throws FolderLostError if the right is lost */
async function confirm(sql: Sql, right: Right): Promise<void> {
  right.assertHeld();
  if ((await sql.unsafe(right.proof)).length === 0) right.lose();
}
