import { create, type DiffContext, type Filter } from "jsondiffpatch";
import { isDeepStrictEqual } from "node:util";
import { writeExactJson } from "../../formats/exact_json.ts";
import { readFeedDate } from "../../formats/feed_dates.ts";
import { RELIEF, relieveMemory, Slices } from "../../host/large_work.ts";
import { evaluate, ExpressionError } from "../../language/expressions/expression.ts";
import type { Meter } from "../../language/expressions/meter.ts";
import type { Cause } from "../../model/event.ts";
import type { Json, JsonObject } from "../../model/json.ts";
import { takeOver } from "../../model/merge_patch.ts";
import { keyOfSource, listOf, type PollContext, type PollSettings, type Reading, Unchanged } from "./poll_args.ts";

/** What happened to one item since the last poll. */
export interface Change {
  /** `touched`: nothing that counts has changed, but the time of its last change has; no event reports it. */
  type: "added" | "changed" | "removed" | "touched";
  key: string;
  old: Json;
  new: Json;
}

/** The key if the whole document is one item. */
export const WHOLE = "";

/** Comparing two lists costs time and memory by the product of their lengths. Above this product, the diff is the two values. */
const MOST_COMPARED = 1_000_000;

/** A warning quotes this many characters of an item. */
const EXCERPT = 200;

const differ = create({ cloneDiffValues: true });
/** jsondiffpatch takes two values of a type unknown to it for equal, so bigints need a filter. */
const diffBigInts: Filter<DiffContext> = Object.assign((context: DiffContext) => {
  const { left, right } = context;
  if (typeof left === "bigint" && typeof right === "bigint" && left !== right) context.setResult([left, right]).exit();
}, { filterName: "bigints" });
differ.processor.pipes.diff.before("trivial", diffBigInts);

/** The items of one poll, by key. */
export interface KeyedItems {
  items: Map<string, Json | Unchanged>;
  /** The items that no longer exist, as the source says. */
  removed: Set<string>;
  /** Which items were left out, in sentences for the log. */
  warnings: string[];
}

/**
 * The items by key; without a `key` the whole document is one item. An item without a key is left out with a warning. An item
 * with the key of an earlier one is left out too, with a warning if the two differ in anything outside the paths in `ignore`;
 * if the source gives changes in their order, the last one is taken instead.
 * @param meter the rule's
 * @throws Error if there is no list; BudgetError
 */
export async function keyItems(
  { items, inOrder, removed: gone }: Pick<Reading, "items" | "inOrder" | "removed">,
  { key, ignore }: Pick<PollSettings, "key" | "ignore">,
  meter?: Meter,
): Promise<KeyedItems> {
  const removed = new Set(gone?.keys());
  if (key === undefined) return { items: new Map([[WHOLE, items as Json]]), removed, warnings: [] };
  const keyed = new Map<string, Json | Unchanged>();
  const keyless: { index: number; item: Json }[] = [];
  const conflicts: { name: string; first: Json; other: Json }[] = [];
  const slices = new Slices();
  const list = listOf(items, "the source");
  for (const [index, item] of list.entries()) {
    const name = item instanceof Unchanged ? item.key : keyIn(item, index, key, meter);
    const first = name === undefined ? undefined : keyed.get(name);
    if (index < (gone?.get(name ?? "") ?? 0)) continue;
    if (name !== undefined && (first === undefined || inOrder)) keyed.set(name, item);
    else if (item instanceof Unchanged || first instanceof Unchanged) continue;
    else if (name === undefined) keyless.push({ index, item });
    else if (!isSameItem(first!, item, ignore)) conflicts.push({ name, first: first!, other: item });
    if (slices.isOver) await slices.next();
  }
  for (const name of gone?.keys() ?? []) if (keyed.has(name)) removed.delete(name);
  const warnings: string[] = [];
  if (keyless.length > 0) warnings.push(describeKeyless(keyless, key));
  if (conflicts.length > 0) warnings.push(describeConflicts(conflicts));
  return { items: keyed, removed, warnings };
}

/** The key of an item. Undefined if it has none: the expression fails, or gives empty text, null, a list or an object. */
export function keyIn(item: Json, index: number, key: string, meter: Meter | undefined): string | undefined {
  try {
    const value = evaluate(key, { item, index, $meter: meter });
    return value === null || value === "" || typeof value === "object" ? undefined : String(value);
  } catch (error) {
    if (error instanceof ExpressionError) return undefined;
    throw error;
  }
}

function describeKeyless(keyless: { index: number; item: Json }[], key: string): string {
  const [{ index, item }] = keyless;
  const count = keyless.length === 1 ? "1 item is" : `${keyless.length} items are`;
  return `${count} skipped, as "key: ${key}" gives neither text nor a number for them; the first is item ${index}: ${
    excerpt(item)
  }`;
}

function describeConflicts(conflicts: { name: string; first: Json; other: Json }[]): string {
  const [{ name, first, other }] = conflicts;
  const count = conflicts.length === 1 ? "1 item has" : `${conflicts.length} items have`;
  return `${count} the key of an earlier, different item; the first wins: ${JSON.stringify(name)} is the key of ${
    excerpt(first)
  } and of ${excerpt(other)}`;
}

function excerpt(item: Json): string {
  const text = writeExactJson(item);
  return text.length > EXCERPT ? `${text.slice(0, EXCERPT).toWellFormed()}…` : text;
}

/**
 * The changes from the baseline to the items: first those of present items, in their order, then the removed ones.
 * An item that is older than that of the baseline, by `at`, comes from a cache: it is no change.
 * @param baseline in pages, which are not kept in memory
 * @param ignore paths in an item that do not count: `updatedAt`, `stats.views`
 * @param keepAbsent true if an item that is absent does not count as removed
 */
export async function findChanges(
  baseline: AsyncIterable<Map<string, Json>>,
  { items, removed: gone }: Pick<KeyedItems, "items" | "removed">,
  settings: Pick<PollSettings, "ignore" | "at">,
  keepAbsent: boolean,
  meter?: Meter,
): Promise<Change[]> {
  const known = new Set<string>();
  const changed = new Map<string, { type: "changed" | "touched"; old: Json }>();
  const removed: Change[] = [];
  const slices = new Slices();
  let read = 0;
  for await (const page of baseline) {
    if ((read += page.size) % RELIEF < page.size) relieveMemory();
    for (const [key, old] of page) {
      const item = items.get(key);
      if (item !== undefined) {
        known.add(key);
        const type = item instanceof Unchanged ? "same" : compareItems(old, item, settings, meter);
        if (type !== "same") changed.set(key, { type, old });
      } else if (!keepAbsent || gone.has(key)) removed.push({ type: "removed", key, old, new: null });
      if (slices.isOver) await slices.next();
    }
  }
  const present: Change[] = [];
  for (const [key, item] of items) {
    if (item instanceof Unchanged) continue;
    const found = changed.get(key);
    if (found !== undefined) present.push({ ...found, key, new: item });
    else if (!known.has(key)) present.push({ type: "added", key, old: null, new: item });
  }
  return [...present, ...removed];
}

/** How an item differs from that of the baseline; an older one, from a cache, counts as the same. */
export function compareItems(
  old: Json,
  item: Json,
  { ignore, at }: Pick<PollSettings, "ignore" | "at">,
  meter?: Meter,
): "same" | "changed" | "touched" {
  const [before, now] = [old, item].map((each) => at === undefined ? undefined : changedAt(each, at, meter));
  if (before !== undefined && now !== undefined && now < before) return "same";
  if (!isSameItem(old, item, ignore)) return "changed";
  return now === before ? "same" : "touched";
}

/** Smaller numbers are seconds since the epoch, others milliseconds: these are in 1973, seconds in the year 5138. */
const LEAST_MILLISECONDS = 1e11;

/**
 * When an item was last changed, in milliseconds since the epoch; undefined if that is unknown. Platforms send text such as
 * `2027-01-04T06:30:00Z`, or seconds or milliseconds, also as text.
 */
export function changedAt(item: Json, at: string, meter?: Meter): number | undefined {
  try {
    const value = evaluate(at, { item, index: 0, $meter: meter });
    const isNumber = typeof value === "number" || typeof value === "bigint" || /^\d{9,}(\.\d+)?$/.test(String(value));
    if (!isNumber) {
      const time = readTime(String(value));
      return Number.isNaN(time) ? undefined : time;
    }
    const time = Number(value);
    return time < LEAST_MILLISECONDS ? time * 1_000 : time;
  } catch (error) {
    if (error instanceof ExpressionError) return undefined;
    throw error;
  }
}

const TIME_WITH_ZONE = /:\d{2}.*(?:Z|GMT|UT|[+-]\d{2}:?\d{2})/i;

/** Milliseconds since the epoch, or NaN. A time without a zone is in UTC, whatever the zone of the machine. */
function readTime(text: string): number {
  const read = readFeedDate(text) ?? readFeedDate(`${text} Z`);
  return Date.parse(read ?? (TIME_WITH_ZONE.test(text) ? text : `${text} UTC`));
}

/** An event's `data`: the old item, the new one, and for a change the delta in the format of jsondiffpatch. */
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

/** Whether two items are equal, apart from ignored fields. */
export function isSameItem(one: Json, other: Json, ignore: string[]): boolean {
  return isDeepStrictEqual(without(one, ignore), without(other, ignore));
}

/** The value without the fields at the paths. A path that meets a list applies to each of its elements. */
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

/** The changes that a look reports. */
interface ReportedChanges {
  changes: Change[];
  /** By key: the run that caused the change, if a rule did. */
  causes: Map<string, Cause>;
  /** False if items were left alone: the next look has to see them again. */
  isWhole: boolean;
}

/**
 * Removes the changes of items that a `patch` of the same rule is writing to, or has written to since the look began: the
 * look may have read them before the write. If an item has values that a rule wrote, that rule's run is the change's cause.
 * @param began when the look began, in milliseconds since the epoch
 */
export async function withoutOwn(context: PollContext, found: Change[], began: number): Promise<ReportedChanges> {
  const { store, args, rule, trigger } = context;
  const reported: ReportedChanges = { changes: found, causes: new Map(), isWhole: true };
  if (found.length === 0) return reported;
  const key = { rule: rule.id, trigger: trigger.id };
  const { busy, written } = await store.getWrites(
    key,
    keyOfSource(args.poll, context),
    found.map((change) => change.key),
  );
  if (busy.size === 0 && written.size === 0) return reported;
  reported.changes = found.filter((change) => {
    const write = written.get(change.key);
    const isOwn = write !== undefined && write.rule === rule.id && write.trigger === trigger.id && write.at >= began;
    return !isOwn && !busy.has(change.key);
  });
  reported.isWhole = reported.changes.length === found.length;
  for (const { key, old, new: item } of reported.changes) {
    const write = written.get(key);
    if (write === undefined) continue;
    const hasWritten = (value: Json) => isDeepStrictEqual(takeOver({}, write.sent, value), write.values);
    if (hasWritten(item) && !hasWritten(old)) reported.causes.set(key, write.cause);
  }
  return reported;
}
