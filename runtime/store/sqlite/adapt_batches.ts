import type { BatchTerms, TriggerKey } from "../store.ts";
import type { Context } from "./context.ts";
import { keepOpen } from "./open_batch.ts";

/** What was collected under other options closes at the earlier of the two times. One without events begins anew. */
export function adaptBatches(context: Context, triggers: (TriggerKey & { terms: BatchTerms })[], now: number): void {
  const { database } = context;
  for (const { rule, trigger, terms } of triggers) {
    database.run(
      "DELETE FROM batches WHERE rule = @rule AND trigger_id = ? AND options <> @options AND count = 0 AND closes_at > ?",
      rule,
      trigger,
      terms.options,
      now,
    );
    database.run(
      "UPDATE batches SET closes_at = min(closes_at, ifnull(opened_at + ?, closes_at), ifnull(last_at + ?, closes_at), " +
        "ifnull(?, closes_at), iif(count >= ?, ?, closes_at)) " +
        "WHERE rule = @rule AND trigger_id = ? AND options <> @options AND closes_at > ?",
      terms.within,
      terms.quiet,
      terms.at,
      terms.max,
      now,
      rule,
      trigger,
      terms.options,
      now,
    );
    if (terms.empty) keepOpen(context, { rule, trigger }, terms, now);
  }
}
