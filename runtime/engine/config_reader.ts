import { isDeepStrictEqual } from "node:util";
import type { ConfigSourceRule } from "../folder/settings/config_source.ts";
import type { Clock } from "../host/clock.ts";
import type { Scope } from "../language/expressions/expression.ts";
import { resolveArgs } from "../language/expressions/template.ts";
import type { UpperValue } from "../model/config.ts";
import { messageOf } from "../model/errors.ts";
import { isObject, type Json, type JsonObject } from "../model/json.ts";
import type { Store } from "../store/store.ts";
import { triggerKinds } from "../triggers/index.ts";
import { keepGoing, type Loop } from "../triggers/timetable.ts";
import { runSource } from "./rule_code.ts";

/** What {@link ConfigReader} works with. */
interface ConfigReaderOptions {
  executing: Parameters<typeof runSource>[0];
  store: Pick<Store, "getSourced" | "keepSourced">;
  clock: Clock;
  /** The values of `env` and `secrets`. */
  surroundings: () => Scope;
  /** Loads the rules with new values. @throws if that failed */
  reload: () => Promise<void>;
  /** Called after each look: with what failed, or with null. */
  report: (failure: string | null) => void;
  /** Reports an entry that is left out; all others apply. */
  warn: (message: string) => void;
}

/** How many pages one look reads: a source that always has more would be read forever. */
const MOST_PAGES = 1_000;

/**
 * Reads config values from a platform: at its intervals, and at once when its code or arguments change. The last good values are
 * kept in the store, so that a platform that does not answer, even at the start, changes nothing.
 */
export class ConfigReader {
  readonly #stop = new AbortController();
  #source: ConfigSourceRule | undefined;
  #loop: Loop | undefined;
  #lookedAt = -Infinity;
  #warned: string[] = [];
  /** The reload with the kept values failed, so that they are not in force. */
  #isUnused = false;

  constructor(private readonly options: ConfigReaderOptions) {}

  /** Sets the source from now on. */
  use(source: ConfigSourceRule | undefined): void {
    const before = this.#source;
    this.#source = source;
    if (before !== undefined && source === undefined) this.options.report(null);
    if (before?.rule.version === source?.rule.version && before?.every === source?.every) return;
    this.#lookedAt = -Infinity;
    this.#loop?.wake();
  }

  /** Looks now, and then at its intervals. */
  start(): void {
    const { clock, report } = this.options;
    this.#loop = keepGoing({ clock, signal: this.#stop.signal, report }, async () => {
      const source = this.#source;
      if (source === undefined) return undefined;
      const due = this.#lookedAt + source.every;
      if (due > clock.now()) return due;
      this.#lookedAt = clock.now();
      await this.#look(source);
      return clock.now() + source.every;
    });
  }

  /** One look, as for `whenthen once`. */
  async once(): Promise<void> {
    if (this.#source === undefined) return;
    await this.#look(this.#source).catch((error) => this.options.report(messageOf(error)));
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#loop?.detach();
  }

  async #look({ rule }: ConfigSourceRule): Promise<void> {
    const { store, report, reload } = this.options;
    const { values, wrong } = valuesIn(await this.#read(rule));
    for (const message of wrong) if (!this.#warned.includes(message)) this.options.warn(message);
    this.#warned = wrong;
    const isSame = isDeepStrictEqual(await store.getSourced(), values);
    if (!isSame) await store.keepSourced(values);
    this.#isUnused ||= !isSame;
    if (this.#isUnused) await reload();
    this.#isUnused = false;
    report(null);
  }

  /** What the source returns, on all its pages. */
  async #read(rule: ConfigSourceRule["rule"]): Promise<Json[]> {
    const { executing, surroundings, clock } = this.options;
    const [trigger] = rule.triggers;
    const scope = { ...surroundings(), config: {}, $now: clock.now() };
    const { poll } = resolveArgs(triggerKinds.poll, trigger.args, scope);
    const pages: Json[] = [];
    let cursor: Json = null;
    do {
      const page = await runSource(executing, rule, trigger.id, poll as JsonObject, { cursor }, this.#stop.signal);
      pages.push(page);
      if (!isObject(page) || page.more !== true) return pages;
      cursor = (page.cursor ?? null) as Json;
    } while (pages.length < MOST_PAGES);
    throw new Error(`It has more than ${MOST_PAGES} pages: its last one must not say more: true`);
  }
}

/**
 * The values in what a source returned: `{ values: { rule: { key: value } } }`, or items with `rule` and `values`.
 * @returns the values, and what is wrong with the entries that are left out
 * @throws Error if a page is nothing of that kind
 */
export function valuesIn(pages: Json[]): { values: UpperValue[]; wrong: string[] } {
  const values: UpperValue[] = [];
  const wrong: string[] = [];
  const add = (rule: unknown, given: unknown, by: unknown) => {
    if (typeof rule !== "string" || !isObject(given)) {
      const shown = JSON.stringify({ rule, values: given }).slice(0, 200);
      wrong.push(`Config from its source: expected a rule's id and its values by key, got ${shown}`);
      return;
    }
    for (const [key, value] of Object.entries(given)) {
      // Platforms keep values as text, which each field parses.
      const said = typeof value === "string" ? { text: value } : { is: value as Json };
      values.push({ rule, key, value: said, from: "source", ...typeof by === "string" && { by } });
    }
  };
  for (const page of pages) {
    const items = Array.isArray(page) ? page : isObject(page) ? page.items : undefined;
    if (Array.isArray(items)) {
      for (const item of items) {
        if (isObject(item)) add(item.rule, item.values, item.by);
        else add(undefined, item, undefined);
      }
    } else if (isObject(page) && isObject(page.values)) {
      for (const [rule, given] of Object.entries(page.values)) add(rule, given, undefined);
    } else {
      const shown = JSON.stringify(page)?.slice(0, 200);
      throw new Error(`Cannot read config: expected { values: { rule: { key: value } } } or items, got ${shown}`);
    }
  }
  return { values, wrong };
}
