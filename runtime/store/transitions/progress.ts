import { readExactJson, writeRecordJson } from "../../formats/exact_json.ts";
import type { Json } from "../../model/json.ts";
import { join } from "../ledger/ordered.ts";
import type { Rows } from "../ledger/rows.ts";
import type { Progress, TriggerKey } from "../store.ts";

/** Writes a trigger's mark and the changes of its baseline. */
export function writeProgress(rows: Rows, { rule, trigger, mark, baseline }: Progress): void {
  const place = join(rule, trigger);
  if (mark === null) rows.drop("mark", place);
  else if (mark !== undefined) rows.put("mark", place, mark);
  if (!baseline) return;
  const keyOf = (item: string) => join(place, JSON.stringify(item));
  if (baseline.clear) {
    for (const key of rows.index("baseline", "key").range(join(place, ""), undefined, Infinity)) {
      rows.drop("baseline", key);
    }
  }
  for (const key of baseline.remove) rows.drop("baseline", keyOf(key));
  for (const [key, item] of baseline.put) rows.put("baseline", keyOf(key), writeRecordJson(item));
}

/** A trigger's mark. */
export function getMark(rows: Rows, { rule, trigger }: TriggerKey): Json | undefined {
  return rows.get("mark", join(rule, trigger));
}

/** Up to `max` items of a trigger's baseline, in the order of their keys as JSON, after a key. */
export function getBaseline(rows: Rows, { rule, trigger }: TriggerKey, max: number, after?: string): Map<string, Json> {
  const prefix = join(rule, trigger, "");
  const from = after === undefined ? undefined : prefix + JSON.stringify(after);
  const keys = rows.index("baseline", "key").range(prefix, from, max);
  return new Map(
    keys.map((key) => [JSON.parse(key.slice(prefix.length)), readExactJson(rows.get("baseline", key)!) as Json]),
  );
}
