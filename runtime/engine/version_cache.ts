import type { Rule } from "../model/rule.ts";
import type { Store } from "../store/store.ts";

/** Rule versions kept in memory. */
const SIZE = 64;

/** The rule versions that runs are pinned to, in an LRU cache. */
export class VersionCache {
  readonly #rules = new Map<string, Promise<Rule | undefined>>();

  constructor(private readonly store: Pick<Store, "getVersion">) {}

  get(version: string): Promise<Rule | undefined> {
    const rule = this.#rules.get(version) ?? this.#read(version);
    // Moves it to the end: a Map keeps the insertion order, so the first entry is the least recently used.
    this.#rules.delete(version);
    this.#rules.set(version, rule);
    if (this.#rules.size > SIZE) this.#rules.delete(this.#rules.keys().next().value!);
    return rule;
  }

  async #read(version: string): Promise<Rule | undefined> {
    try {
      const rule = await this.store.getVersion(version);
      if (rule === undefined) this.#rules.delete(version);
      return rule;
    } catch (error) {
      this.#rules.delete(version);
      throw error;
    }
  }
}
