import { CONFIG_SOURCE } from "./settings/config_source.ts";
import { dirname, join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { Clock } from "../host/clock.ts";
import type { Ingest } from "../ingest/ingest.ts";
import type { Scope } from "../language/expressions/expression.ts";
import { resolveArgs } from "../language/expressions/template.ts";
import { hasTemplate } from "../language/arg_types.ts";
import { messageOf } from "../model/errors.ts";
import { isObject, type Json, type JsonObject } from "../model/json.ts";
import type { Definition, Rule, Trigger } from "../model/rule.ts";
import { definitionKey, readTarget } from "../model/target.ts";
import { Nudges } from "./nudges.ts";
import type { Store } from "../store/store.ts";
import { cappedBy } from "../triggers/poll/poll_args.ts";
import type {
  Capped,
  Detach,
  Hook,
  Registry,
  SourceCalling,
  TriggerContext,
  TriggerKind,
  TriggerLog,
} from "../triggers/trigger.ts";

/** What the triggers work with. */
export interface AttachmentOptions {
  kinds: Record<string, TriggerKind>;
  folder: string;
  clock: Clock;
  store: Store;
  ingest: Ingest;
  hooks: Registry<Hook>;
  /** The surroundings that a rule's expressions see: `env`, `secrets`. */
  surroundings: (rule: string) => Scope;
  /** Runs a step as the source of a poll, with the current modules and config of the rule. */
  execute: (
    rule: string,
    trigger: string,
    source: JsonObject,
    input: JsonObject,
    signal: AbortSignal,
    how?: SourceCalling,
  ) => Promise<Json>;
  /** The log of a trigger, and how it reports that its last pass worked (null) or failed. */
  log: (rule: string, trigger: string) => TriggerLog;
  report: (rule: string, trigger: string, failure: string | null, capped?: Capped) => void;
}

interface Wanted {
  rule: Rule;
  trigger: Trigger;
  args: JsonObject;
  /** Another replica decides: here only deliveries for it are taken. */
  follows: boolean;
}

interface Attachment extends Wanted {
  /** Its arguments contain no template: they are the same at each reload. */
  isFixed: boolean;
  stop: AbortController;
  detach: Detach;
}

/** Kinds that only listen: a disabled rule keeps them, so that its events get the verdict `disabled`. */
const LISTENERS = new Set(["webhook", "event", "manual"]);

/**
 * The attached triggers. A reload swaps them by rule and trigger id. One with unchanged arguments is not touched, so its
 * timer and connection continue; its cursor and identities belong to its ids and survive either way.
 */
export class Attachments {
  readonly #attached = new Map<string, Attachment>();
  readonly #startedAt: number;

  #once = false;
  #follows = false;
  readonly #nudges: Nudges;

  constructor(private readonly options: AttachmentOptions) {
    this.#startedAt = options.clock.now();
    this.#nudges = new Nudges(options.store, options.clock);
  }

  /** From now on only listeners are attached; all other triggers make one {@link pass}, as in `whenthen once`. */
  listenOnly(): void {
    this.#once = true;
  }

  /** Another replica decides: from now on only listeners are attached, and what arrives for other triggers is passed on. */
  follow(): void {
    this.#once = this.#follows = true;
  }

  /** From the next {@link swap} on all triggers are attached. */
  attachAll(): void {
    this.#once = this.#follows = false;
  }

  /** Other replicas have changed the store. */
  changed(tables: ReadonlySet<string>): void {
    // It fails only if the store is lost or closed.
    if (tables.has("mark")) this.#nudges.look().catch(() => {});
  }

  /**
   * Detaches triggers that were removed or changed, then attaches new and changed ones.
   * @returns those that could not be attached; the others are
   */
  async swap(rules: ReadonlyMap<string, Rule>): Promise<{ rule: Rule; trigger: Trigger; error: unknown }[]> {
    const wanted = new Map<string, Wanted>();
    const failures: { rule: Rule; trigger: Trigger; error: unknown }[] = [];
    for (const rule of rules.values()) {
      for (const trigger of rule.triggers) {
        const listens = LISTENERS.has(trigger.kind);
        const follows = this.#follows && !listens && this.#kind(trigger).follow !== undefined;
        if (!listens && (!rule.enabled || this.#once && !follows)) continue;
        const key = `${rule.id} ${trigger.id}`;
        const attached = this.#attached.get(key);
        try {
          const isKnown = attached?.rule === rule && attached.isFixed && attached.follows === follows;
          wanted.set(key, isKnown ? attached : { rule, trigger, args: this.#resolve(rule, trigger), follows });
        } catch (error) {
          failures.push({ rule, trigger, error });
        }
      }
    }
    const changed = [...new Set([...this.#attached.keys(), ...wanted.keys()])]
      .filter((key) => !this.#keep(key, wanted.get(key)));
    await Promise.all(changed.map(async (key) => {
      const next = wanted.get(key);
      try {
        await this.#replace(key, next);
      } catch (error) {
        failures.push({ ...next!, error });
      }
    }));
    return failures;
  }

  /** Runs one pass of every trigger that has one, for `whenthen once`; failures are reported, not thrown. */
  async pass(rules: ReadonlyMap<string, Rule>): Promise<void> {
    for (const rule of rules.values()) {
      for (const trigger of rule.triggers) {
        if (rule.enabled) await this.look(rule, trigger);
      }
    }
  }

  /** Runs one pass of a trigger, if it has one. */
  async look(rule: Rule, trigger: Trigger): Promise<void> {
    try {
      const context = this.#context(rule, trigger, this.#resolve(rule, trigger), new AbortController().signal);
      await this.#kind(trigger).pass?.(context);
    } catch (error) {
      this.options.report(rule.id, trigger.id, messageOf(error), cappedBy(error));
    }
  }

  /** Detaches all triggers. */
  async detachAll(): Promise<void> {
    await Promise.all([...this.#attached.keys()].map((key) => this.#detach(key)));
  }

  /** @returns false if it must be attached anew */
  #keep(key: string, wanted: Wanted | undefined): boolean {
    const attached = this.#attached.get(key);
    if (attached === wanted) return true;
    if (attached === undefined || wanted === undefined || !same(attached, wanted)) return false;
    Object.assign(attached, wanted, { isFixed: isFixed(wanted) });
    return true;
  }

  async #replace(key: string, next: Wanted | undefined): Promise<void> {
    const detached = this.#detach(key);
    // A listener is swapped within one turn of the event loop, so that its path is never unattended; any other trigger
    // first finishes its pass, so that no two polls write one baseline.
    if (next === undefined || !LISTENERS.has(next.trigger.kind)) await detached;
    if (next === undefined) return;
    const stop = new AbortController();
    const kind = this.#kind(next.trigger);
    const context = this.#context(next.rule, next.trigger, next.args, stop.signal);
    const passOn = () => this.#nudges.passOn({ rule: next.rule.id, trigger: next.trigger.id });
    const attaching = next.follows ? kind.follow!(context, passOn) : kind.attach(context);
    // The listener is attached now, so the old one must go in the same turn: a request in between would become two events.
    const detach = typeof attaching === "function" ? attaching : async () => await (await attaching)();
    this.#attached.set(key, { ...next, isFixed: isFixed(next), stop, detach });
    try {
      await Promise.all([attaching, detached]);
    } catch (error) {
      this.#attached.delete(key);
      throw error;
    }
  }

  #detach(key: string): void | Promise<void> {
    const attachment = this.#attached.get(key);
    if (attachment === undefined) return;
    this.#attached.delete(key);
    attachment.stop.abort();
    return attachment.detach();
  }

  #kind(trigger: Trigger): TriggerKind {
    return this.options.kinds[trigger.kind];
  }

  #resolve(rule: Rule, trigger: Trigger): JsonObject {
    const { config, hosts: $hosts } = rule;
    const scope = { ...this.options.surroundings(rule.id), config, $hosts, $now: this.options.clock.now() };
    return resolveArgs(this.#kind(trigger), trigger.args, scope);
  }

  #context(rule: Rule, trigger: Trigger, args: JsonObject, signal: AbortSignal): TriggerContext {
    const { folder, clock, store, ingest } = this.options;
    const key = { rule: rule.id, trigger: trigger.id };
    return {
      rule: { id: rule.id, file: rule.file },
      trigger: { id: trigger.id, at: trigger.at },
      args,
      folder,
      ruleFolder: join(folder, dirname(rule.file)),
      clock,
      startedAt: this.#startedAt,
      store,
      signal,
      once: this.#once,
      meter: this.options.surroundings(rule.id).$meter,
      holds: (event) => ingest.holds(key, event),
      ingest: (events, progress) => ingest.fromTrigger(key, events, progress),
      source: sourceOf(rule, trigger),
      execute: (source, input, signal, how) => this.options.execute(rule.id, trigger.id, source, input, signal, how),
      hooks: { add: (hook) => this.#addHook(hook) },
      subscriptions: ingest.subscriptions,
      log: this.options.log(rule.id, trigger.id),
      report: (failure, capped) => this.options.report(rule.id, trigger.id, failure, capped),
    };
  }

  #addHook(hook: Hook): () => void {
    const remove = this.options.hooks.add(hook);
    const forget = hook.nudge && !this.#follows ? this.#nudges.watch(hook) : () => {};
    return () => {
      remove();
      forget();
    };
  }
}

/** Positions do not count: moving a trigger within its file does not restart it. */
function same(attached: Wanted, wanted: Wanted): boolean {
  return attached.follows === wanted.follows && attached.rule.file === wanted.rule.file &&
    attached.trigger.kind === wanted.trigger.kind &&
    isDeepStrictEqual(attached.args, wanted.args) && sameSource(attached, wanted);
}

/** A source that listens is restarted with its new code; a source that reads uses it at the next poll anyway. */
function sameSource(attached: Wanted, wanted: Wanted): boolean {
  const [before, now] = [sourceOf(attached.rule, attached.trigger), sourceOf(wanted.rule, wanted.trigger)];
  if (!isDeepStrictEqual(before, now)) return false;
  return !now?.methods.includes("listen") || attached.rule.version === wanted.rule.version;
}

/** The source that a poll calls. */
export function sourceOf(rule: Rule, { kind, args }: Trigger): Definition | undefined {
  const target = kind === "poll" && isObject(args.poll) ? args.poll.call : undefined;
  if (typeof target !== "string") return undefined;
  return rule.definitions?.[definitionKey(readTarget("/", join("/", dirname(rule.file)), target))];
}

function isFixed({ trigger }: Wanted): boolean {
  return !hasTemplate(JSON.stringify(trigger.args));
}

/** A trigger whose last pass failed. */
export interface TriggerFailure {
  rule: string;
  trigger: string;
  message: string;
}

/** Failures in the last pass of each trigger; dropped when a pass works again, or when the trigger is removed. */
export class TriggerFailures {
  readonly #failures = new Map<string, TriggerFailure>();

  /** @param message null if the pass worked */
  report(rule: string, trigger: string, message: string | null): void {
    const key = JSON.stringify([rule, trigger]);
    if (message === null) this.#failures.delete(key);
    else this.#failures.set(key, { rule, trigger, message });
  }

  /** The failures of triggers that still exist, and of the source of the config. */
  list(rules: ReadonlyMap<string, Rule>): TriggerFailure[] {
    return [...this.#failures.values()].filter(({ rule, trigger }) =>
      rule === CONFIG_SOURCE.rule || rules.get(rule)?.triggers.some(({ id }) => id === trigger)
    );
  }
}
