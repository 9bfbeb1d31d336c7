import type { DueBatch } from "../store.ts";
import type { Database } from "./database.ts";

/** When the next batch of one of these rules closes; one look at an index for each rule, however many batches it has. */
export function nextBatchDue(database: Database, rules: string[]): number | undefined {
  return database.value<number | null>(
    "SELECT min((SELECT closes_at FROM batches WHERE rule = value ORDER BY closes_at LIMIT 1)) FROM json_each(@rules)",
    JSON.stringify(rules),
  ) ?? undefined;
}

/** The batches of these rules whose time has come, oldest first. */
export function dueBatches(database: Database, rules: string[], max: number, now: number): DueBatch[] {
  return database.all<{ id: string; rule: string; trigger_id: string; closes_at: number }>(
    "SELECT id, rule, trigger_id, closes_at FROM batches " +
      "WHERE rule IN (SELECT value FROM json_each(@rules)) AND closes_at <= ? ORDER BY closes_at, id LIMIT ?",
    JSON.stringify(rules),
    now,
    max,
  ).map(({ id, rule, trigger_id, closes_at }) => ({ id, rule, trigger: trigger_id, closesAt: closes_at }));
}
