import type { Event } from "../../model/event.ts";
import type { Verdict } from "../../model/verdict.ts";
import type { BatchClosing, Receipt } from "../store.ts";
import { takeIn } from "./accept.ts";
import type { Context } from "./context.ts";
import { keepOpen } from "./open_batch.ts";
import { eventKey } from "./replies.ts";
import { readEvent } from "./rows.ts";

interface ClosingBatch {
  id: string;
  rule: string;
  trigger_id: string;
  key: string;
  opened_at: number;
  count: number;
}

/** The batch becomes an event, which is admitted like any other, and is gone: one run for each batch. */
export function closeBatch(context: Context, closing: BatchClosing, now: number): Receipt | undefined {
  const { database } = context;
  const batch = database.one<ClosingBatch>(
    "SELECT id, rule, trigger_id, key, opened_at, count FROM batches WHERE id = @batch",
    closing.batch,
  );
  if (!batch) return undefined;
  const { rule, trigger_id: trigger } = batch;
  const isEvent = batch.count > 0 || closing.next !== undefined;
  const receipt = isEvent ? admitBatch(context, batch, closing, now) : undefined;
  database.run("DELETE FROM batch_events WHERE batch = @batch", batch.id);
  database.run("DELETE FROM batches WHERE id = @batch", batch.id);
  if (closing.next) keepOpen(context, { rule, trigger }, closing.next, now);
  return receipt;
}

function admitBatch(context: Context, batch: ClosingBatch, closing: BatchClosing, now: number): Receipt {
  const { database } = context;
  const { rule, trigger_id: trigger } = batch;
  const event = eventOf(context, batch, closing, now);
  const outcome = { ...closing.admission, key: JSON.parse(batch.key) };
  const receipt = takeIn(context, { event, candidates: [{ rule, version: closing.version, trigger, outcome }] }, now);
  database.run(
    "UPDATE verdicts SET verdict = $verdict WHERE rule = @rule AND trigger_id = ? " +
      "AND event IN (SELECT event FROM batch_events WHERE batch = @batch)",
    verdictOnMembers(batch, receipt.verdicts[0].verdict, now),
    rule,
    trigger,
    batch.id,
  );
  database.run(
    "UPDATE events SET live = live - 1 WHERE key IN (SELECT event FROM batch_events WHERE batch = @batch)",
    batch.id,
  );
  return receipt;
}

function eventOf({ database }: Context, batch: ClosingBatch, { scheduled }: BatchClosing, now: number): Event {
  const events = database.all<{ event: number }>(
    "SELECT event FROM batch_events WHERE batch = @batch ORDER BY position",
    batch.id,
  ).map(({ event }) => readEvent(database, event));
  const key = JSON.parse(batch.key) as string | null;
  const subject = key === null ? undefined : textOf(key);
  const source = `/rules/${batch.rule}/${batch.trigger_id}`;
  const occurrence = scheduled === undefined ? undefined : new Date(scheduled).toISOString();
  const deepest = events.flatMap(({ cause }) => cause ?? []).sort((a, b) => b.depth - a.depth)[0];
  const id = [occurrence, subject].filter((part) => part !== undefined).join(" ");
  // After a clock was set back an occurrence comes again; what was collected for it is still an event of its own.
  const isNew = occurrence !== undefined && eventKey(database, { source, id }) === undefined;
  return {
    id: isNew ? id : batch.id,
    source,
    type: "batch",
    ...subject !== undefined && { subject },
    time: occurrence ?? new Date(now).toISOString(),
    ...deepest && { cause: deepest },
    data: {
      count: events.length,
      since: new Date(batch.opened_at).toISOString(),
      ...occurrence !== undefined && { scheduled: occurrence },
      events: events as unknown as Event["data"],
    },
  };
}

/** A key is JSON; one that is text reads better without quotes. */
function textOf(key: string): string {
  const value = JSON.parse(key);
  return typeof value === "string" ? value : key;
}

function verdictOnMembers({ count }: ClosingBatch, verdict: Verdict, now: number): Verdict {
  const of = count === 1 ? "Collected as the only event of a batch" : `Collected in a batch of ${count} events`;
  if (verdict.kind === "started" || verdict.kind === "held") {
    return { kind: "batched", reason: `${of}, which run ${verdict.run} answers`, until: now, run: verdict.run };
  }
  return { kind: "batched", reason: `${of}, which started nothing: ${verdict.reason}`, until: now };
}
