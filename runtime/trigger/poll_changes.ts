import { isDeepStrictEqual } from "node:util";
import { create } from "jsondiffpatch";
import type { Json, JsonObject } from "../model/json.ts";
import { evaluate } from "../rule/expression.ts";
import { listOf } from "./poll_source.ts";

/** What became of one item since the last poll. */
export interface Change {
  type: "added" | "changed" | "removed";
  key: string;
  old: Json;
  new: Json;
}

/** The key of a whole document that is one item. */
export const WHOLE = "";

/** Comparing two lists takes time and memory by the product of their lengths; above this the diff is the two values. */
const MOST_COMPARED = 1_000_000;

const differ = create({ cloneDiffValues: true });

/**
 * The items by their keys; without a `key` the whole document is one.
 * @throws Error where there is no list, an item has no key, or two have the same: then nothing can be said of any
 */
export function keyItems(items: Json, key: string | undefined): Map<string, Json> {
  if (key === undefined) return new Map([[WHOLE, items]]);
  const keyed = new Map<string, Json>();
  for (const [index, item] of listOf(items, "the source").entries()) {
    const value = evaluate(key, { item, index });
    if (typeof value !== "string" && typeof value !== "number" && typeof value !== "boolean") {
      throw new Error(`Expected text or a number as key "${key}" of item ${index}, got ${JSON.stringify(value)}`);
    }
    const name = String(value);
    if (keyed.has(name)) throw new Error(`Two items have the same key "${key}": ${JSON.stringify(name)}`);
    keyed.set(name, item);
  }
  return keyed;
}

/**
 * What changed from the baseline to the items, in the order of the items, then what was removed.
 * @param ignore paths in an item that do not count: `updatedAt`, `stats.views`
 * @param keepAbsent true where absence from the items does not mean that an item has gone
 */
export function* findChanges(
  baseline: Map<string, Json>,
  items: Map<string, Json>,
  ignore: string[],
  keepAbsent: boolean,
): Generator<Change> {
  for (const [key, item] of items) {
    const old = baseline.get(key);
    if (old === undefined) yield { type: "added", key, old: null, new: item };
    else if (!isDeepStrictEqual(without(old, ignore), without(item, ignore))) {
      yield { type: "changed", key, old, new: item };
    }
  }
  if (keepAbsent) return;
  for (const [key, old] of baseline) {
    if (!items.has(key)) yield { type: "removed", key, old, new: null };
  }
}

/** An event's `data`: what was, what is, and for a change the delta in the format of jsondiffpatch. */
export function changeData(change: Change, ignore: string[]): JsonObject {
  const { type, old, new: item } = change;
  return { old, new: item, diff: type === "changed" ? diff(without(old, ignore), without(item, ignore)) : null };
}

function diff(old: Json, item: Json): Json {
  if (longestList(old) * longestList(item) > MOST_COMPARED) return [old, item];
  return (differ.diff(old, item) ?? null) as Json;
}

function longestList(value: Json): number {
  if (typeof value !== "object" || value === null) return 0;
  const longest = Array.isArray(value) ? value.length : 0;
  return Object.values(value).reduce((most: number, part: Json) => Math.max(most, longestList(part)), longest);
}

/** The value without what lies at the paths; a list on the way stands for each of its elements. */
function without(value: Json, paths: string[]): Json {
  if (paths.length === 0) return value;
  return paths.reduce((rest, path) => omit(rest, path.split(".")), value);
}

function omit(value: Json, [name, ...rest]: string[]): Json {
  if (Array.isArray(value)) return value.map((element) => omit(element, [name, ...rest]));
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return value;
  const { [name]: inner, ...others } = value;
  return rest.length === 0 ? others : { ...value, [name]: omit(inner, rest) };
}
