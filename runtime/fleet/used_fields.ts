import { isDeepStrictEqual } from "node:util";
import { isObject, type Json } from "../model/json.ts";

/**
 * Which fields of the items a platform reads: a change of another one, such as the time of an item's last change, needs no new
 * session.
 */
export class UsedFields {
  readonly #read = new Set<string>();
  /** It looks at whole items, as `JSON.stringify` does. */
  #all = false;

  /** An item for the platform, which cannot change it. */
  watch(item: Json): unknown {
    if (!isObject(item)) return item;
    return new Proxy(item, {
      get: (target, key) => {
        if (typeof key === "string") this.#read.add(key);
        return Reflect.get(target, key);
      },
      has: (target, key) => {
        if (typeof key === "string") this.#read.add(key);
        return Reflect.has(target, key);
      },
      ownKeys: (target) => {
        this.#all = true;
        return Reflect.ownKeys(target);
      },
      set: () => false,
      deleteProperty: () => false,
    });
  }

  /** Whether two states of an item differ in a field that is used. */
  differ(before: Json, after: Json): boolean {
    if (this.#all || !isObject(before) || !isObject(after)) return !isDeepStrictEqual(before, after);
    return [...this.#read].some((key) => !isDeepStrictEqual(before[key], after[key]));
  }
}
