import type { Event, Verdict } from "../../model/event.ts";
import { readExactJson } from "../../formats/exact_json.ts";
import { asJson } from "../../model/json.ts";
import type { Rows } from "../ledger/rows.ts";
import type { BatchRow } from "../ledger/tables.ts";
import type { BatchClosing, Receipt } from "../store.ts";
import { acceptNew } from "./accept.ts";
import { collectedEvents, dropBatch, keepOpen } from "./batch_rows.ts";
import { addToEvent, findIdentity, readEvent, releaseEvent } from "./event_rows.ts";
import type { TransitionContext } from "./transition.ts";

/** Turns a batch into an event, which is admitted like any other, and removes the batch: one run per batch. */
export function closeBatch(rows: Rows, closing: BatchClosing, context: TransitionContext): Receipt | undefined {
  const batch = rows.get("batch", closing.batch);
  if (!batch) return undefined;
  const { rule, trigger } = batch;
  const isEvent = batch.count > 0 || closing.next !== undefined;
  const receipt = isEvent ? admitBatch(rows, batch, closing, context) : undefined;
  const members = collectedEvents(rows, batch.id);
  dropBatch(rows, batch);
  for (const member of members) releaseEvent(rows, member);
  if (closing.next) keepOpen(rows, { rule, trigger }, closing.next, context);
  return receipt;
}

function admitBatch(rows: Rows, batch: BatchRow, closing: BatchClosing, context: TransitionContext): Receipt {
  const { rule, trigger, key } = batch;
  const event = eventOf(rows, batch, closing, context.now);
  const outcome = { ...closing.admission, key };
  const candidates = [{ rule, version: closing.version, trigger, outcome }];
  const receipt = acceptNew(rows, { event, candidates }, context);
  const verdict = verdictOnMembers(batch, receipt.verdicts[0].verdict, context.now);
  for (const member of collectedEvents(rows, batch.id)) {
    addToEvent(rows, member, { verdict: { rule, trigger, verdict } });
  }
  return receipt;
}

function eventOf(rows: Rows, batch: BatchRow, { scheduled }: BatchClosing, now: number): Event {
  const events = collectedEvents(rows, batch.id).map((key) => readEvent(rows, key));
  const subject = batch.key === null ? undefined : textOf(batch.key);
  const source = `/rules/${batch.rule}/${batch.trigger}`;
  const occurrence = scheduled === undefined ? undefined : new Date(scheduled).toISOString();
  const deepest = events.flatMap(({ cause }) => cause ?? []).sort((a, b) => b.depth - a.depth)[0];
  const id = [occurrence, subject].filter((part) => part !== undefined).join(" ");
  // After a clock rollback an occurrence comes again; the batch collected for it is still a separate event.
  const isNew = occurrence !== undefined && findIdentity(rows, { source, id }) === undefined;
  return {
    id: isNew ? id : batch.id,
    source,
    type: "batch",
    ...subject !== undefined && { subject },
    time: occurrence ?? new Date(now).toISOString(),
    ...deepest && { cause: deepest },
    data: {
      count: events.length,
      since: new Date(batch.openedAt).toISOString(),
      ...occurrence !== undefined && { scheduled: occurrence },
      events: asJson(events),
    },
  };
}

/** A key is JSON; a string reads better without quotes. */
function textOf(key: string): string {
  const value = readExactJson(key);
  return typeof value === "string" ? value : key;
}

function verdictOnMembers({ count }: BatchRow, verdict: Verdict, now: number): Verdict {
  const of = count === 1 ? "Collected as the only event of a batch" : `Collected in a batch of ${count} events`;
  if (verdict.kind === "started" || verdict.kind === "held") {
    return { kind: "batched", reason: `${of}, which run ${verdict.run} answers`, until: now, run: verdict.run };
  }
  return { kind: "batched", reason: `${of}, which started nothing: ${verdict.reason}`, until: now };
}
