import { chmodSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { messageOf, UsageError } from "../model/errors.ts";

/**
 * Makes this the only runtime of a data folder, by an exclusive SQLite transaction on `<folder>/lock`. The operating
 * system drops it with the process, however that ends; no pid is compared, so containers where every pid is 1 are safe.
 * @returns a function that gives it back, or undefined where another runtime holds it
 * @throws UsageError where there is no such folder, or it cannot be written to
 */
export function acquireLock(folder: string): (() => void) | undefined {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(join(folder, "lock"));
    database.exec("BEGIN EXCLUSIVE");
    chmodSync(join(folder, "lock"), 0o600);
  } catch (error) {
    database?.close();
    // The hosts agree on SQLite's message, not on error codes.
    if (error instanceof Error && error.message.includes("database is locked")) return undefined;
    const why = `${messageOf(error)}; it has to be a folder that can be written to`;
    throw new UsageError(`Cannot lock the data folder ${JSON.stringify(folder)}: ${why}`, { cause: error });
  }
  return () => database.close();
}
