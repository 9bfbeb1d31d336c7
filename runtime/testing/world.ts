import { randomBytes } from "node:crypto";
import { ManualClock } from "../host/clock.ts";
import { noDisk } from "../host/no_disk.ts";
import { RunFiles } from "../host/run_files.ts";
import { Attachments } from "../folder/attachments.ts";
import { CauseSigner } from "../ingest/cause.ts";
import { Ingest, type Performer } from "../ingest/ingest.ts";
import type { Isolates } from "../workers/workers.ts";
import { messageOf } from "../model/errors.ts";
import type { JsonObject } from "../model/json.ts";
import type { Person } from "../model/person.ts";
import type { Rule } from "../model/rule.ts";
import type { StepRecord } from "../model/run.ts";
import type { TestWorld } from "../model/test.ts";
import { Secrets } from "../secrets/secrets.ts";
import { programServices } from "../engine/program_services.ts";
import { Runner } from "../engine/runner.ts";
import type { RunnerOptions } from "../engine/runner_options.ts";
import { performSource } from "../engine/source.ts";
import { openStore } from "../store/open_store.ts";
import type { Receipt, Store } from "../store/store.ts";
import { triggerKinds } from "../triggers/index.ts";
import type { HookContext } from "../web/context.ts";
import { formPeople, openDesk } from "../web/forms/desk.ts";
import type { People } from "../web/forms/people.ts";
import { HookRegistry } from "../web/hook_registry.ts";
import { receiveHook } from "../web/hooks.ts";
import { ReplyWaiters } from "../web/reply_waiters.ts";
import { Activity } from "./activity.ts";
import { seenResponse } from "./seen_response.ts";
import { Stubs } from "./stubs.ts";

/** Runs that may be held at once: all of a test. */
const MAX_RUNS = 100_000;

/** What a world is made of. */
export interface WorldOptions {
  /** As its version says: with the test's config, secrets and environment. */
  rule: Rule;
  test: TestWorld;
  secrets: Secrets;
  /** Absolute. */
  folder: string;
  isolates: Isolates;
  people: Person[];
  /** Where lines of `log` steps go, beside those of `console`. */
  logs: string[];
}

/**
 * A program with one rule, nobody else, and a clock that moves only when told: the parts are the real ones, but for what
 * steps get from the world. Made anew for each test.
 */
export class World {
  readonly clock: ManualClock;
  readonly stubs: Stubs;
  readonly ingest: Ingest;
  readonly runner: Runner;
  readonly hooks = new HookRegistry();
  readonly store: Store;
  readonly people: People;
  /** Lines of `log` steps and of `console`. */
  readonly logs: string[];
  /** What the rule emitted. */
  readonly events: JsonObject[] = [];
  /** Keys of memory across runs that the rule has set. */
  readonly keys = new Set<string>();
  /** What became of the last event that the rule did not emit itself. */
  lastReceipt: Receipt | undefined;
  /** The answer to the last request, once there is one. */
  response: JsonObject | null = null;
  /** What went wrong that is nothing the rule could do about: the test fails by it. */
  readonly troubles: string[] = [];
  readonly #activity = new Activity();
  readonly #replies = new ReplyWaiters();
  readonly #attachments: Attachments;
  readonly #key = randomBytes(32);
  readonly #signer = new CauseSigner(this.#key);

  private constructor(private readonly options: WorldOptions, store: Store) {
    const { test, secrets, folder, isolates, people, logs } = options;
    this.logs = logs;
    const clock = this.clock = new ManualClock(test.now);
    this.store = this.#activity.watch(store);
    this.stubs = new Stubs(test.stub);
    const desk = openDesk({
      keyFor: () => this.#key,
      people: () => people,
      address: () => "http://test",
      store,
      clock,
    });
    this.people = desk.people;
    const surroundings = () => ({ env: test.env, secrets: secrets.scope() });
    const onAccepted = (receipts: Receipt[]) => this.#accepted(receipts);
    const performer: Performer = {
      lease: (most) => this.runner.lease(most),
      take: (lease, claimed) => this.runner.take(lease, claimed),
    };
    this.ingest = new Ingest({ store: this.store, clock, surroundings, performer, onAccepted });
    const performing = { store: this.store, clock, isolates, folder, surroundings, services: this.#services() };
    this.runner = new Runner({
      ...performing,
      owner: "test",
      // A form that says nothing else notifies by mail where the test has an answer to that.
      people: formPeople(desk, clock, () => this.stubs.has("mail")),
      standIn: (step) => this.stubs.standIn(step),
      holds: true,
      maxRuns: MAX_RUNS,
      // The longest delay that jitter allows, so that a test can tell when a step is attempted again.
      random: () => 1,
      onStep: (record) => this.#noteKey(record),
      onFinished: (run) => this.#replies.ended(run.event, run),
      onReply: (event, reply) => this.#replies.answered(event, reply),
      onError: (message, error) => this.troubles.push(`${message}: ${messageOf(error)}`),
    });
    this.#attachments = this.#triggers(performing);
  }

  /** Opens a world; its triggers are attached, and what happens at the beginning has happened. */
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
    return this.options.rule;
  }

  /** The value of a secret, of which every one is there. */
  secretOf(name: string): string {
    return this.options.secrets.get(name)!;
  }

  /**
   * Resolves when nothing happens any more before the clock moves. Runs that wait are suspended then: each entry of a test goes on
   * from what is recorded, as after a restart of the program.
   */
  async settled(): Promise<void> {
    await this.#quiet();
    this.runner.suspend();
    await this.#quiet();
  }

  /** Turns the clock on, and lets happen what is due on the way, one thing after the other. */
  async advanceTo(time: number): Promise<void> {
    do await this.#quiet(); while (this.clock.wakeNext(time));
    await this.clock.advanceTo(time);
    await this.settled();
  }

  /** Sends a request to the rule's webhooks; its answer, as a test sees it, may wait for the clock to move. */
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
    await this.store.close();
  }

  #quiet(): Promise<void> {
    return this.#activity.settled(() => this.runner.idle);
  }

  async #begin(): Promise<void> {
    const { rule } = this.options;
    await this.store.putVersions([rule]);
    this.ingest.setRules(new Map([[rule.id, rule]]));
    await this.ingest.batches.rulesChanged();
    this.ingest.batches.start((message) => this.troubles.push(message));
    const attached = { ...rule, triggers: rule.triggers.filter((trigger) => this.#keeps(trigger)) };
    for (const { trigger, error } of await this.#attachments.swap(new Map([[rule.id, attached]]))) {
      this.troubles.push(`Cannot attach ${trigger.id}: ${messageOf(error)}`);
    }
    await this.runner.start();
    await this.settled();
  }

  /** Files do not change in a test, and a source that has no stub is not polled. */
  #keeps({ id, kind }: Rule["triggers"][number]): boolean {
    return kind !== "watch" && (kind !== "poll" || this.stubs.has(id) || this.stubs.has("poll"));
  }

  #triggers(performing: Omit<RunnerOptions, "owner" | "onError" | "people">): Attachments {
    const { rule } = this.options;
    const { clock, store, folder, surroundings } = performing;
    return new Attachments({
      kinds: triggerKinds,
      folder,
      clock,
      store,
      ingest: this.ingest,
      hooks: this.hooks,
      surroundings,
      perform: (_rule, trigger, source, input, signal) => {
        const standIn = ({ kind }: { kind: string }) => this.stubs.source(trigger, kind);
        return performSource({ ...performing, standIn }, rule, trigger, source, input, signal);
      },
      log: () => ({ info: (text) => this.logs.push(text), warn: (text) => this.logs.push(text) }),
      report: (_rule, trigger, failure) => failure === null || this.logs.push(`${trigger}: ${failure}`),
    });
  }

  #services(): RunnerOptions["services"] {
    const { clock, ingest } = this;
    const { secrets } = this.options;
    const secretOf = (name: string) => secrets.get(name);
    const services = programServices({
      clock,
      ingest,
      signer: this.#signer,
      files: new RunFiles("/files", noDisk),
      childEnv: () => ({}),
      secretOf,
      awaitsReply: (event) => this.#replies.isAwaited(event),
    });
    return {
      ...services,
      log: (_level, message) => void this.logs.push(message),
      emit: (event, run) => {
        this.events.push({ ...event });
        return services.emit(event, run);
      },
    };
  }

  #hookContext(): HookContext {
    const { rule, secrets } = this.options;
    return {
      tokenless: true,
      clock: this.clock,
      hooks: this.hooks,
      store: this.store,
      ingest: this.ingest,
      replies: this.#replies,
      rules: () => ({ rules: new Map([[rule.id, rule]]) }),
      verifyCause: (header) => this.#signer.verify(header),
      secretOf: (name) => secrets.get(name),
      mask: (text) => secrets.mask(text),
    };
  }

  #noteKey({ kind, input }: StepRecord): void {
    const key = kind === "state" ? (input as JsonObject | undefined)?.state : undefined;
    if (typeof key === "string") this.keys.add(key);
  }

  #accepted(receipts: Receipt[]): void {
    const own = `/rules/${this.options.rule.id}`;
    this.lastReceipt = receipts.findLast(({ event }) => event.source !== own) ?? this.lastReceipt;
    this.runner.replace(receipts.flatMap(({ replaces }) => replaces));
    this.runner.woken(receipts.flatMap(({ wakes }) => wakes));
    if (receipts.some(({ runs }) => runs.length > 0)) this.runner.wake();
  }
}
