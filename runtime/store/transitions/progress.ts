import { readExactJson, writeRecordJson } from "../../formats/exact_json.ts";
import type { Json } from "../../model/json.ts";
import { join, ordered } from "../ledger/ordered.ts";
import type { Rows } from "../ledger/rows.ts";
import type { ItemTime, Progress, StepEffects, TriggerKey } from "../store.ts";

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
    for (const key of rows.index("changed", "place").range(join(place, ""), undefined, Infinity)) {
      rows.drop("changed", key);
    }
  }
  for (const key of baseline.remove) {
    rows.drop("baseline", keyOf(key));
    rows.drop("changed", keyOf(key));
  }
  for (const [key, at] of baseline.times ?? []) {
    if (at === null) rows.drop("changed", keyOf(key));
    else rows.put("changed", keyOf(key), at);
  }
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

/** Those of these items of a trigger's baseline that it has. */
export function getItems(rows: Rows, { rule, trigger }: TriggerKey, keys: string[]): Map<string, Json> {
  const place = join(rule, trigger);
  return new Map(keys.flatMap((key): [string, Json][] => {
    const text = rows.get("baseline", join(place, JSON.stringify(key)));
    return text === undefined ? [] : [[key, readExactJson(text) as Json]];
  }));
}

/** Items that last changed at `before` at the latest and were not told, oldest first, after an entry. */
export function getStagnant(
  rows: Rows,
  { rule, trigger }: TriggerKey,
  before: number,
  max: number,
  after?: ItemTime,
): ItemTime[] {
  const prefix = join(rule, trigger, "");
  const from = after && `${prefix}${join(ordered(after[1]), JSON.stringify(after[0]))}`;
  const found: ItemTime[] = [];
  for (const key of rows.index("changed", "at").range(prefix, from, max)) {
    const at = rows.get("changed", key)!;
    if (at > before) break;
    found.push([JSON.parse(key.slice(prefix.length)), at]);
  }
  return found;
}

/** Sets a value of the memory across runs; null removes it. @returns the previous value, null if there was none */
export function exchangeState(rows: Rows, { key, value, ttl }: NonNullable<StepEffects["state"]>, now: number): Json {
  const before = readState(rows, key, now) ?? null;
  if (value === null) rows.drop("state", key);
  else rows.put("state", key, { key, value, ...(ttl !== undefined && { expiresAt: Math.ceil(now + ttl) }) });
  return before;
}

/** The values of these keys, without those that have none. */
export function getState(rows: Rows, keys: string[], now: number): Record<string, Json> {
  const found = keys.flatMap((key): [string, Json][] => {
    const value = readState(rows, key, now);
    return value === undefined ? [] : [[key, value]];
  });
  return Object.fromEntries(found);
}

function readState(rows: Rows, key: string, now: number): Json | undefined {
  const row = rows.get("state", key);
  return row === undefined || (row.expiresAt !== undefined && row.expiresAt <= now) ? undefined : row.value;
}
