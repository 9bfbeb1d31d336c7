import type { Json } from "../../model/json.ts";
import type { Rows } from "../ledger/rows.ts";
import type { StepEffects } from "../store.ts";

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
