import { isDeepStrictEqual } from "node:util";
import type { UpperValue } from "../../model/config.ts";
import type { Json } from "../../model/json.ts";
import { join } from "../ledger/ordered.ts";
import type { Rows } from "../ledger/rows.ts";
import { type ConfigChange, type ConfigChanged, MOST_EARLIER, type PageValue } from "../config.ts";
import type { At } from "./transition.ts";

/** Sets or removes values of a rule's config, if nobody has changed them since its author looked. */
export function setConfig(rows: Rows, { rule, set, by, seen }: ConfigChange, { now }: At): ConfigChanged {
  const known = listConfig(rows, rule);
  const byKey = new Map(known.map((value) => [value.key, value]));
  for (const key of Object.keys(set)) {
    const current = byKey.get(key);
    if (current === undefined || seen === undefined || current.at <= seen) continue;
    return { kind: "stale", key, by: current.by, at: current.at };
  }
  // Later than all before it, also after a clock rollback: `seen` orders the changes of a rule.
  const at = Math.max(now, ...known.map((value) => value.at + 1));
  for (const [key, value] of Object.entries(set)) {
    const current = byKey.get(key);
    if (current === undefined ? value === null : isDeepStrictEqual(current.value, value)) continue;
    const earlier = current === undefined
      ? []
      : [{ value: current.value, by: current.by, at: current.at }, ...current.earlier].slice(0, MOST_EARLIER);
    rows.put("config", join(rule, key), { rule, key, value, by, at, earlier });
  }
  return { kind: "changed", at };
}

/** All values that were set, or those of one rule. */
export function listConfig(rows: Rows, rule?: string): PageValue[] {
  return rows.range("config", "rule", rule === undefined ? "" : join(rule, ""));
}

/** Replaces the values of the source. */
export function keepSourced(rows: Rows, values: UpperValue[]): void {
  rows.put("fact", "sourced", values as unknown as Json);
}

/** The values that the source last gave. */
export function getSourced(rows: Rows): UpperValue[] {
  return (rows.get("fact", "sourced") ?? []) as unknown as UpperValue[];
}
