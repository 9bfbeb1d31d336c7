import type { Event } from "../../model/event.ts";
import type { Verdict } from "../../model/verdict.ts";
import type { BatchTerms, Candidate, Collection } from "../store.ts";
import { openBatch } from "./open_batch.ts";
import type { Context } from "./context.ts";

/** Bytes of JSON with which a batch closes early: it becomes one event, which rule code gets as a whole. */
const MOST_BYTES = 4 * 1024 * 1024;

interface OpenBatch {
  id: string;
  options: string;
  opened_at: number;
  closes_at: number;
  count: number;
  bytes: number;
}

/** Puts an event into the open batch of its trigger and key, or opens one. @param eventKey of the event's row */
export function collectEvent(
  context: Context,
  event: Event,
  eventKey: number,
  { rule, trigger }: Pick<Candidate, "rule" | "trigger">,
  { key, terms }: Collection,
  now: number,
): Verdict {
  const { database } = context;
  // One that is due takes nothing more, so that neither a rule that is paused nor a busy program makes it larger.
  const batch = database.one<OpenBatch>(
    "SELECT id, options, opened_at, closes_at, count, bytes FROM batches " +
      "WHERE rule = @rule AND trigger_id = ? AND key = $key AND closes_at > ? ORDER BY closes_at, id LIMIT 1",
    rule,
    trigger,
    key,
    now,
  ) ?? openBatch(context, { rule, trigger }, key, terms, now);
  const count = batch.count + 1;
  const bytes = batch.bytes + JSON.stringify(event).length;
  const isFull = count >= terms.max || bytes >= MOST_BYTES;
  const until = isFull ? now : closingTime(batch, terms, now);
  database.run(
    "UPDATE batches SET last_at = ?, closes_at = ?, count = ?, bytes = ? WHERE id = @batch",
    now,
    until,
    count,
    bytes,
    batch.id,
  );
  database.run(
    "INSERT INTO batch_events (batch, position, event) VALUES (@batch, ?, ?)",
    batch.id,
    batch.count,
    eventKey,
  );
  const reason = isFull ? `Collected: with ${events(count)} the batch is full and closes` : waits(batch, terms, until);
  return { kind: "batched", reason, until };
}

/** Silence is waited for anew with each event; nothing else moves the end of a batch, and new options never move it away. */
function closingTime(batch: OpenBatch, terms: BatchTerms, now: number): number {
  const { within = Infinity, quiet = Infinity, at = Infinity } = terms;
  const time = Math.min(batch.opened_at + within, now + quiet, at);
  if (batch.options !== terms.options) return Math.min(time, batch.closes_at);
  return terms.quiet === undefined ? batch.closes_at : time;
}

function waits(batch: OpenBatch, { quiet, within }: BatchTerms, until: number): string {
  const latest = within === undefined ? "" : ` (at the latest ${iso(batch.opened_at + within)})`;
  const longer = quiet === undefined ? "" : `, or longer while more come${latest}`;
  return `Collected until ${iso(until)}${longer}; ${events(batch.count + 1)} so far`;
}

function events(count: number): string {
  return count === 1 ? "1 event" : `${count} events`;
}

function iso(time: number): string {
  return new Date(time).toISOString();
}
