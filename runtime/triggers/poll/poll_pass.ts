import { isDeepStrictEqual } from "node:util";
import { inSlices, RELIEF, relieveMemory } from "../../host/large_work.ts";
import { sleepFor } from "../../host/clock.ts";
import { RetryAfterError } from "../../model/errors.ts";
import type { Cause } from "../../model/event.ts";
import type { Json, JsonObject } from "../../model/json.ts";
import { readBaseline, type TriggerEvent } from "../trigger.ts";
import { keeperOf, type KeepPage } from "./read_pages.ts";
import { hashOf, listOf, PollCappedError, type PollContext, type Reading, settingsOf, Unchanged } from "./poll_args.ts";
import { emitStagnant, indexBaseline, timesOf } from "./stagnant.ts";
import { readSource } from "./poll_source.ts";
import { type Change, changeData, findChanges, type KeyedItems, keyItems, WHOLE, withoutOwn } from "./poll_changes.ts";

/** The progress of a poll; stored in the same transition as its events and its baseline. */
export interface PollMark {
  /** A hash of the settings that the baseline was made with. If it differs, a new baseline is started. */
  fingerprint: string;
  /** When the baseline was started: part of the events' ids. */
  began: string;
  /** Counts the transitions that had changes: part of the events' ids. */
  sequence: number;
  polled: string;
  /** The source asked not to be polled before this time. */
  notBefore?: string;
  /** The baseline is not complete yet; `again` if it replaces one of other settings. The next poll completes it. */
  seeding?: true | "again";
  etag?: string;
  lastModified?: string;
  cursor?: Json;
  /** The index of the times of change is complete. */
  timed?: true;
}

/** At most this many events, or items of a baseline, are in one transition. */
const CHUNK = 500;
/** Milliseconds until pushed items are compared again, if a rule is writing to them. */
const BUSY = 250;
/** Polls that found nothing are stored this often, to avoid a write for each. */
const NOTE_EVERY = 60_000;
/** A source that asks for a longer pause is polled again after this time. */
const LONGEST_PAUSE = 86_400_000;

export async function readPollMark(
  { store, rule, trigger }: Pick<PollContext, "store" | "rule" | "trigger">,
): Promise<PollMark | undefined> {
  return await store.getMark({ rule: rule.id, trigger: trigger.id }) as PollMark | undefined;
}

/**
 * Polls once. The events, the new baseline and the cursor are stored in one transition, or in several complete ones if there are
 * many changes. A failure leaves all of them as they were.
 * @throws the cause of a failure
 */
export async function pollOnce(context: PollContext): Promise<void> {
  const stored = await readPollMark(context);
  const polled = context.clock.now();
  const reading = await readOrPostpone(context, stored, polled);
  if (context.signal.aborted) return;
  const began = await takeReading(context, reading, stored, polled);
  await emitStagnant(context, began);
}

/** The progress of the baseline, if that was made with the present settings. */
export function knownMark(context: PollContext, stored: PollMark | undefined): PollMark | undefined {
  return stored !== undefined && !stored.seeding && stored.fingerprint === fingerprintOf(context) ? stored : undefined;
}

/**
 * Compares what was read with the baseline, and stores what follows: the events, the new baseline and the cursor.
 * @param reading null if the source says that nothing has changed
 * @param readAt when reading began
 * @returns when the baseline was started
 */
export async function takeReading(
  context: PollContext,
  reading: Reading | null,
  stored: PollMark | undefined,
  readAt: number,
): Promise<string> {
  const { args } = context;
  const known = knownMark(context, stored);
  const polled = new Date(readAt).toISOString();
  const timed: true | undefined = args.stagnant === undefined ? undefined : true;
  if (timed && known !== undefined && !known.timed) await indexBaseline(context);
  if (reading === null) {
    await note(context, known!, { ...known!, polled, notBefore: undefined, timed });
    return known!.began;
  }
  const { etag, lastModified, cursor, isPushed } = reading;
  const begun = known
    ? { ...markOf(context, readAt), began: known.began, sequence: known.sequence }
    : markOf(context, readAt);
  const done: PollMark = { ...begun, etag, lastModified, cursor, timed };
  // Pushed items are new, even the first ones.
  const isReported = known !== undefined || isPushed || (isFirstLook(stored) && args.first === "emit");
  if (isReported) await emitChanges(context, reading, known, done, readAt);
  else await seed(context, reading, stored, done);
  return done.began;
}

/** Reads the source. If it fails and asks for a pause, the pause is stored before the error is thrown again. */
async function readOrPostpone(
  context: PollContext,
  stored: PollMark | undefined,
  readAt: number,
): Promise<Reading | null> {
  const known = knownMark(context, stored);
  try {
    const reading = await readSource(context, known ?? {}, keeperFor(context, stored, readAt));
    return reading && limited(context, reading);
  } catch (error) {
    const until = askedBackOff(error, context.clock.now());
    if (until !== undefined && stored !== undefined) {
      await save(context, { ...stored, notBefore: new Date(until).toISOString() });
    }
    throw error;
  }
}

/** Reduces the pages of a look in memory; undefined if all items stay. */
function keeperFor(context: PollContext, stored: PollMark | undefined, readAt: number): KeepPage | undefined {
  if (knownMark(context, stored) !== undefined) return keeperOf(context, undefined);
  // A baseline of other settings stays until the whole look has succeeded; items that become events stay in memory.
  if (!isFirstLook(stored) || context.args.first !== "seed") return undefined;
  const timed = context.args.stagnant === undefined ? undefined : true;
  return keeperOf(context, markAsJson({ ...markOf(context, readAt), seeding: true, timed }));
}

/** Whether no look has succeeded yet. */
function isFirstLook(stored: PollMark | undefined): boolean {
  return stored === undefined || stored.seeding === true;
}

/** The mark of a new baseline. */
function markOf(context: PollContext, readAt: number): PollMark {
  const polled = new Date(readAt).toISOString();
  return { fingerprint: fingerprintOf(context), began: polled, sequence: 0, polled };
}

/**
 * The first items that the poll takes.
 * @throws PollCappedError if there are more than it may have
 */
function limited(context: PollContext, reading: Reading): Reading {
  const { items } = reading;
  if (!Array.isArray(items) || (keyOf(context, reading) === undefined && !reading.incremental)) return reading;
  const { take, max } = settingsOf(context);
  if (take !== undefined && items.length > take) return { ...reading, items: items.slice(0, take), complete: false };
  if (take === undefined && items.length > max) throw new PollCappedError(items.length, max);
  return reading;
}

/** The time before which a failed source asked not to be polled; undefined if it did not ask. */
export function askedBackOff(error: unknown, now: number): number | undefined {
  return error instanceof RetryAfterError ? now + Math.min(error.retryAfter, LONGEST_PAUSE) : undefined;
}

async function note(context: PollContext, before: PollMark, mark: PollMark): Promise<void> {
  const recent = Date.parse(mark.polled) - Date.parse(before.polled) < NOTE_EVERY;
  if (recent && isDeepStrictEqual(markAsJson({ ...mark, polled: before.polled }), markAsJson(before))) return;
  await save(context, mark);
}

async function seed(
  context: PollContext,
  reading: Reading,
  stored: PollMark | undefined,
  done: PollMark,
): Promise<void> {
  const key = keyOf(context, reading);
  const items = reading.incremental && key === undefined
    ? new Map<string, Json>()
    : (await keyedItems(context, reading, key)).items;
  const seeding: PollMark = { ...done, seeding: isFirstLook(stored) ? true : "again" };
  const isBegun = stored?.seeding !== undefined || items.values().some((item) => item instanceof Unchanged);
  if (isBegun) await removeUnseen(context, items, seeding);
  if (stored?.seeding && done.timed && !stored.timed) await indexBaseline(context);
  const chunks = [...chunked(changedOf(items))];
  const seenAt = context.clock.now();
  if (chunks.length === 0) chunks.push([]);
  for (const [index, put] of chunks.entries()) {
    if (context.signal.aborted) return;
    if (index % (RELIEF / CHUNK) === 1) relieveMemory();
    const mark: PollMark = index === chunks.length - 1 ? done : seeding;
    const times = timesOf(context, put, seenAt);
    const clear = index === 0 && !isBegun;
    await context.ingest([], { mark: markAsJson(mark), baseline: { put, remove: [], times, ...clear && { clear } } });
  }
}

/** Removes items that earlier looks have stored and that no longer exist. */
async function removeUnseen(context: PollContext, items: KeyedItems["items"], mark: PollMark): Promise<void> {
  for await (const page of readBaseline(context)) {
    const remove = [...page.keys()].filter((key) => !items.has(key));
    if (context.signal.aborted) return;
    if (remove.length > 0) await context.ingest([], { mark: markAsJson(mark), baseline: { put: [], remove } });
  }
}

async function emitChanges(
  context: PollContext,
  reading: Reading,
  known: PollMark | undefined,
  done: PollMark,
  lookedAt: number,
): Promise<void> {
  const key = keyOf(context, reading);
  if (reading.incremental && key === undefined) return await emitAll(context, reading, known, done);
  const { args } = context;
  const keepAbsent = reading.incremental || !reading.complete;
  const settings = settingsOf(context, reading.isFeed);
  const keyed = await keyedItems(context, reading, key);
  const baseline = known === undefined ? nothing() : keepAbsent ? readItems(context, keyed) : readBaseline(context);
  const found = await findChanges(baseline, keyed, settings, keepAbsent, context.meter);
  const { changes, causes, isWhole } = await withoutOwn(context, found, lookedAt);
  // Pushed items do not come again, so they wait until the write is recorded.
  if (reading.isPushed && !isWhole) {
    await sleepFor(context.clock, BUSY, context.signal);
    context.signal.throwIfAborted();
    return await emitChanges(context, reading, known, done, context.clock.now());
  }
  const chunks = [...chunked(changes)];
  // Items that were left alone are read again at the next look.
  if (!isWhole && known !== undefined) {
    const { etag, lastModified, cursor } = known;
    Object.assign(done, { etag, lastModified, cursor });
  }
  if (chunks.length === 0 && known !== undefined) return await note(context, known, done);
  if (chunks.length === 0) chunks.push([]);
  // The old cursor and validators stay until the last chunk, so that the remaining changes are found again after a crash.
  const { sequence } = done;
  const { etag, lastModified, cursor } = known ?? {};
  for (const [index, chunk] of chunks.entries()) {
    if (context.signal.aborted) return;
    const last = index === chunks.length - 1;
    const mark = { ...done, ...(!last && { etag, lastModified, cursor }), sequence: sequence + index + 1 };
    const put = chunk.filter(({ type }) => type !== "removed").map((
      change,
    ): [string, Json] => [change.key, change.new]);
    const wanted = chunk.filter(({ type }) => type !== "touched" && args.on.includes(type));
    const events = await inSlices(
      wanted,
      (change) => toEvent(change, mark, reading, settings.ignore, causes.get(change.key)),
    );
    await context.ingest(events, {
      mark: markAsJson(mark),
      baseline: {
        ...(known === undefined && index === 0 && { clear: true }),
        put,
        times: timesOf(context, put, Date.parse(done.polled)),
        remove: chunk.filter(({ type }) => type === "removed").map((change) => change.key),
      },
    });
  }
}

/**
 * Emits items without a key since the last cursor: all are new. Items that are read again from the same cursor get the same
 * ids, so that none is doubled; pushed items come once.
 */
async function emitAll(
  context: PollContext,
  reading: Reading,
  known: PollMark | undefined,
  done: PollMark,
): Promise<void> {
  const items = listOf<Json>(reading.items as Json, "the source");
  if (!context.args.on.includes("added")) return await save(context, done);
  const { began, sequence } = done;
  const { etag, lastModified, cursor } = known ?? {};
  const events = await inSlices(items, (item, index): TriggerEvent => ({
    id: reading.isPushed ? `${began}.${sequence}.${index}` : hashOf([known?.cursor ?? null, index, item]),
    type: "added",
    data: { old: null, new: item, diff: null },
  }));
  const chunks = [...chunked(events)];
  if (chunks.length === 0) return await (known === undefined ? save(context, done) : note(context, known, done));
  for (const [index, chunk] of chunks.entries()) {
    if (context.signal.aborted) return;
    const last = index === chunks.length - 1;
    const mark = { ...done, ...(!last && { etag, lastModified, cursor }), sequence: sequence + index + 1 };
    await context.ingest(chunk, { mark: markAsJson(mark) });
  }
}

function toEvent(
  change: Change,
  mark: PollMark,
  { isFeed }: Reading,
  ignore: string[],
  cause: Cause | undefined,
): TriggerEvent {
  const { type, key } = change;
  // An item that drops out of a feed and comes back is not new: it gets the same id as before.
  const moment = isFeed && type === "added" ? "feed" : `${Date.parse(mark.began).toString(36)}.${mark.sequence}`;
  const id = `${moment}.${key}`;
  return {
    id: id.length <= 200 ? id : hashOf(id),
    type,
    ...(key !== WHOLE && { subject: key }),
    data: changeData(change, ignore),
    ...cause && { cause },
  };
}

function* changedOf(items: KeyedItems["items"]): Generator<[string, Json]> {
  for (const [key, item] of items) if (!(item instanceof Unchanged)) yield [key, item];
}

async function* nothing(): AsyncGenerator<never> {}

/** The baseline's items with the keys that were read; the others do not matter. */
async function* readItems(
  { store, rule, trigger }: PollContext,
  { items, removed }: KeyedItems,
): AsyncGenerator<Map<string, Json>> {
  const wanted = new Set(removed);
  for (const [key] of changedOf(items)) wanted.add(key);
  for (const keys of chunked(wanted)) {
    yield await store.getItems({ rule: rule.id, trigger: trigger.id }, keys);
  }
}

/**
 * The items by key; logs which ones are left out.
 * @throws Error if all items are left out: this is then not the intended list, and no item of that list was removed
 */
async function keyedItems(
  context: PollContext,
  reading: Reading,
  key: string | undefined,
): Promise<KeyedItems> {
  const { trigger, log, meter } = context;
  const keyed = await keyItems(reading, { ...settingsOf(context, reading.isFeed), key }, meter);
  const { items, warnings } = keyed;
  if (items.size === 0 && warnings.length > 0 && !reading.incremental) {
    throw new Error(`No item of the source has a key: ${warnings[0]}`);
  }
  for (const warning of warnings) log.warn(`${trigger.id}: ${warning}`);
  return keyed;
}

function keyOf(context: PollContext, { isFeed }: Reading): string | undefined {
  const { args } = context;
  return settingsOf(context).key ?? (isFeed && args.items === undefined ? "item.id" : undefined);
}

/** A hash of the settings without credentials: a new token does not make a new source. */
function fingerprintOf(context: PollContext): string {
  const { poll, items, format, charset } = context.args;
  const reading = [items, settingsOf(context).key, format, charset].map((option) => option ?? null);
  if (typeof poll === "string") return hashOf([poll, ...reading]);
  const { headers: _headers, auth: _auth, env: _env, timeout: _timeout, retry: _retry, ...source } = poll;
  return hashOf([source, ...reading]);
}

async function save(context: PollContext, mark: PollMark): Promise<void> {
  await context.ingest([], { mark: markAsJson(mark) });
}

function markAsJson(mark: PollMark): JsonObject {
  return Object.fromEntries(Object.entries(mark).filter(([, value]) => value !== undefined));
}

function* chunked<T>(values: Iterable<T>): Generator<T[]> {
  let chunk: T[] = [];
  for (const value of values) {
    chunk.push(value);
    if (chunk.length === CHUNK) {
      yield chunk;
      chunk = [];
    }
  }
  if (chunk.length > 0) yield chunk;
}
