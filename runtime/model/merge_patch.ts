import { isDeepStrictEqual } from "node:util";
import { isObject, type Json, type JsonObject } from "./json.ts";

/** Applies a merge patch: null removes a property, an object is merged, anything else replaces (RFC 7396, section 2). */
export function applyMergePatch(target: Json | undefined, patch: Json): Json {
  if (!isObject(patch)) return patch;
  const merged: JsonObject = target !== undefined && isObject(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete merged[name];
    else setOwn(merged, name, applyMergePatch(ownOf(merged, name), value));
  }
  return merged;
}

/**
 * The smallest merge patch that makes one object of another; empty if they are equal. As in every merge patch, a property that becomes null
 * looks the same as one that is removed.
 */
export function mergePatchOf(from: JsonObject, to: JsonObject): JsonObject {
  const patch: JsonObject = {};
  for (const name of Object.keys(from)) if (!Object.hasOwn(to, name) && from[name] !== null) setOwn(patch, name, null);
  for (const [name, value] of Object.entries(to)) {
    const before = ownOf(from, name);
    if (before !== undefined && isObject(before) && isObject(value)) {
      const inner = mergePatchOf(before, value);
      if (Object.keys(inner).length > 0) setOwn(patch, name, inner);
    } else if (!isDeepStrictEqual(before ?? null, value)) setOwn(patch, name, value);
  }
  return patch;
}

/** One merge patch for two, the second after the first: unlike applying the second to the first, it keeps removals. */
export function composePatches(first: JsonObject, second: JsonObject): JsonObject {
  const both: JsonObject = { ...first };
  for (const [name, value] of Object.entries(second)) {
    const before = ownOf(both, name);
    const isInner = before !== undefined && isObject(before) && isObject(value);
    setOwn(both, name, isInner ? composePatches(before, value) : value);
  }
  return both;
}

/**
 * Takes over from an answer the properties that a merge patch has sent, at any depth. All other properties stay those of the target.
 */
export function takeOver(target: Json, sent: JsonObject, answer: Json): Json {
  const taken: JsonObject = isObject(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(sent)) {
    const now = isObject(answer) ? ownOf(answer, name) : undefined;
    if (now === undefined) delete taken[name];
    else if (value !== null && isObject(value) && isObject(now)) {
      setOwn(taken, name, takeOver(ownOf(taken, name) ?? {}, value, now));
    } else setOwn(taken, name, now);
  }
  return taken;
}

function ownOf(object: JsonObject, name: string): Json | undefined {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}

/** Also a property called `__proto__`. */
function setOwn(object: JsonObject, name: string, value: Json): void {
  Object.defineProperty(object, name, { value, writable: true, enumerable: true, configurable: true });
}
