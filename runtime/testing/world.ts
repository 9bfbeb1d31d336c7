import { randomBytes } from "node:crypto";
import { wire, type WiringPorts } from "../app/wire.ts";
import { checkHost, type Connection, type ConnectionTokens } from "../connections/connection.ts";
import type { Runner } from "../engine/runner.ts";
import { type Attachments, sourceOf } from "../folder/attachments.ts";
import { type ConfigSet, type ConfigSetting, setConfig, setOnPages } from "../folder/settings/config_layers.ts";
import { parseJson } from "../formats/exact_json.ts";
import { ManualClock } from "../host/clock.ts";
import { noDisk } from "../host/disk.ts";
import { isSlicing } from "../host/large_work.ts";
import { RunFiles } from "../host/run_files.ts";
import { Uploads } from "../host/uploads.ts";
import { CauseSigner } from "../ingest/cause.ts";
import type { OwnEvents } from "../ingest/emit_own_events.ts";
import type { Ingest } from "../ingest/ingest.ts";
import type { RuleConfig, UpperValue } from "../model/config.ts";
import { messageOf } from "../model/errors.ts";
import { headerFields } from "../model/event.ts";
import type { Person } from "../model/form.ts";
import { isObject, type Json, type JsonObject } from "../model/json.ts";
import type { Rule } from "../model/rule.ts";
import type { StepRecord } from "../model/run.ts";
import type { TestWorld } from "../model/test.ts";
import { Secrets } from "../secrets/secrets.ts";
import { openStore } from "../store/open_store.ts";
import type { Receipt, Store } from "../store/store.ts";
import type { HookContext } from "../web/context.ts";
import type { People } from "../web/forms/people.ts";
import { openDesk } from "../web/forms/sessions.ts";
import type { HookRegistry } from "../web/hook_registry.ts";
import { receiveHook } from "../web/hooks.ts";
import { ReplyWaiters } from "../web/reply_waiters.ts";
import type { Isolates } from "../workers/workers.ts";
import { Activity } from "./activity.ts";
import { Stubs } from "./stubs.ts";

/** The most runs in memory: all runs of a test. */
const MAX_RUNS = 100_000;

/** Files of which only name, size and hash are kept. */
export const FILES = new RunFiles("/files", noDisk);

/** What a world needs. */
export interface WorldOptions {
  /** The rule's version covers the test's config, secrets and environment. */
  rule: Rule;
  /** The rule and its config if people have set this. */
  configured(set: UpperValue[]): { rule: Rule; config: RuleConfig };
  test: TestWorld;
  secrets: Secrets;
  /** Absolute. */
  folder: string;
  isolates: Isolates;
  people: Person[];
  connections: Connection[];
  /** Receives the lines of `log` steps and of `console`. */
  logs: string[];
  /**
   * For a dry run on recorded events: the answers to steps. Its triggers emit nothing by themselves, and what steps emit
   * reaches no rule.
   */
  recorded?: Stubs;
}

/**
 * A program with one rule and a clock that moves only on demand. Its parts are real, except for what steps get from the
 * world. Each test gets a new one.
 */
export class World {
  readonly clock: ManualClock;
  readonly stubs: Stubs;
  readonly ingest: Ingest;
  readonly runner: Runner;
  readonly hooks: HookRegistry;
  readonly store: Store;
  readonly people: People;
  /** Lines of `log` steps and of `console`. */
  readonly logs: string[];
  /** The events that the rule emitted. */
  readonly events: JsonObject[] = [];
  /** Keys of memory across runs that the rule has set. */
  readonly keys = new Set<string>();
  /** The receipt of the last event that the rule did not emit itself. */
  lastReceipt: Receipt | undefined;
  /** The response to the last request, if it has arrived. */
  response: JsonObject | null = null;
  /** Errors that are not the rule's fault; they fail the test. */
  readonly troubles: string[] = [];
  #rule: Rule;
  readonly #activity = new Activity();
  readonly #replies = new ReplyWaiters();
  readonly #attachments: Attachments;
  readonly #ownEvents: OwnEvents;
  readonly #key = randomBytes(32);
  readonly #signer = new CauseSigner(this.#key);

  private constructor(private readonly options: WorldOptions, store: Store) {
    const { rule, test, secrets, folder, isolates, people, connections, logs } = options;
    this.logs = logs;
    this.#rule = rule;
    const clock = this.clock = new ManualClock(test.now);
    this.store = this.#activity.watch(store);
    this.stubs = options.recorded ?? new Stubs(test.stub);
    const desk = openDesk({
      keyFor: () => this.#key,
      people: () => people,
      address: () => "http://test",
      store,
      clock,
    });
    this.people = desk.people;
    const { ingest, ownEvents, runner, hooks, attachments } = wire({
      store: this.store,
      clock,
      isolates,
      folder,
      signer: this.#signer,
      files: FILES,
      desk,
      surroundings: () => ({ env: test.env, secrets: secrets.scope() }),
      childEnv: () => ({}),
      secretOf: (name) => secrets.get(name),
      maskJson: (value) => secrets.maskJson(value),
      awaitsReply: (event) => this.#replies.isAwaited(event),
      connections: withoutTokens(connections),
      fleets: () => {
        throw new Error("Tests have no fleets");
      },
      // A form without `notify` sends mails only if the test has a stub for them.
      canMail: () => this.stubs.has("mail"),
      ruleOf: () => this.rule,
      triggerLog: () => ({ info: (text) => this.logs.push(text), warn: (text) => this.logs.push(text) }),
      onReport: (_rule, trigger, failure) => failure === null || this.logs.push(`${trigger}: ${failure}`),
      onAccepted: (receipts) => this.#accepted(receipts),
      runner: this.#runnerOptions(),
      replaceServices: ({ emit }) => ({
        // Nothing is sent, so it does not matter what is in the files.
        readFile: () => Promise.resolve(new Uint8Array()),
        log: (_level, message) => void this.logs.push(message),
        emit: (event, run) => {
          this.events.push({ ...event });
          return options.recorded ? Promise.resolve(unsent(run.rule, event.id)) : emit(event, run);
        },
      }),
      sourceStandIn: (source) => {
        const { execute, ...action } = this.stubs.source(source);
        // Code runs in a worker, while the clock must not move.
        return { ...action, execute: (...args) => this.#activity.during(Promise.try(execute, ...args)) };
      },
    });
    [this.ingest, this.runner, this.hooks, this.#attachments] = [ingest, runner, hooks, attachments];
    this.#ownEvents = ownEvents;
  }

  #runnerOptions(): WiringPorts["runner"] {
    return {
      owner: "test",
      standIn: (step) => this.stubs.standIn(step),
      holds: true,
      maxRuns: MAX_RUNS,
      // The longest delay that jitter allows, so that a test knows when a step is attempted again.
      random: () => 1,
      onStep: (record) => this.#noteKey(record),
      onFinished: (run) => this.#replies.ended(run.event, run),
      onReply: (event, reply) => this.#replies.answered(event, reply),
      onError: (message, error) => this.troubles.push(`${message}: ${messageOf(error)}`),
    };
  }

  /** Opens a world: attaches its triggers and executes what happens at the start. */
  static async open(options: WorldOptions): Promise<World> {
    const { test } = options;
    const store = await openStore({
      folder: "",
      volatile: true,
      onWarning: (message) => world.troubles.push(message),
      now: test.now,
    });
    const world = new World(options, store);
    try {
      await world.#begin();
      return world;
    } catch (error) {
      await world.close();
      throw error;
    }
  }

  get rule(): Rule {
    return this.#rule;
  }

  /** Sets the rule's config, from any channel; the new version is in force when it resolves. */
  async setConfig(setting: ConfigSetting): Promise<ConfigSet> {
    const { store, clock } = this;
    const current = async () => this.options.configured(setOnPages(await store.listConfig()));
    const { config } = await current();
    const reload = async () => {
      const { rule, config: { refused } } = await current();
      await this.#use(rule);
      return { broken: new Map(), late: new Map(), problems: [], refused };
    };
    const configs = new Map([[config.rule, config]]);
    return await setConfig({ store, clock, configs, log: () => {}, reload }, config.rule, setting);
  }

  /** Replaces the values of secrets by `***`. */
  maskJson<T>(value: T): T {
    return this.options.secrets.maskJson(value);
  }

  /** The value of a secret; every secret has one. */
  secretOf(name: string): string {
    return this.options.secrets.get(name)!;
  }

  /**
   * Resolves when nothing more happens before the clock moves. Waiting runs are then suspended, so that each entry of a
   * test continues from the records, as after a restart of the program.
   */
  async settled(): Promise<void> {
    await this.#quiet();
    this.runner.suspend();
    await this.#quiet();
  }

  /** Advances the clock, and executes what becomes due on the way, one after another. */
  async advanceTo(time: number): Promise<void> {
    do await this.#quiet(); while (this.clock.wakeNext(time));
    await this.clock.advanceTo(time);
    await this.settled();
  }

  /** Has a poll look at its source. */
  async look(trigger: string): Promise<void> {
    const { rule } = this;
    await this.#activity.during(this.#attachments.look(rule, rule.triggers.find(({ id }) => id === trigger)!));
  }

  /** Sends a request to the rule's webhooks; its response, as a test sees it, may wait for the clock to move. */
  async request(request: Request): Promise<JsonObject> {
    const delivered = Promise.withResolvers<void>();
    const context: HookContext = {
      ...this.#hookContext(),
      ingest: { deliver: (deliveries) => this.ingest.deliver(deliveries).finally(() => delivered.resolve()) },
    };
    const answer = receiveHook(request, new URL(request.url), context);
    await this.#activity.during(Promise.race([answer, delivered.promise]));
    const response = await answer;
    return await this.#activity.during(seenResponse(response));
  }

  async close(): Promise<void> {
    this.#replies.release();
    await Promise.all([this.#attachments.detachAll(), this.ingest.batches.stop(), this.runner.drain(0)]);
    await this.#ownEvents.stop();
    await this.store.close();
  }

  #quiet(): Promise<void> {
    return this.#activity.settled(() => this.runner.idle && !isSlicing());
  }

  async #begin(): Promise<void> {
    await this.store.putVersions([this.rule]);
    await this.#use(this.rule);
    this.ingest.batches.start((message) => this.troubles.push(message));
    await this.#ownEvents.start((message) => this.troubles.push(message));
    await this.runner.start();
    await this.settled();
  }

  /** Puts a version of the rule in force. */
  async #use(rule: Rule): Promise<void> {
    if (rule !== this.#rule) await this.store.changeVersions([rule], []);
    this.#rule = rule;
    this.ingest.setRules(new Map([[rule.id, rule]]));
    await this.ingest.batches.rulesChanged();
    const attached = { ...rule, triggers: rule.triggers.filter((trigger) => this.#keeps(trigger)) };
    for (const { trigger, error } of await this.#attachments.swap(new Map([[rule.id, attached]]))) {
      this.troubles.push(`Cannot attach ${trigger.id}: ${messageOf(error)}`);
    }
  }

  /**
   * Nothing emits events by itself in a dry run. Files do not change in a test, a source without a stub is not polled, and one that
   * pushes does so when it is looked at.
   */
  #keeps(trigger: Rule["triggers"][number]): boolean {
    const { id, kind } = trigger;
    return this.options.recorded === undefined && kind !== "watch" &&
      !sourceOf(this.rule, trigger)?.methods.includes("listen") &&
      (kind !== "poll" || this.stubs.hasSource(id));
  }

  #hookContext(): HookContext {
    const { rule, options: { secrets } } = this;
    return {
      tokenless: true,
      clock: this.clock,
      hooks: this.hooks,
      store: this.store,
      uploads: new Uploads("/files", FILES, noDisk),
      ingest: this.ingest,
      hookSecrets: { of: () => [HANDSHAKE_SECRET], offer: () => Promise.resolve(false) },
      replies: this.#replies,
      rules: () => ({ rules: new Map([[rule.id, rule]]) }),
      verifyCause: (header) => this.#signer.verify(header),
      secretOf: (name) => secrets.get(name),
      mask: (text) => secrets.mask(text),
    };
  }

  #noteKey({ kind, input }: StepRecord): void {
    const key = kind === "state" && isObject(input) ? input.state : undefined;
    if (typeof key === "string") this.keys.add(key);
  }

  #accepted(receipts: Receipt[]): void {
    const own = `/rules/${this.options.rule.id}`;
    this.lastReceipt = receipts.findLast(({ event }) => event.source !== own) ?? this.lastReceipt;
  }
}

/** The receipt of an event that was not sent. */
function unsent(rule: string, id: string): Receipt {
  const event = { source: `/rules/${rule}`, id };
  return { event, delivery: "accepted", verdicts: [], runs: [], replaces: [], wakes: [] };
}

/** The response to a request, as a test sees it: its body is under `json` if it is JSON. */
async function seenResponse(response: Response): Promise<JsonObject> {
  const { status } = response;
  const headers = headerFields(response.headers);
  const text = await response.text();
  const json = parse(text);
  return json === undefined ? { status, headers, body: text } : { status, headers, json };
}

function parse(text: string): Json | undefined {
  try {
    return parseJson(text);
  } catch {
    return undefined;
  }
}

/** The secret that a provider has given to the webhooks of a test. */
export const HANDSHAKE_SECRET = "made up for tests: handshake";

/** Connections for tests: nobody has to connect them, as stubs answer the requests. Their hosts are checked nevertheless. */
function withoutTokens(connections: Connection[]): ConnectionTokens {
  return {
    async token(name, url) {
      const connection = connections.find((each) => each.name === name);
      if (connection !== undefined) checkHost(connection, url);
      return await Promise.resolve(`token of ${name}`);
    },
  };
}
