import { isDeepStrictEqual } from "node:util";
import type { Cause } from "../../model/event.ts";
import type { Json } from "../../model/json.ts";
import { takeOver } from "../../model/merge_patch.ts";
import type { PollContext } from "./poll_args.ts";
import { keyOfSource } from "./source_key.ts";
import type { Change } from "./poll_changes.ts";

/** The changes that a look tells. */
export interface ToldChanges {
  changes: Change[];
  /** By key: who brought a change about, if a rule did. */
  causes: Map<string, Cause>;
  /** False if items were left alone: the next look has to see them again. */
  isWhole: boolean;
}

/**
 * Removes the changes of items that a `patch` of the same rule is writing to, or wrote to since the look began: the look may have read
 * them before the write or after it. If an item got values that a rule wrote, that rule's run is the change's cause.
 * @param began when the look began, in milliseconds since the epoch
 */
export async function withoutOwn(context: PollContext, found: Change[], began: number): Promise<ToldChanges> {
  const { store, args, rule, trigger } = context;
  const told: ToldChanges = { changes: found, causes: new Map(), isWhole: true };
  if (found.length === 0) return told;
  const key = { rule: rule.id, trigger: trigger.id };
  const { busy, written } = await store.getWrites(
    key,
    keyOfSource(args.poll, context),
    found.map((change) => change.key),
  );
  if (busy.size === 0 && written.size === 0) return told;
  told.changes = found.filter((change) => {
    const write = written.get(change.key);
    const isOwn = write !== undefined && write.rule === rule.id && write.trigger === trigger.id && write.at >= began;
    return !isOwn && !busy.has(change.key);
  });
  told.isWhole = told.changes.length === found.length;
  for (const { key, old, new: item } of told.changes) {
    const write = written.get(key);
    if (write === undefined) continue;
    const hasWritten = (value: Json) => isDeepStrictEqual(takeOver({}, write.sent, value), write.values);
    if (hasWritten(item) && !hasWritten(old)) told.causes.set(key, write.cause);
  }
  return told;
}
