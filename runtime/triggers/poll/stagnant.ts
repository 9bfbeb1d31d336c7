import { messageOf, RetryAfterError } from "../../model/errors.ts";
import type { Json } from "../../model/json.ts";
import type { ItemTime } from "../../store/store.ts";
import { readBaseline, type TriggerEvent } from "../trigger.ts";
import { type PollContext, type PollSettings, type ReadPollArgs, settingsOf, stepOf } from "./poll_args.ts";
import { changedAt, changeData, isSameItem, withoutOwn } from "./poll_changes.ts";

/** Entries of the index in one transition. */
const CHUNK = 200;
/** How many items are read again in one look; the next look continues with the others. */
const MOST_ASKED = 500;

/** When an item of the index last changed, in milliseconds. */
type ChangeTime = [key: string, at: number | null];

/** Where the last look of a trigger stopped reading items. */
const positions = new WeakMap<object, ItemTime>();

/** The times of change of items that are put into the baseline; undefined without `stagnant`. */
export function timesOf(
  context: PollContext,
  items: Iterable<[string, Json]>,
  seenAt: number,
): ChangeTime[] | undefined {
  if (context.args.stagnant === undefined) return undefined;
  const settings = settingsOf(context);
  return [...items].map(([key, item]) => [key, timeOf(context, settings, item) ?? seenAt]);
}

function timeOf({ meter }: PollContext, { at }: PollSettings, item: Json): number | undefined {
  const time = at === undefined ? undefined : changedAt(item, at, meter);
  return time === undefined ? undefined : Math.max(0, Math.floor(time));
}

/** Makes the index of a baseline that has none, because `stagnant` is new: an item without a time of its own counts from now. */
export async function indexBaseline(context: PollContext): Promise<void> {
  const now = context.clock.now();
  for await (const page of readBaseline(context)) {
    await context.ingest([], { baseline: { put: [], remove: [], times: timesOf(context, page, now) } });
  }
}

/** The outcome for stagnant items: events, and the changes of the baseline and its index. */
interface Judged {
  events: TriggerEvent[];
  put: [string, Json][];
  remove: string[];
  times: ChangeTime[];
}

/**
 * Emits an event, once, for each item that has not changed for `stagnant`. If the source can read one item, the item is
 * judged as it is now. If the condition of the rule does not hold, it is judged again at the next look.
 * @param began when the baseline was started: part of the events' ids
 */
export async function emitStagnant(context: PollContext, began: string): Promise<void> {
  const { store, clock, rule, trigger, signal, args: { stagnant } } = context;
  if (stagnant === undefined) return;
  const before = clock.now() - stagnant;
  const asks = context.args.one !== undefined || context.source?.methods.includes("one") === true;

  let after = positions.get(context);
  positions.delete(context);
  for (let asked = 0;;) {
    const due = await store.getStagnant({ rule: rule.id, trigger: trigger.id }, before, CHUNK, after);
    if (due.length === 0 || signal.aborted) return;
    const judged = await judgeAll(context, due, before, began);
    const { events, ...baseline } = judged;
    if (baseline.times.length + baseline.remove.length > 0) await context.ingest(events, { baseline });
    after = due.at(-1)!;
    asked += due.length;
    if (due.length < CHUNK) return;
    if (asks && asked >= MOST_ASKED) return void positions.set(context, due.at(-1)!);
  }
}

async function judgeAll(context: PollContext, due: [string, number][], before: number, began: string): Promise<Judged> {
  const { store, rule, trigger } = context;
  const known = await store.getItems({ rule: rule.id, trigger: trigger.id }, due.map(([key]) => key));
  const judged: Judged = { events: [], put: [], remove: [], times: [] };
  for (const [key, at] of due) {
    const old = known.get(key);
    if (old === undefined) judged.times.push([key, null]);
    else await judge(context, { key, at, old, before, prefix: Date.parse(began).toString(36) }, judged);
  }
  return judged;
}

async function judge(
  context: PollContext,
  { key, at, old, before, prefix }: { key: string; at: number; old: Json; before: number; prefix: string },
  judged: Judged,
): Promise<void> {
  const { args: { on }, clock, log, signal, trigger } = context;
  const lookedAt = clock.now();
  const settings = settingsOf(context);
  let fresh: Json | undefined;
  try {
    fresh = await readOne(context, key);
  } catch (error) {
    if (signal.aborted || error instanceof RetryAfterError) throw error;
    // The item is judged again at the next look.
    return log.warn(`${trigger.id}: cannot read ${key} again: ${messageOf(error)}`);
  }
  const id = (type: string, time: number) => `${prefix}.${type}.${time.toString(36)}.${key}`;
  if (fresh === null) {
    judged.remove.push(key);
    const data = changeData({ type: "removed", key, old, new: null }, []);
    if (on.includes("removed")) judged.events.push({ id: id("removed", at), type: "removed", subject: key, data });
    return;
  }
  const item = fresh ?? old;
  const same = isSameItem(old, item, settings.ignore);
  const time = timeOf(context, settings, item) ?? (same ? at : clock.now());
  if (fresh !== undefined && (!same || time !== at)) {
    const change = { type: "changed" as const, key, old, new: item };
    const { changes, causes } = await withoutOwn(context, [change], lookedAt);
    if (changes.length === 0) return;
    judged.put.push([key, item]);
    const data = changeData(change, settings.ignore);
    const cause = causes.get(key);
    if (!same && on.includes("changed")) {
      judged.events.push({ id: id("changed", time), type: "changed", subject: key, data, ...cause && { cause } });
    }
    judged.times.push([key, time]);
  }
  if (time > before) return;
  const event: TriggerEvent = {
    id: id("stagnant", time),
    type: "stagnant",
    subject: key,
    data: { old, new: item, diff: null },
  };
  if (!await context.holds(event)) return;
  judged.events.push(event);
  judged.times.push([key, null]);
}

/** Whether a poll with `stagnant` can keep its items apart. */
export function checkStagnant({ stagnant, key, poll }: Pick<ReadPollArgs, "stagnant" | "key" | "poll">): string[] {
  const mayHaveKey = key !== undefined || (typeof poll !== "string" && "call" in poll);
  return stagnant === undefined || mayHaveKey ? [] : ['"stagnant" needs "key", which says which item is which'];
}

/**
 * Reads one item.
 * @returns null if it is gone; undefined if its source cannot read one item
 */
async function readOne(context: PollContext, key: string): Promise<Json | undefined> {
  const { args: { poll, one }, source, signal } = context;
  if (one === undefined && !source?.methods.includes("one")) return undefined;
  return await context.execute(stepOf(poll), { key }, signal, { method: "one" });
}
