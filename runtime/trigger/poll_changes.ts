import { isDeepStrictEqual } from "node:util";
import { create, type DiffContext, type Filter } from "jsondiffpatch";
import { writeExactJson } from "../model/exact_json.ts";
import type { Json, JsonObject } from "../model/json.ts";
import { evaluate } from "../rule/expression.ts";
import { listOf } from "./poll_source.ts";
import { Slices } from "../host/slices.ts";

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
/** Of two values of one type that it does not know it says that they are the same. */
const diffBigInts: Filter<DiffContext> = Object.assign((context: DiffContext) => {
  const { left, right } = context;
  if (typeof left === "bigint" && typeof right === "bigint" && left !== right) context.setResult([left, right]).exit();
}, { filterName: "bigints" });
differ.processor.pipes.diff.before("trivial", diffBigInts);

/**
 * The items by their keys; without a `key` the whole document is one.
 * @throws Error where there is no list, an item has no key, or two have the same: then nothing can be said of any
 */
export async function keyItems(items: Json, key: string | undefined): Promise<Map<string, Json>> {
  if (key === undefined) return new Map([[WHOLE, items]]);
  const keyed = new Map<string, Json>();
  const slices = new Slices();
  for (const [index, item] of listOf(items, "the source").entries()) {
    const value = evaluate(key, { item, index });
    if (value === null || typeof value === "object") {
      throw new Error(`Expected text or a number as key "${key}" of item ${index}, got ${writeExactJson(value)}`);
    }
    const name = String(value);
    if (keyed.has(name)) throw new Error(`Two items have the same key "${key}": ${JSON.stringify(name)}`);
    keyed.set(name, item);
    if (slices.isOver) await slices.next();
  }
  return keyed;
}

/**
 * What changed from the baseline to the items, in the order of the items, then what was removed.
 * @param baseline in pages, of which none is kept
 * @param ignore paths in an item that do not count: `updatedAt`, `stats.views`
 * @param keepAbsent true where absence from the items does not mean that an item has gone
 */
export async function findChanges(
  baseline: AsyncIterable<Map<string, Json>>,
  items: Map<string, Json>,
  ignore: string[],
  keepAbsent: boolean,
): Promise<Change[]> {
  const known = new Set<string>();
  const changed = new Map<string, Json>();
  const removed: Change[] = [];
  const slices = new Slices();
  for await (const page of baseline) {
    for (const [key, old] of page) {
      const item = items.get(key);
      if (item !== undefined) {
        known.add(key);
        if (!isDeepStrictEqual(without(old, ignore), without(item, ignore))) changed.set(key, old);
      } else if (!keepAbsent) removed.push({ type: "removed", key, old, new: null });
      if (slices.isOver) await slices.next();
    }
  }
  const present: Change[] = [];
  for (const [key, item] of items) {
    const old = changed.get(key);
    if (old !== undefined) present.push({ type: "changed", key, old, new: item });
    else if (!known.has(key)) present.push({ type: "added", key, old: null, new: item });
  }
  return [...present, ...removed];
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
