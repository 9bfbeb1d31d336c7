import { tmpdir } from "node:os";
import { z } from "zod";
import { http } from "../../runtime/actions/http.ts";
import { run } from "../../runtime/actions/run.ts";
import { ManualClock } from "../../runtime/host/clock.ts";
import type { Json, JsonObject } from "../../runtime/model/json.ts";
import { parseArgs as parseStep } from "../../runtime/language/checker/check_rule.ts";
import type { Definition } from "../../runtime/model/rule.ts";
import type { ItemWrites, Progress, Receipt, TriggerKey } from "../../runtime/store/store.ts";
import type {
  Detach,
  Hook,
  SourceCalling,
  Subscription,
  TriggerContext,
  TriggerEvent,
  TriggerKind,
} from "../../runtime/triggers/trigger.ts";
import { makeContext } from "../actions/context.ts";

/** 08:00 on a Monday in Central Europe. */
export const START = Date.parse("2026-11-23T07:00:00Z");

/** The state that a real store keeps for one trigger. It outlives attachments, as a data folder outlives the program. */
export class FakeStore {
  mark: Json | undefined;
  baseline = new Map<string, Json>();
  /** When items last changed. */
  readonly times = new Map<string, number>();
  readonly identities = new Set<string>();

  getMark(): Promise<Json | undefined> {
    return Promise.resolve(structuredClone(this.mark));
  }

  getBaseline(_trigger: TriggerKey, max: number, after?: string): Promise<Map<string, Json>> {
    const keys = [...this.baseline.keys()].filter((key) => after === undefined || key > after).sort().slice(0, max);
    return Promise.resolve(new Map(keys.map((key) => [key, structuredClone(this.baseline.get(key)!)])));
  }

  getItems(_trigger: TriggerKey, keys: string[]): Promise<Map<string, Json>> {
    const known = keys.filter((key) => this.baseline.has(key));
    return Promise.resolve(new Map(known.map((key) => [key, structuredClone(this.baseline.get(key)!)])));
  }

  /** No rule writes to the source. */
  getWrites(): Promise<ItemWrites> {
    return Promise.resolve({ busy: new Set(), written: new Map() });
  }

  getStagnant(
    _trigger: TriggerKey,
    before: number,
    max: number,
    after?: [string, number],
  ): Promise<[string, number][]> {
    const placeOf = ([key, at]: [string, number]) => `${String(at).padStart(16, "0")} ${key}`;
    const due = [...this.times].filter(([, at]) => at <= before).sort((a, b) => placeOf(a) < placeOf(b) ? -1 : 1);
    const from = after && placeOf(after);
    return Promise.resolve(due.filter((entry) => from === undefined || placeOf(entry) > from).slice(0, max));
  }

  /** @returns whether the event was new, for each */
  accept(events: TriggerEvent[], progress: Omit<Progress, "rule" | "trigger">): boolean[] {
    if (progress.mark === null) this.mark = undefined;
    else if (progress.mark !== undefined) this.mark = structuredClone(progress.mark);
    if (progress.baseline?.clear) {
      this.baseline.clear();
      this.times.clear();
    }
    for (const [key, item] of progress.baseline?.put ?? []) this.baseline.set(key, structuredClone(item));
    for (const key of progress.baseline?.remove ?? []) {
      this.baseline.delete(key);
      this.times.delete(key);
    }
    for (const [key, at] of progress.baseline?.times ?? []) {
      if (at === null) this.times.delete(key);
      else this.times.set(key, at);
    }
    return events.map(({ id }) => this.identities.size < this.identities.add(id).size);
  }
}

/** One program with one trigger in it. */
export class Program {
  /** Events that were new, in order. */
  readonly events: TriggerEvent[] = [];
  readonly duplicates: TriggerEvent[] = [];
  /** Events and progress of each transition. */
  readonly transitions: { events: number; put: number }[] = [];
  readonly warnings: string[] = [];
  readonly reports: (string | null)[] = [];
  readonly executed: { source: JsonObject; input: JsonObject }[] = [];
  readonly hooks = new Set<Hook>();
  readonly subscriptions = new Set<Subscription>();
  /** If set, the next transition fails with it. */
  failing?: Error;
  /** If set, it replaces the source. */
  execute?: (
    source: JsonObject,
    input: JsonObject,
    signal: AbortSignal,
    how?: SourceCalling,
  ) => Promise<Json> | Json;
  /** What the poll calls, if that is a source. */
  source?: Definition;
  /** The condition of the rule. */
  holds: (event: TriggerEvent) => boolean = () => true;
  ruleFolder = tmpdir();
  #waiting = new Set<() => void>();
  #stop?: AbortController;
  #detach?: Detach;

  constructor(
    readonly kind: TriggerKind,
    readonly args: JsonObject,
    readonly store: FakeStore = new FakeStore(),
    readonly clock: ManualClock = new ManualClock(START),
    readonly startedAt: number = clock.now(),
  ) {}

  async attach(): Promise<void> {
    this.#stop = new AbortController();
    this.#detach = await this.kind.attach(this.context(this.#stop.signal));
  }

  async detach(): Promise<void> {
    this.#stop?.abort();
    await this.#detach?.();
  }

  async pass(): Promise<void> {
    await this.kind.pass!(this.context(new AbortController().signal));
  }

  /** The same folder and data after a restart. */
  restarted(args: JsonObject = this.args): Program {
    const next = new Program(this.kind, args, this.store, this.clock);
    next.execute = this.execute;
    next.ruleFolder = this.ruleFolder;
    next.source = this.source;
    return next;
  }

  /** Resolves when the condition holds; it is checked after each transition and each report. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#waiting.add(resolve));
  }

  get ids(): string[] {
    return this.events.map(({ id }) => id);
  }

  context(signal: AbortSignal): TriggerContext {
    const { store, clock, startedAt } = this;
    return {
      rule: { id: "test", file: "test.yaml" },
      trigger: { id: "trigger", at: { line: 1, column: 1 } },
      args: parseArgs(this.kind, this.args),
      folder: this.ruleFolder,
      ruleFolder: this.ruleFolder,
      clock,
      startedAt,
      store,
      signal,
      once: false,
      holds: (event) => Promise.resolve(this.holds(event)),
      ingest: (events, progress = {}) => this.#ingest(events, progress),
      source: this.source,
      execute: async (source, input, signal, how) => {
        this.executed.push({ source, input });
        return await (this.execute ?? executeStep)(source, input, signal, how);
      },
      hooks: registry(this.hooks),
      subscriptions: registry(this.subscriptions),
      log: { info: () => {}, warn: (message) => void this.warnings.push(message) },
      report: (failure) => {
        this.reports.push(failure);
        this.#tell();
      },
    };
  }

  async #ingest(events: TriggerEvent[], progress: Omit<Progress, "rule" | "trigger">): Promise<Receipt[]> {
    await Promise.resolve();
    const failure = this.failing;
    this.failing = undefined;
    if (failure !== undefined) throw failure;
    const news = this.store.accept(events, progress);
    this.transitions.push({ events: events.length, put: progress.baseline?.put.length ?? 0 });
    events.forEach((event, index) => (news[index] ? this.events : this.duplicates).push(structuredClone(event)));
    this.#tell();
    return events.map(({ id }, index) => ({
      event: { source: "/rules/test/trigger", id },
      delivery: news[index] ? "accepted" : "duplicate",
      verdicts: [],
      runs: [],
      replaces: [],
      wakes: [],
    }));
  }

  #tell(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const resolve of waiting) resolve();
  }
}

/** An entry under `when`, parsed by its kind's schema. */
export function parseArgs({ kind, main, options }: TriggerKind, args: JsonObject): JsonObject {
  return z.strictObject({ [kind]: main, ...options }).parse(args) as JsonObject;
}

async function executeStep(source: JsonObject, _input: JsonObject, signal: AbortSignal): Promise<Json> {
  const action = "http" in source ? http : run;
  const parsed = parseStep(action, source);
  if ("problems" in parsed) throw new Error(parsed.problems.join("; "));
  const { output } = await action.execute(parsed.args, makeContext({ signal }));
  return output;
}

function registry<T>(entries: Set<T>): { add(entry: T): () => void } {
  return {
    add(entry) {
      entries.add(entry);
      return () => void entries.delete(entry);
    },
  };
}
