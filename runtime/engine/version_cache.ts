import { dirname, join } from "node:path";
import type { RunnerOptions } from "./runner_options.ts";
import { servicesFor } from "./services.ts";
import type { RuleVersion } from "./step_frame.ts";

/** How many rule versions are kept in memory. */
const CACHED_VERSIONS = 64;

interface CachedVersion {
  loading: Promise<RuleVersion | undefined>;
  /** Once it is loaded. */
  loaded?: RuleVersion;
}

/** The rule versions that runs are pinned to, in an LRU cache. */
export class VersionCache {
  readonly #versions = new Map<string, CachedVersion>();

  constructor(private readonly options: RunnerOptions) {}

  get(version: string): Promise<RuleVersion | undefined> {
    const cached = this.#versions.get(version) ?? this.#begin(version);
    // Moves it to the end: a Map keeps the insertion order, so the first entry is the least recently used.
    this.#versions.delete(version);
    this.#versions.set(version, cached);
    if (this.#versions.size > CACHED_VERSIONS) this.#versions.delete(this.#versions.keys().next().value!);
    return cached.loading;
  }

  /** A version that is loaded already. */
  known(version: string): RuleVersion | undefined {
    return this.#versions.get(version)?.loaded;
  }

  #begin(version: string): CachedVersion {
    const cached: CachedVersion = { loading: this.#load(version) };
    const forget = () => void this.#versions.delete(version);
    cached.loading.then((loaded) => loaded === undefined ? forget() : void (cached.loaded = loaded), forget);
    return cached;
  }

  async #load(version: string): Promise<RuleVersion | undefined> {
    const { store, folder } = this.options;
    const rule = await store.getVersion(version);
    return rule && { rule, services: servicesFor(rule, this.options), ruleFolder: join(folder, dirname(rule.file)) };
  }
}
