import { readExactJson, writeRecordJson } from "../../formats/exact_json.ts";
import { DAY } from "../../model/duration.ts";
import type { Json, JsonObject } from "../../model/json.ts";
import { composePatches, takeOver } from "../../model/merge_patch.ts";
import { join, ordered } from "../ledger/keys.ts";
import type { Rows } from "../ledger/rows.ts";
import type { ItemTime, ItemWrites, Patched, Patching, Progress, StepEffects, TriggerKey } from "../store.ts";
import type { TransitionContext } from "./transition.ts";

/** Writes a trigger's mark and the changes of its baseline. */
export function writeProgress(rows: Rows, { rule, trigger, mark, baseline }: Progress): void {
  const place = join(rule, trigger);
  if (mark === null) rows.drop("mark", place);
  else if (mark !== undefined) rows.put("mark", place, mark);
  if (!baseline) return;
  const keyOf = (item: string) => join(place, JSON.stringify(item));
  if (baseline.clear) {
    rows.dropRange("baseline", "key", join(place, ""));
    rows.dropRange("changed", "place", join(place, ""));
  }
  for (const key of baseline.remove) {
    rows.drop("baseline", keyOf(key));
    rows.drop("changed", keyOf(key));
  }
  for (const [key, at] of baseline.times ?? []) {
    if (at === null) rows.drop("changed", keyOf(key));
    else rows.put("changed", keyOf(key), at);
  }
  for (const [key, item] of baseline.put) rows.put("baseline", keyOf(key), writeRecordJson(item));
}

/** A trigger's mark. */
export function getMark(rows: Rows, { rule, trigger }: TriggerKey): Json | undefined {
  return rows.get("mark", join(rule, trigger));
}

/** Up to `max` items of a trigger's baseline, in the order of their keys as JSON, after a key. */
export function getBaseline(rows: Rows, { rule, trigger }: TriggerKey, max: number, after?: string): Map<string, Json> {
  const prefix = join(rule, trigger, "");
  const from = after === undefined ? undefined : prefix + JSON.stringify(after);
  const keys = rows.index("baseline", "key").range(prefix, from, max);
  return new Map(
    keys.map((key) => [JSON.parse(key.slice(prefix.length)), readItem(rows, key)!]),
  );
}

/** Those of these items of a trigger's baseline that it has. */
export function getItems(rows: Rows, { rule, trigger }: TriggerKey, keys: string[]): Map<string, Json> {
  const place = join(rule, trigger);
  return new Map(keys.flatMap((key): [string, Json][] => {
    const item = readItem(rows, join(place, JSON.stringify(key)));
    return item === undefined ? [] : [[key, item]];
  }));
}

function readItem(rows: Rows, key: string): Json | undefined {
  const text = rows.get("baseline", key);
  return text === undefined ? undefined : readExactJson(text) as Json;
}

/** Unreported items that last changed at `before` or earlier, oldest first, after an entry. */
export function getStagnant(
  rows: Rows,
  { rule, trigger }: TriggerKey,
  before: number,
  max: number,
  after?: ItemTime,
): ItemTime[] {
  const prefix = join(rule, trigger, "");
  const from = after && `${prefix}${join(ordered(after[1]), JSON.stringify(after[0]))}`;
  const found: ItemTime[] = [];
  for (const key of rows.index("changed", "at").range(prefix, from, max)) {
    const at = rows.get("changed", key)!;
    if (at > before) break;
    found.push([JSON.parse(key.slice(prefix.length)), at]);
  }
  return found;
}

/** Sets a value of the memory across runs; null removes it. @returns the previous value, null if there was none */
export function exchangeState(rows: Rows, { key, value, ttl }: NonNullable<StepEffects["state"]>, now: number): Json {
  const before = readState(rows, key, now) ?? null;
  if (value === null) rows.drop("state", key);
  else rows.put("state", key, { key, value, ...(ttl !== undefined && { expiresAt: Math.ceil(now + ttl) }) });
  return before;
}

/** The values of these keys, without those that have none. */
export function getState(rows: Rows, keys: string[], now: number): Record<string, Json> {
  const found = keys.flatMap((key): [string, Json][] => {
    const value = readState(rows, key, now);
    return value === undefined ? [] : [[key, value]];
  });
  return Object.fromEntries(found);
}

function readState(rows: Rows, key: string, now: number): Json | undefined {
  const row = rows.get("state", key);
  return row === undefined || (row.expiresAt !== undefined && row.expiresAt <= now) ? undefined : row.value;
}

/** How long a write is known: a rule that polls less often does not see who wrote. */
const WRITE_KNOWN = DAY;

/** See {@link PatchStore.beginPatch}. */
export function beginPatch(rows: Rows, patching: Patching): JsonObject {
  const { rule, trigger, key, run, path } = patching;
  const place = join(rule, trigger, JSON.stringify(key), run, path);
  const before = rows.get("patching", place)?.sent ?? {};
  const sent = composePatches(before, patching.sent);
  rows.put("patching", place, { ...patching, sent });
  return sent;
}

/** Ends the writes that a step was about to make, as the step has ended; without a path, those of all steps of the run. */
export function endPatches(rows: Rows, run: string, path?: string): void {
  if (rows.size("patching") === 0) return;
  const steps = path === undefined ? join(run, "") : join(run, path, "");
  rows.dropRange("patching", "run", steps);
}

/** Puts what a step has written into the baseline of its trigger, so that no poll reports it, and keeps who wrote it. */
export function writePatched(rows: Rows, patched: Patched, context: TransitionContext): void {
  const { rule, trigger, source, key, sent, answer, cause } = patched;
  const place = join(rule, trigger, JSON.stringify(key));
  const known = readItem(rows, place);
  if (known !== undefined) rows.put("baseline", place, writeRecordJson(takeOver(known, sent, answer)));
  const before = rows.get("written", join(source, key));
  rows.put("written", join(source, key), {
    rule,
    trigger,
    at: context.now,
    sent: composePatches(before?.sent ?? {}, sent),
    values: takeOver(before?.values ?? {}, sent, answer) as JsonObject,
    cause,
  });
}

/** Forgets up to `max` writes that are over a day old. @returns how many */
function forgetWrites(rows: Rows, now: number, max: number): number {
  if (rows.size("written") === 0) return 0;
  const old = rows.index("written", "age").range("", undefined, max).filter((place) => {
    return rows.get("written", place)!.at <= now - WRITE_KNOWN;
  });
  for (const place of old) rows.drop("written", place);
  return old.length;
}

/** See {@link PatchStore.getWrites}. */
export function getWrites(
  rows: Rows,
  { trigger: { rule, trigger }, source, keys }: { trigger: TriggerKey; source: string; keys: string[] },
): ItemWrites {
  const isBusy = (key: string) =>
    rows.first("patching", "key", join(rule, trigger, JSON.stringify(key), "")) !== undefined;
  const busy = rows.size("patching") === 0 ? [] : keys.filter(isBusy);
  const written = rows.size("written") === 0 ? [] : keys.flatMap((key) => {
    const row = rows.get("written", join(source, key));
    return row === undefined ? [] : [[key, row] as const];
  });
  return { busy: new Set(busy), written: new Map(written) };
}

/** How many rows of each kind one call of `prune` drops. */
const SLICE = 256;

/**
 * One slice of retention over live rows: drops expired memory across runs, old writes to items, and closed forms older than the
 * identity retention.
 * @returns true while there may be more
 */
export function prune(rows: Rows, _input: undefined, { now, retention }: TransitionContext): boolean {
  const expired = rows.range("state", "end", "", SLICE).filter(({ expiresAt }) => expiresAt! <= now);
  for (const { key } of expired) rows.drop("state", key);
  const oldest = ordered(Math.max(0, now - retention.identities));
  let dropped = 0;
  for (const state of ["answered", "expired", "cancelled"]) {
    const ids = rows.index("form", "state").range(join(state, ""), undefined, SLICE);
    const old = ids.filter((id) => ordered(rows.get("form", id)!.createdAt) <= oldest);
    for (const id of old) if (!rows.get("run", rows.get("form", id)!.run)) dropped += Number(rows.drop("form", id));
  }
  const forgotten = forgetWrites(rows, now, SLICE);
  return expired.length === SLICE || dropped >= SLICE || forgotten === SLICE;
}
