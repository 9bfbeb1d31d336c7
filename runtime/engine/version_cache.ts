import { dirname, join } from "node:path";
import type { RunnerOptions } from "./runner_options.ts";
import { servicesFor } from "./services.ts";
import type { RuleVersion } from "./step_frame.ts";

/** How many rule versions are kept in memory. */
const CACHED_VERSIONS = 64;

/** The rule versions that runs are pinned to, in an LRU cache. */
export class VersionCache {
  readonly #rules = new Map<string, Promise<RuleVersion | undefined>>();
  /** Those of them that have been read. */
  readonly #read = new Map<string, RuleVersion>();

  constructor(private readonly options: RunnerOptions) {}

  get(version: string): Promise<RuleVersion | undefined> {
    const rule = this.#rules.get(version) ?? this.#load(version);
    // Moves it to the end: a Map keeps the insertion order, so the first entry is the least recently used.
    this.#rules.delete(version);
    this.#rules.set(version, rule);
    if (this.#rules.size > CACHED_VERSIONS) this.#forget(this.#rules.keys().next().value!);
    return rule;
  }

  /** A version that is in memory. */
  known(version: string): RuleVersion | undefined {
    return this.#read.get(version);
  }

  #forget(version: string): void {
    this.#rules.delete(version);
    this.#read.delete(version);
  }

  async #load(version: string): Promise<RuleVersion | undefined> {
    const { store, folder } = this.options;
    try {
      const rule = await store.getVersion(version);
      if (rule !== undefined) {
        const read = { rule, services: servicesFor(rule, this.options), ruleFolder: join(folder, dirname(rule.file)) };
        // It may have been forgotten meanwhile.
        if (this.#rules.has(version)) this.#read.set(version, read);
        return read;
      }
      this.#forget(version);
    } catch (error) {
      this.#forget(version);
      throw error;
    }
  }
}
