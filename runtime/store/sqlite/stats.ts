import type { StoreStats } from "../store.ts";
import type { Database } from "./database.ts";

/** What is in the tables. */
export function countRows(database: Database): Omit<StoreStats, "journalBytes"> {
  const rows = (table: string) => database.value<number>(`SELECT count(*) FROM ${table}`)!;
  return { events: rows("events"), identities: rows("identities"), runs: rows("runs"), bytes: database.bytes() };
}
