import { messageOf } from "../model/errors.ts";
import { commandRules } from "../commands/command_rule.ts";
import type { Loaded } from "./loaded.ts";
import type { Loader } from "./loader.ts";
import { logReload } from "./reload.ts";
import type { UpperValue } from "../model/config.ts";
import type { Rule } from "../model/rule.ts";
import type { Store } from "../store/store.ts";
import { setOnPages } from "./settings/set_config.ts";
import type { Attachments } from "./attachments.ts";
import type { Ingest } from "../ingest/ingest.ts";

/** What the rules in force work with. */
export interface LiveRulesOptions {
  loader: Loader;
  store: Store;
  ingest: Ingest;
  attachments: Attachments;
  /** Called with the loaded rules before they take effect: secrets and limits must be those of the new rules. */
  onLoaded: (loaded: Loaded) => void | Promise<void>;
  /** A trigger could not be attached. */
  onFailure: (rule: string, trigger: string, message: string) => void;
}

/** The rules in force: a reload takes them from the folder and swaps them as one consistent set. */
export class LiveRules {
  #loaded: Loaded | undefined;
  #paused: Record<string, string> = {};
  #versions: string[] = [];
  #startable: ReadonlyMap<string, Rule> = new Map();

  constructor(private readonly options: LiveRulesOptions) {}

  /** The result of the last reload, or undefined before the first. */
  get loaded(): Loaded | undefined {
    return this.#loaded;
  }

  /** The rules by id. */
  get rules(): ReadonlyMap<string, Rule> {
    return this.#loaded?.rules ?? new Map();
  }

  /** The rules by id, together with those that start a command by itself. */
  get startable(): ReadonlyMap<string, Rule> {
    return this.#startable;
  }

  /**
   * The versions that a run may be pinned to: those in force, those about to be, and those just replaced, which may still
   * decide an event.
   */
  get versions(): string[] {
    return this.#versions;
  }

  /** The reason of each paused rule, by rule id. */
  get paused(): Readonly<Record<string, string>> {
    return this.#paused;
  }

  /** Folder → rules in force. Unchanged rules are not touched; a file that does not load keeps its last good version. */
  async reload(): Promise<void> {
    const { loader, ingest, attachments, onLoaded, onFailure } = this.options;
    const before = this.#loaded;
    const loaded = await loader.load(before, await this.#upperConfig());
    if (before === undefined) await this.#keepFromBefore(loaded);
    await onLoaded(loaded);
    // Runs can be pinned only to stored versions. Set this before the versions are stored: upkeep may look in between.
    const startable = new Map([...commandRules(loaded.commands.values()), ...loaded.rules]);
    this.#versions = [this.#startable, startable].flatMap((rules) => [...rules.values()].map(({ version }) => version));
    await this.#putVersions(before && this.#startable, startable);
    if (before === undefined) await this.#readPaused();
    this.#loaded = loaded;
    this.#startable = startable;
    ingest.setRules(startable);
    await ingest.batches.rulesChanged();
    for (const { rule, trigger, error } of await attachments.swap(loaded.rules)) {
      onFailure(rule.id, trigger.id, messageOf(error));
    }
    logReload(before, loaded);
  }

  /** Pauses a rule with a reason, so that its events start nothing; null resumes it. */
  async pause(rule: string, reason: string | null): Promise<void> {
    await this.options.store.setPaused(rule, reason);
    await this.#readPaused();
    await this.options.ingest.batches.rulesChanged();
  }

  /** Config values above those of the files. */
  async #upperConfig(): Promise<UpperValue[]> {
    const { store } = this.options;
    const [sourced, onPages] = await Promise.all([store.getSourced(), store.listConfig()]);
    return [...sourced, ...setOnPages(onPages)];
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
