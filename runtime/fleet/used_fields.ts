import { isDeepStrictEqual } from "node:util";
import { isObject, type Json, type JsonObject } from "../model/json.ts";

/**
 * Records which fields of items a platform reads. A change of any other field, such as the time of an item's last change, needs
 * no new session.
 */
export class UsedFields {
  readonly #read = new Set<string>();
  /** Whether it reads whole items, as `JSON.stringify` does. */
  #all = false;

  /** One for all items: five functions for each device would take more memory than its session. */
  readonly #handler: ProxyHandler<JsonObject> = {
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
  };

  /** The item as the platform gets it: reads are recorded, and changes have no effect. */
  watch(item: Json): Json {
    return isObject(item) ? new Proxy(item, this.#handler) : item;
  }

  /** Whether two states of an item differ in a field that is used. */
  differ(before: Json, after: Json): boolean {
    if (this.#all || !isObject(before) || !isObject(after)) return !isDeepStrictEqual(before, after);
    return [...this.#read].some((key) => !isDeepStrictEqual(before[key], after[key]));
  }
}
