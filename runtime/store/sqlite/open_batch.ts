import { newId } from "../../model/id.ts";
import type { BatchTerms, TriggerKey } from "../store.ts";
import type { Context } from "./context.ts";

/** Opens a batch of a trigger and key, without events so far. */
export function openBatch(
  { database }: Context,
  { rule, trigger }: TriggerKey,
  key: string | null,
  { within = Infinity, quiet = Infinity, at = Infinity, options }: BatchTerms,
  now: number,
) {
  const batch = {
    id: newId(now),
    options,
    opened_at: now,
    closes_at: Math.min(now + within, now + quiet, at),
    count: 0,
    bytes: 0,
  };
  database.run(
    "INSERT INTO batches (id, rule, trigger_id, key, options, opened_at, last_at, closes_at, count, bytes) " +
      "VALUES (@batch, @rule, ?, $key, @options, ?, ?, ?, 0, 0)",
    batch.id,
    rule,
    trigger,
    key,
    options,
    now,
    now,
    batch.closes_at,
  );
  return batch;
}

/** Sees to it that one is open: a report is due also where nothing comes. One that waits for its rule to be resumed is enough. */
export function keepOpen(context: Context, trigger: TriggerKey, terms: BatchTerms, now: number): void {
  const open = context.database.value(
    "SELECT id FROM batches WHERE rule = @rule AND trigger_id = ? AND key = $key LIMIT 1",
    trigger.rule,
    trigger.trigger,
    null,
  );
  if (open === undefined) openBatch(context, trigger, null, terms, now);
}
