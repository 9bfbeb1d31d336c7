import { isDeepStrictEqual } from "node:util";
import { writeExactJson } from "../../formats/exact_json.ts";
import { RELIEF, relieveMemory, Slices } from "../../host/large_work.ts";
import { CursorExpired } from "../../model/errors.ts";
import { isObject, type Json, type JsonObject } from "../../model/json.ts";
import { ItemLimit, listOf, type PollContext, type Reading, settingsOf, Unchanged } from "./poll_args.ts";
import { compareItems, keyIn } from "./poll_changes.ts";
import { timesOf } from "./stagnant.ts";

/** One page as a source or a function returned it. */
interface Page {
  items: Json[];
  removed: string[];
  cursor: Json;
  more: boolean;
  complete: boolean;
}

/** The keys of a page besides `items`; without any of them, the result of a function is a list of all items. */
const PAGE_KEYS = ["cursor", "removed", "more", "complete"];

/** Whether what a function returned is a page of a source, rather than a document. */
export function isPage(output: Json): output is JsonObject {
  return isObject(output) && (Array.isArray(output.items) || (!("items" in output) && "removed" in output)) &&
    PAGE_KEYS.some((key) => key in output);
}

/**
 * Reads a source by its cursor, page after page. If the cursor has expired it is read from the start, as for the first time:
 * the differences from the baseline are then reported.
 * @param options `first`: the first page, if it is known; `keep`: what stays in memory of each page
 */
export async function readPages(
  context: PollContext,
  step: JsonObject,
  cursor: Json,
  { first, keep }: { first?: Json; keep?: KeepPage } = {},
): Promise<Reading> {
  try {
    return await readFrom(context, step, cursor, keep, first);
  } catch (error) {
    if (!(error instanceof CursorExpired)) throw error;
    context.log.info(`${context.trigger.id}: the cursor has expired, so everything is read`);
    const reading = await readAgain(context, step, keep);
    return { ...reading, cursor: reading.cursor ?? readCursor(error.cursor) };
  }
}

async function readAgain(context: PollContext, step: JsonObject, keep: KeepPage | undefined): Promise<Reading> {
  try {
    return await readFrom(context, step, null, keep);
  } catch (error) {
    if (!(error instanceof CursorExpired)) throw error;
    throw new Error("The source said that its cursor has expired when it was read without one");
  }
}

async function readFrom(
  context: PollContext,
  step: JsonObject,
  begin: Json,
  keep: KeepPage | undefined,
  first?: Json,
): Promise<Reading> {
  const settings = settingsOf(context);
  const { take = Infinity } = settings;
  const limit = new ItemLimit(settings);
  const items: (Json | Unchanged)[] = [];
  let cut = false;
  const removed = new Map<string, number>();
  const seen = new Set([writeExactJson(begin)]);
  let cursor = begin;
  for (let output = first;; output = undefined) {
    const page = readPage(output ?? await context.execute(step, { cursor }, context.signal));
    const full = limit.add(page.items.length);
    const taken = page.items.slice(0, take - items.length);
    cut ||= taken.length < page.items.length;
    // One by one: a page may have more items than a call can have arguments.
    for (const item of await keep?.(taken, items.length) ?? taken) items.push(item);
    for (const key of page.removed) removed.set(key, items.length);
    const { more, complete } = page;
    if (!more || (full && begin === null)) {
      return {
        items,
        removed,
        incremental: !complete || more || cut,
        complete: true,
        isFeed: false,
        inOrder: true,
        ...withCursor(page, begin),
      };
    }
    cursor = page.cursor ?? cursor;
    const text = writeExactJson(cursor);
    if (seen.has(text)) {
      throw new Error(
        `The source says that there is more, but gives the cursor ${text.slice(0, 200)} again: it would never end`,
      );
    }
    seen.add(text);
  }
}

/**
 * Where the next look begins. If the last page has no cursor, that is where this look began, or the start after a full
 * look: the cursors between the pages of a look are only for that look.
 */
function withCursor({ cursor, complete, more }: Page, begin: Json): Pick<Reading, "cursor"> {
  const next = more ? begin : cursor ?? (complete ? null : begin);
  return next === null ? {} : { cursor: next };
}

/** @throws Error if it is neither a page nor a list */
function readPage(output: Json): Page {
  if (Array.isArray(output)) return { items: output, removed: [], cursor: null, more: false, complete: true };
  if (!isObject(output)) {
    throw new Error(`A source returns { items, cursor, … }, got ${writeExactJson(output).slice(0, 200)}`);
  }
  if (!["items", ...PAGE_KEYS].some((key) => key in output)) {
    throw new Error(
      `A source returns { items, cursor, … }, got an object with ${Object.keys(output).join(", ") || "no keys"}`,
    );
  }
  const { items = [], removed = [], cursor = null, more = false, complete = false } = output;
  return {
    items: listOf(items, '"items" of the source'),
    removed: listOf(removed, '"removed" of the source').map(readKey),
    cursor,
    more: more === true,
    complete: complete === true,
  };
}

/** What `listen` emits. */
export function readEmitted(emitted: Json): Pick<Page, "items" | "removed" | "cursor"> {
  return readPage(emitted);
}

function readKey(key: Json): string {
  if (typeof key === "string" || typeof key === "number" || typeof key === "bigint") return String(key);
  throw new Error(`"removed" of the source lists keys, got ${writeExactJson(key).slice(0, 200)}`);
}

function readCursor(cursor: unknown): Json | undefined {
  return cursor === undefined || cursor === null ? undefined : cursor as Json;
}

/**
 * Reduces the items of a page to those that stay in memory until the look has ended.
 * @param from the number of items before the page
 */
export type KeepPage = (items: Json[], from: number) => Promise<(Json | Unchanged)[]>;

/** Items that are compared, or stored, at once. */
const CHUNK = 500;
/** How many items of a look always stay in memory. Most looks have fewer, so that they change nothing if they fail later. */
const HELD = 10_000;

/**
 * Keeps only the keys of items that equal those of the baseline, so that a look needs memory for its changes, not for all
 * items. On the first look, which emits no events, the items go into the baseline page by page; if it fails, the next one
 * stores only what differs.
 * @param seeding the trigger's mark until the first look has ended; undefined if there is a baseline to compare with
 * @returns undefined if the items have no keys
 */
export function keeperOf(context: PollContext, seeding: JsonObject | undefined): KeepPage | undefined {
  const { key } = settingsOf(context);
  if (key === undefined) return undefined;
  return async (items, from) => {
    if (from + items.length <= HELD) return items;
    const kept: (Json | Unchanged)[] = [];
    const slices = new Slices();
    for (let at = 0; at < items.length; at += CHUNK) {
      const named = items.slice(at, at + CHUNK).map((item, index): [string | undefined, Json] => {
        return [keyIn(item, from + at + index, key, context.meter), item];
      });
      const inBaseline = seeding === undefined
        ? await unchangedOf(context, named)
        : await store(context, named, seeding);
      for (const [name, item] of named) kept.push(inBaseline(name, item) ? new Unchanged(name!) : item);
      if (slices.isOver) await slices.next();
    }
    if ((from + items.length) % RELIEF < items.length) relieveMemory();
    return kept;
  };
}

type InBaseline = (name: string | undefined, item: Json) => boolean;

async function unchangedOf(context: PollContext, named: [string | undefined, Json][]): Promise<InBaseline> {
  const { store, rule, trigger, meter } = context;
  const settings = settingsOf(context);
  const keys = named.flatMap(([name]) => name === undefined ? [] : [name]);
  const known = await store.getItems({ rule: rule.id, trigger: trigger.id }, keys);
  return (name, item) => {
    const old = name === undefined ? undefined : known.get(name);
    return old !== undefined && compareItems(old, item, settings, meter) === "same";
  };
}

async function store(
  context: PollContext,
  named: [string | undefined, Json][],
  mark: JsonObject,
): Promise<InBaseline> {
  const { store, rule, trigger, signal, clock } = context;
  const items = [...new Map(named)].filter((entry): entry is [string, Json] => entry[0] !== undefined);
  const known = await store.getItems({ rule: rule.id, trigger: trigger.id }, items.map(([name]) => name));
  const put = items.filter(([name, item]) => !isDeepStrictEqual(known.get(name), item));
  signal.throwIfAborted();
  if (put.length > 0) {
    await context.ingest([], { mark, baseline: { put, remove: [], times: timesOf(context, put, clock.now()) } });
  }
  return (name) => name !== undefined;
}
