import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { json, template } from "../language/arg_types.ts";
import { TerminalError } from "../model/errors.ts";
import { causeOf } from "../model/event.ts";
import { isObject, type Json, type JsonObject } from "../model/json.ts";
import { applyMergePatch, mergePatchOf, takeOver } from "../model/merge_patch.ts";
import { type ActionContext, defineAction, type Outcome, type PatchedSource } from "./action.ts";

/** Writes back to the item of a poll's event. */
export const patch = defineAction({
  kind: "patch",
  summary: "Changes the item of a poll's event at its source, without an event of its own for that",
  main: z.record(z.string(), json()).describe(
    "A merge patch (RFC 7396): the fields to change; null removes one",
  ),
  options: {
    key: template().optional().describe("The key of another item; required in batches and each"),
    ifChanged: z.enum(["fail", "skip", "overwrite"]).default("fail").describe(
      "What to do if somebody changed the same field since the event",
    ),
  },
  defaults: { timeout: 60_000, attempts: 3 },
  retries: (error) => !(error instanceof TerminalError),
  execute: ({ patch, key, ifChanged }, context) => {
    const { compute } = context;
    const change = compute
      ? async (item: JsonObject) => changeBy(item, await compute(item))
      : () => Promise.resolve(patch);
    return patchItem({ key, ifChanged, change }, context);
  },
});

/** The main argument if the item is changed by a function. */
export const BY_FUNCTION = "function";

/** The same for a TypeScript rule, in which a function may make the changed item of the item. */
export const patchInCode = { ...patch, main: z.union([patch.main, z.literal(BY_FUNCTION)]) };

function changeBy(item: JsonObject, changed: Json): JsonObject {
  if (isObject(changed)) return mergePatchOf(item, changed);
  throw new TerminalError(`Cannot patch: its function must return the changed item, got ${JSON.stringify(changed)}`);
}

/** A write to an item. */
interface PatchTask {
  key?: string;
  ifChanged: "fail" | "skip" | "overwrite";
  /** @returns the merge patch for the item as it is now */
  change(item: JsonObject): Promise<JsonObject>;
}

/**
 * Reads the item and sends only what differs. The output: the item's `key`, what was `sent` (empty if nothing differed), the
 * `item` as it is then, and the fields that were `skipped` because of `ifChanged: skip`.
 */
async function patchItem(task: PatchTask, context: ActionContext<unknown>): Promise<Outcome> {
  const source = context.services.patched(context);
  const key = keyOf(task, context);
  const fresh = await source.one(key);
  if (fresh === null) throw new TerminalError(`Cannot patch item ${key} of ${source.name}: it is gone`);
  if (!isObject(fresh)) throw new TerminalError(`Cannot patch item ${key} of ${source.name}: it is no object`);
  const wanted = applyMergePatch(fresh, await task.change(fresh)) as JsonObject;
  const differing = mergePatchOf(fresh, wanted);
  const changed = task.ifChanged === "overwrite" ? [] : await changedByOthers(source, key, fresh, differing, context);
  if (changed.length > 0 && task.ifChanged === "skip") {
    return { output: { key, sent: {}, item: fresh, skipped: changed } };
  }
  if (changed.length > 0) throw new TerminalError(conflict(source, key, changed[0], fresh));
  const sent = await source.begin(key, differing);
  const answer = Object.keys(differing).length === 0 ? fresh : await send(source, key, { differing, wanted });
  const output = { key, sent: differing, item: answer };
  // An earlier attempt may have sent more, and ended before its answer was recorded.
  if (Object.keys(sent).length === 0) return { output };
  const { rule, trigger } = source.trigger;
  const cause = causeOf(context.run);
  return { output, effects: { patched: { rule, trigger, source: source.sourceKey, key, sent, answer, cause } } };
}

/** @returns the item as it is then: the answer, completed by the sent fields that the answer lacks */
async function send(
  source: PatchedSource,
  key: string,
  { differing, wanted }: { differing: JsonObject; wanted: JsonObject },
): Promise<JsonObject> {
  const answer = await source.update(key, differing);
  return isObject(answer) ? { ...wanted, ...answer } : wanted;
}

function keyOf({ key }: PatchTask, { run: { event } }: ActionContext<unknown>): string {
  if (key !== undefined && key !== "") return key;
  const isChange = isObject(event.data) && Object.hasOwn(event.data, "old") && Object.hasOwn(event.data, "new");
  if (key === undefined && isChange && event.subject !== undefined) return event.subject;
  throw new TerminalError(
    "Cannot patch: the event is not about one item of a poll; write key:, as in key: ${{ item.subject }}",
  );
}

/**
 * The fields that somebody else changed since the event, or since the last look if the event is about another item. Values
 * that rules wrote do not count as changes.
 */
async function changedByOthers(
  source: PatchedSource,
  key: string,
  fresh: JsonObject,
  differing: JsonObject,
  { run: { event } }: ActionContext<unknown>,
): Promise<string[]> {
  if (Object.keys(differing).length === 0) return [];
  const { item, writes } = await source.known(key);
  const seen = event.subject === key && isObject(event.data) ? event.data.new : item;
  if (seen === undefined || seen === null || !isObject(seen)) return [];
  const written = writes.written.get(key)?.values ?? {};
  const isKnown = (name: string, from: JsonObject) => {
    const field = { [name]: differing[name] };
    return isDeepStrictEqual(takeOver({}, field, from), takeOver({}, field, fresh));
  };
  // Fields that the poll does not read are unknown, so they cannot have changed since.
  const fields = Object.keys(differing).filter((name) => Object.hasOwn(seen, name));
  return fields.filter((name) => !isKnown(name, seen) && !isKnown(name, written));
}

function conflict({ name }: PatchedSource, key: string, field: string, fresh: JsonObject): string {
  return `Cannot patch item ${key} of ${name}: somebody has changed "${field}" since the event; it is now ` +
    `${
      JSON.stringify(fresh[field] ?? null).slice(0, 200)
    }. Write ifChanged: overwrite to replace it, or skip to leave it`;
}
