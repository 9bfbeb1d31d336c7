import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

/**
 * Makes this the only runtime of a data folder, by an exclusive SQLite transaction on `<folder>/lock`. The operating
 * system drops it with the process, however that ends; no pid is compared, so containers where every pid is 1 are safe.
 * @returns a function that gives it back, or undefined where another runtime holds it
 */
export function acquireLock(folder: string): (() => void) | undefined {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(join(folder, "lock"));
    database.exec("BEGIN EXCLUSIVE");
  } catch (error) {
    database?.close();
    // The hosts agree on SQLite's message, not on error codes.
    if (error instanceof Error && error.message.includes("database is locked")) return undefined;
    throw new Error(`Cannot lock the data folder ${JSON.stringify(folder)}: ${String(error)}`, { cause: error });
  }
  return () => database.close();
}
