import { isDeepStrictEqual } from "node:util";
import { RELIEF, relieveMemory } from "../../host/memory.ts";
import { Slices } from "../../host/slices.ts";
import type { Json, JsonObject } from "../../model/json.ts";
import { type PollContext, Unchanged } from "./poll_args.ts";
import { compareItems, keyIn } from "./poll_changes.ts";
import { settingsOf } from "./poll_settings.ts";
import { timesOf } from "./stagnant.ts";

/**
 * Reduces the items of a page to those that stay in memory until the look has ended.
 * @param from the number of items before the page
 */
export type KeepPage = (items: Json[], from: number) => Promise<(Json | Unchanged)[]>;

/** Items that are compared, or stored, at once. */
const CHUNK = 500;
/** The first items of a look, which always stay in memory: most looks have fewer, and so change nothing if they fail later. */
const HELD = 10_000;

/**
 * Keeps only the keys of items that equal those of the baseline, so that a look needs memory for its changes, not for all items. On
 * the first look, which emits no events, the items go into the baseline page by page; if it fails, the next one stores only what differs.
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
