import type { Json } from "../../model/json.ts";
import type { StepEffects } from "../store.ts";
import type { Database } from "./database.ts";

/** Sets memory across runs; null removes it. @returns the value before, null where there was none */
export function exchangeState(
  database: Database,
  { key, value, ttl }: NonNullable<StepEffects["state"]>,
  now: number,
): Json {
  const before = readState(database, [key], now)[key] ?? null;
  if (value === null) database.run("DELETE FROM state WHERE key = ?", key);
  else {
    const expiresAt = ttl === undefined ? undefined : Math.ceil(now + ttl);
    database.run("INSERT OR REPLACE INTO state (key, value, expires_at) VALUES (?, $value, ?)", key, value, expiresAt);
  }
  return before;
}

/** The values of those keys that have one. */
export function readState(database: Database, keys: string[], now: number): Record<string, Json> {
  const found: [string, Json][] = [];
  for (const key of keys) {
    const value = database.value<string>(
      "SELECT value FROM state WHERE key = ? AND ifnull(expires_at > ?, true)",
      key,
      now,
    );
    if (value !== undefined) found.push([key, JSON.parse(value)]);
  }
  return Object.fromEntries(found);
}
