import { dirname, join } from "node:path";
import type { RunnerOptions } from "./runner_options.ts";
import { servicesFor } from "./services.ts";
import type { RuleVersion } from "./step_frame.ts";

/** How many rule versions are kept in memory. */
const CACHED_VERSIONS = 64;

/** The rule versions that runs are pinned to, in an LRU cache. */
export class VersionCache {
  readonly #rules = new Map<string, Promise<RuleVersion | undefined>>();

  constructor(private readonly options: RunnerOptions) {}

  get(version: string): Promise<RuleVersion | undefined> {
    const rule = this.#rules.get(version) ?? this.#read(version);
    // Moves it to the end: a Map keeps the insertion order, so the first entry is the least recently used.
    this.#rules.delete(version);
    this.#rules.set(version, rule);
    if (this.#rules.size > CACHED_VERSIONS) this.#rules.delete(this.#rules.keys().next().value!);
    return rule;
  }

  async #read(version: string): Promise<RuleVersion | undefined> {
    const { store, folder } = this.options;
    try {
      const rule = await store.getVersion(version);
      if (rule !== undefined) {
        return { rule, services: servicesFor(rule, this.options), ruleFolder: join(folder, dirname(rule.file)) };
      }
      this.#rules.delete(version);
    } catch (error) {
      this.#rules.delete(version);
      throw error;
    }
  }
}
