import { readExactJson, writeRecordJson } from "../../formats/exact_json.ts";
import type { Json, JsonObject } from "../../model/json.ts";
import { composePatches, takeOver } from "../../model/merge_patch.ts";
import { join } from "../ledger/ordered.ts";
import type { Rows } from "../ledger/rows.ts";
import type { ItemWrites, Patched, Patching } from "../patching.ts";
import type { TriggerKey } from "../store.ts";
import type { At } from "./transition.ts";

/** Milliseconds that a write is known: a rule that polls less often does not see who wrote. */
const WRITE_KNOWN = 86_400_000;

/** See {@link PatchStore.beginPatch}. */
export function beginPatch(rows: Rows, patching: Patching): JsonObject {
  const { rule, trigger, key, run, path } = patching;
  const place = join(rule, trigger, JSON.stringify(key), run, path);
  const before = rows.get("patching", place)?.sent ?? {};
  const sent = composePatches(before, patching.sent);
  rows.put("patching", place, { ...patching, sent });
  return sent;
}

/** A step has ended, so that what it was about to write is written, or failed; without a path, the run with all its steps. */
export function endPatches(rows: Rows, run: string, path?: string): void {
  if (rows.size("patching") === 0) return;
  const steps = path === undefined ? join(run, "") : join(run, path, "");
  for (const place of rows.index("patching", "run").range(steps, undefined, Infinity)) rows.drop("patching", place);
}

/** Takes what a step has written into the baseline of its trigger, so that no look tells it, and keeps who wrote it. */
export function writePatched(rows: Rows, patched: Patched, at: At): void {
  const { rule, trigger, source, key, sent, answer, cause } = patched;
  const place = join(rule, trigger, JSON.stringify(key));
  const known = rows.get("baseline", place);
  if (known !== undefined) {
    rows.put("baseline", place, writeRecordJson(takeOver(readExactJson(known) as Json, sent, answer)));
  }
  const before = rows.get("written", join(source, key));
  rows.put("written", join(source, key), {
    rule,
    trigger,
    at: at.now,
    sent: composePatches(before?.sent ?? {}, sent),
    values: takeOver(before?.values ?? {}, sent, answer) as JsonObject,
    cause,
  });
}

/** Forgets up to `max` writes that are over a day old. @returns how many */
export function forgetWrites(rows: Rows, now: number, max: number): number {
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
