import type { Json } from "../../model/json.ts";
import type { Progress, TriggerKey } from "../store.ts";
import type { Database } from "./database.ts";

/** Writes a trigger's mark and the changes of its baseline. */
export function writeProgress(database: Database, { rule, trigger, mark, baseline }: Progress): void {
  if (mark === null) database.run("DELETE FROM marks WHERE rule = @rule AND trigger_id = ?", rule, trigger);
  else if (mark !== undefined) {
    database.run(
      "INSERT OR REPLACE INTO marks (rule, trigger_id, mark) VALUES (@rule, ?, $mark)",
      rule,
      trigger,
      mark,
    );
  }
  if (!baseline) return;
  if (baseline.clear) database.run("DELETE FROM baselines WHERE rule = @rule AND trigger_id = ?", rule, trigger);
  for (const key of baseline.remove) {
    database.run("DELETE FROM baselines WHERE rule = @rule AND trigger_id = ? AND key = $key", rule, trigger, key);
  }
  for (const [key, item] of baseline.put) {
    database.run(
      "INSERT INTO baselines (rule, trigger_id, key, item) VALUES (@rule, ?, $key, $item) " +
        "ON CONFLICT (rule, trigger_id, key) DO UPDATE SET item = excluded.item",
      rule,
      trigger,
      key,
      item,
    );
  }
}

/** A trigger's mark. */
export function getMark(database: Database, { rule, trigger }: TriggerKey): Json | undefined {
  const mark = database.value<string>(
    "SELECT mark FROM marks WHERE rule = @rule AND trigger_id = ?",
    rule,
    trigger,
  );
  return mark === undefined ? undefined : JSON.parse(mark);
}

/** Items of a trigger's baseline by key. Keys are JSON, so all of them are behind the empty text. */
export function getBaseline(
  database: Database,
  { rule, trigger }: TriggerKey,
  max: number,
  after?: string,
): Map<string, Json> {
  const rows = database.all<{ key: string; item: string }>(
    "SELECT key, item FROM baselines WHERE rule = @rule AND trigger_id = ? AND key > @after ORDER BY key LIMIT ?",
    rule,
    trigger,
    after === undefined ? "" : JSON.stringify(after),
    max,
  );
  return new Map(rows.map(({ key, item }) => [JSON.parse(key), JSON.parse(item)]));
}
