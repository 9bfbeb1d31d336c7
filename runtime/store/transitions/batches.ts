import type { Event } from "../../model/event.ts";
import { writeExactJson } from "../../formats/exact_json.ts";
import { newId } from "../../model/id.ts";
import type { Verdict } from "../../model/verdict.ts";
import { join, ordered } from "../ledger/ordered.ts";
import type { Rows } from "../ledger/rows.ts";
import type { BatchRow } from "../ledger/tables.ts";
import type { BatchTerms, Candidate, Collection, DueBatch, TriggerKey } from "../store.ts";
import type { At } from "./transition.ts";

/** Bytes of JSON with which a batch closes early: it becomes one event, which rule code gets as a whole. */
const MOST_BYTES = 4 * 1024 * 1024;

/** Opens a batch of a trigger and key, without events so far. */
function openBatch(rows: Rows, { rule, trigger }: TriggerKey, key: string | null, terms: BatchTerms, { now }: At) {
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

/** Sees to it that one is open: a report is due even if nothing comes. One that waits for its rule to be resumed is enough. */
export function keepOpen(rows: Rows, trigger: TriggerKey, terms: BatchTerms, at: At): void {
  const open = rows.first("batch", "key", join(trigger.rule, trigger.trigger, "null", ""));
  if (open === undefined) openBatch(rows, trigger, null, terms, at);
}

/** Puts an event into the open batch of its trigger and key, or opens one. @param eventKey of the event's row */
export function collectEvent(
  rows: Rows,
  event: Event,
  eventKey: number,
  { rule, trigger }: Pick<Candidate, "rule" | "trigger">,
  { key, terms }: Collection,
  at: At,
): Verdict {
  const { now } = at;
  const prefix = join(rule, trigger, JSON.stringify(key), "");
  // One that is due takes nothing more, so that neither a rule that is paused nor a busy program makes it larger.
  const batch = rows.first("batch", "key", prefix, join(prefix.slice(0, -1), ordered(now + 1))) ??
    openBatch(rows, { rule, trigger }, key, terms, at);
  const count = batch.count + 1;
  const bytes = batch.bytes + writeExactJson(event).length;
  const isFull = count >= terms.max || bytes >= MOST_BYTES;
  const until = isFull ? now : closingTime(batch, terms, now);
  rows.put("batch", batch.id, { ...batch, lastAt: now, closesAt: until, count, bytes });
  rows.put("collected", collectedKey(batch.id, batch.count), { batch: batch.id, event: eventKey });
  const reason = isFull ? `Collected: with ${events(count)} the batch is full and closes` : waits(batch, terms, until);
  return { kind: "batched", reason, until };
}

/** The keys of the events of an open batch, in order. */
export function collectedEvents(rows: Rows, batch: string): number[] {
  return rows.range("collected", "batch", join(batch, "")).map(({ event }) => event);
}

/** The batch is gone. */
export function dropBatch(rows: Rows, { id, count }: BatchRow): void {
  for (let position = 0; position < count; position++) rows.drop("collected", collectedKey(id, position));
  rows.drop("batch", id);
}

/** What was collected under other options closes at the earlier of the two times. One without events begins again. */
export function adaptBatches(rows: Rows, triggers: (TriggerKey & { terms: BatchTerms })[], at: At): void {
  for (const { rule, trigger, terms } of triggers) {
    for (const batch of rows.range("batch", "key", join(rule, trigger, ""))) {
      if (batch.options === terms.options || batch.closesAt <= at.now) continue;
      if (batch.count === 0) dropBatch(rows, batch);
      else rows.put("batch", batch.id, { ...batch, closesAt: adaptedTime(batch, terms, at.now) });
    }
    if (terms.empty) keepOpen(rows, { rule, trigger }, terms, at);
  }
}

function adaptedTime({ closesAt, openedAt, lastAt, count }: BatchRow, terms: BatchTerms, now: number): number {
  const { within = Infinity, quiet = Infinity, at = Infinity, max } = terms;
  return Math.min(closesAt, openedAt + within, lastAt + quiet, at, count >= max ? now : Infinity);
}

/** When the next batch of one of these rules closes; one look at an index for each rule, however many batches it has. */
export function nextBatchDue(rows: Rows, rules: string[]): number | undefined {
  const times = rules.flatMap((rule) => rows.first("batch", "due", join(rule, ""))?.closesAt ?? []);
  return times.length > 0 ? Math.min(...times) : undefined;
}

/** Up to `max` batches of these rules whose time has come, oldest first. */
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

/** Silence is waited for again with each event; nothing else moves the end of a batch, and new options never move it away. */
function closingTime(batch: BatchRow, terms: BatchTerms, now: number): number {
  const { within = Infinity, quiet = Infinity, at = Infinity } = terms;
  const time = Math.min(batch.openedAt + within, now + quiet, at);
  if (batch.options !== terms.options) return Math.min(time, batch.closesAt);
  return terms.quiet === undefined ? batch.closesAt : time;
}

function waits(batch: BatchRow, { quiet, within }: BatchTerms, until: number): string {
  const latest = within === undefined ? "" : ` (at the latest ${iso(batch.openedAt + within)})`;
  const longer = quiet === undefined ? "" : `, or longer while more come${latest}`;
  return `Collected until ${iso(until)}${longer}; ${events(batch.count + 1)} so far`;
}

function events(count: number): string {
  return count === 1 ? "1 event" : `${count} events`;
}

function iso(time: number): string {
  return new Date(time).toISOString();
}
