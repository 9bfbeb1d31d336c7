import { writeExactJson } from "../../formats/exact_json.ts";
import type { Event, Verdict } from "../../model/event.ts";
import { newId } from "../../model/id.ts";
import { join, ordered } from "../ledger/keys.ts";
import type { Rows } from "../ledger/rows.ts";
import type { BatchRow } from "../ledger/tables.ts";
import type { BatchTerms, Candidate, Collection, DueBatch, TriggerKey } from "../store.ts";
import type { TransitionContext } from "./transition.ts";

/** Bytes of JSON at which a batch closes early: it becomes one event, which rule code gets as a whole. */
const MOST_BYTES = 4 * 1024 * 1024;

/** Opens an empty batch of a trigger and key. */
function openBatch(
  rows: Rows,
  { rule, trigger }: TriggerKey,
  key: string | null,
  terms: BatchTerms,
  { now }: TransitionContext,
) {
  const { within = Infinity, quiet = Infinity, at = Infinity, options } = terms;
  const batch: BatchRow = {
    id: newId(now),
    rule,
    trigger,
    key,
    options,
    openedAt: now,
    lastAt: now,
    closesAt: Math.min(now + within, now + quiet, at),
    count: 0,
    bytes: 0,
  };
  rows.put("batch", batch.id, batch);
  return batch;
}

/** Makes sure that a batch is open, so that it closes even without events. One that waits for its paused rule also counts. */
export function keepOpen(rows: Rows, trigger: TriggerKey, terms: BatchTerms, context: TransitionContext): void {
  const open = rows.first("batch", "key", join(trigger.rule, trigger.trigger, "null", ""));
  if (open === undefined) openBatch(rows, trigger, null, terms, context);
}

/** Puts an event into the open batch of its trigger and key, or opens one. @param eventKey of the event's row */
export function collectEvent(
  rows: Rows,
  event: Event,
  eventKey: number,
  { rule, trigger }: Pick<Candidate, "rule" | "trigger">,
  { key, terms }: Collection,
  context: TransitionContext,
): Verdict {
  const { now } = context;
  const prefix = join(rule, trigger, JSON.stringify(key), "");
  // A due batch takes no more events, so that it does not grow while its rule is paused or the program is busy.
  const batch = rows.first("batch", "key", prefix, join(prefix.slice(0, -1), ordered(now + 1))) ??
    openBatch(rows, { rule, trigger }, key, terms, context);
  const count = batch.count + 1;
  const bytes = batch.bytes + writeExactJson(event).length;
  const isFull = count >= terms.max || bytes >= MOST_BYTES;
  const until = isFull ? now : closingTime(batch, terms, now);
  rows.put("batch", batch.id, { ...batch, lastAt: now, closesAt: until, count, bytes });
  rows.put("collected", collectedKey(batch.id, batch.count), { batch: batch.id, event: eventKey });
  const reason = isFull
    ? `Collected: with ${countOf(count)} the batch is full and closes`
    : describeOpen(batch, terms, until);
  return { kind: "batched", reason, until };
}

/** The keys of the events of an open batch, in order. */
export function collectedEvents(rows: Rows, batch: string): number[] {
  return rows.range("collected", "batch", join(batch, "")).map(({ event }) => event);
}

/** Removes a batch. */
export function dropBatch(rows: Rows, { id, count }: BatchRow): void {
  for (let position = 0; position < count; position++) rows.drop("collected", collectedKey(id, position));
  rows.drop("batch", id);
}

/** Applies new options: a batch with events closes at the earlier of its old and new time; an empty one starts again. */
export function adaptBatches(
  rows: Rows,
  triggers: (TriggerKey & { terms: BatchTerms })[],
  context: TransitionContext,
): void {
  for (const { rule, trigger, terms } of triggers) {
    for (const batch of rows.range("batch", "key", join(rule, trigger, ""))) {
      if (batch.options === terms.options || batch.closesAt <= context.now) continue;
      if (batch.count === 0) dropBatch(rows, batch);
      else rows.put("batch", batch.id, { ...batch, closesAt: adaptedTime(batch, terms, context.now) });
    }
    if (terms.empty) keepOpen(rows, { rule, trigger }, terms, context);
  }
}

function adaptedTime({ closesAt, openedAt, lastAt, count }: BatchRow, terms: BatchTerms, now: number): number {
  const { within = Infinity, quiet = Infinity, at = Infinity, max } = terms;
  return Math.min(closesAt, openedAt + within, lastAt + quiet, at, count >= max ? now : Infinity);
}

/** When the next batch of one of these rules closes. One index look-up per rule, however many batches it has. */
export function nextBatchDue(rows: Rows, rules: string[]): number | undefined {
  const times = rules.flatMap((rule) => rows.first("batch", "due", join(rule, ""))?.closesAt ?? []);
  return times.length > 0 ? Math.min(...times) : undefined;
}

/** Up to `max` due batches of these rules, oldest first. */
export function dueBatches(rows: Rows, rules: string[], max: number, now: number): DueBatch[] {
  const due = rules.flatMap((rule) => {
    const batches = rows.range("batch", "due", join(rule, ""), max);
    return batches.filter(({ closesAt }) => closesAt <= now);
  });
  due.sort((a, b) => a.closesAt - b.closesAt || (a.id < b.id ? -1 : 1));
  return due.slice(0, max).map(({ id, rule, trigger, closesAt }) => ({ id, rule, trigger, closesAt }));
}

function collectedKey(batch: string, position: number): string {
  return join(batch, String(position).padStart(6, "0"));
}

/** Each event restarts the `quiet` time. Nothing else moves the end of a batch, and new options never delay it. */
function closingTime(batch: BatchRow, terms: BatchTerms, now: number): number {
  const { within = Infinity, quiet = Infinity, at = Infinity } = terms;
  const time = Math.min(batch.openedAt + within, now + quiet, at);
  if (batch.options !== terms.options) return Math.min(time, batch.closesAt);
  return terms.quiet === undefined ? batch.closesAt : time;
}

function describeOpen(batch: BatchRow, { quiet, within }: BatchTerms, until: number): string {
  const latest = within === undefined ? "" : ` (at the latest ${iso(batch.openedAt + within)})`;
  const longer = quiet === undefined ? "" : `, or longer while more come${latest}`;
  return `Collected until ${iso(until)}${longer}; ${countOf(batch.count + 1)} so far`;
}

function countOf(count: number): string {
  return count === 1 ? "1 event" : `${count} events`;
}

function iso(time: number): string {
  return new Date(time).toISOString();
}
