import { messageOf } from "../model/errors.ts";
import type { Loaded } from "./loaded.ts";
import type { Loader } from "./loader.ts";
import { logReload } from "./reload_log.ts";
import type { Rule } from "../model/rule.ts";
import type { Store } from "../store/store.ts";
import type { Attachments } from "./attachments.ts";
import type { Ingest } from "../ingest/ingest.ts";

/** What rules in force work with. */
export interface LiveRulesOptions {
  loader: Loader;
  store: Store;
  ingest: Ingest;
  attachments: Attachments;
  /** Called with what was loaded before anything of it is live: secrets and limits must be those of the new rules. */
  onLoaded: (loaded: Loaded) => void;
  /** A trigger could not be attached. */
  onFailure: (rule: string, trigger: string, message: string) => void;
}

/** The rules in force: brought from the folder by a reload, swapped in one consistent set. */
export class LiveRules {
  #loaded: Loaded | undefined;
  #paused: Record<string, string> = {};
  #versions: string[] = [];

  constructor(private readonly options: LiveRulesOptions) {}

  /** What the last reload found, or undefined before the first. */
  get loaded(): Loaded | undefined {
    return this.#loaded;
  }

  /** The rules by id. */
  get rules(): ReadonlyMap<string, Rule> {
    return this.#loaded?.rules ?? new Map();
  }

  /**
   * The versions that a run may be pinned to: of the rules in force, of those about to be, and of those just replaced, by
   * which an event may still be decided.
   */
  get versions(): string[] {
    return this.#versions;
  }

  /** Why a rule's events start nothing, by rule id. */
  get paused(): Readonly<Record<string, string>> {
    return this.#paused;
  }

  /** Folder → rules in force. What did not change is not touched; a file that does not load keeps its last good version. */
  async reload(): Promise<void> {
    const { loader, ingest, attachments, onLoaded, onFailure } = this.options;
    const before = this.#loaded;
    const loaded = await loader.load(before);
    if (before === undefined) await this.#keepFromBefore(loaded);
    onLoaded(loaded);
    // A run can be pinned only to a version that is in the store. Named before they are put there: upkeep may look meanwhile.
    this.#versions = [before, loaded].flatMap((each) => [...each?.rules.values() ?? []].map(({ version }) => version));
    await this.#putVersions(before?.rules, loaded.rules);
    if (before === undefined) await this.#readPaused();
    this.#loaded = loaded;
    ingest.setRules(loaded.rules);
    await ingest.batches.rulesChanged();
    for (const { rule, trigger, error } of await attachments.swap(loaded.rules)) {
      onFailure(rule.id, trigger.id, messageOf(error));
    }
    logReload(before, loaded);
  }

  /** Pauses a rule for the reason given, so that its events start nothing; null resumes it. */
  async pause(rule: string, reason: string | null): Promise<void> {
    await this.options.store.setPaused(rule, reason);
    await this.#readPaused();
    await this.options.ingest.batches.rulesChanged();
  }

  /** A file that was broken while the program was down keeps the version that was in force before. */
  async #keepFromBefore({ rules, broken, late }: Loaded): Promise<void> {
    const missing = [...broken.values(), ...late.values()].filter((id) => !rules.has(id));
    if (missing.length === 0) return;
    for (const rule of await this.options.store.getInForce(missing)) rules.set(rule.id, rule);
  }

  async #putVersions(before: ReadonlyMap<string, Rule> | undefined, rules: ReadonlyMap<string, Rule>): Promise<void> {
    const { store } = this.options;
    if (before === undefined) return await store.putVersions([...rules.values()]);
    const changed = [...rules.values()].filter(({ id, version }) => before.get(id)?.version !== version);
    const gone = [...before.keys()].filter((id) => !rules.has(id));
    if (changed.length + gone.length > 0) await store.changeVersions(changed, gone);
  }

  async #readPaused(): Promise<void> {
    this.#paused = await this.options.store.listPaused();
    this.options.ingest.setPaused(this.#paused);
  }
}
