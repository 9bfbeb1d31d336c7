import assert from "node:assert/strict";
import { ManualClock } from "../../runtime/host/clock.ts";
import { Ingest } from "../../runtime/ingest/ingest.ts";
import type { Event, VerdictKind } from "../../runtime/model/event.ts";
import type { Json } from "../../runtime/model/json.ts";
import type { Batch, Rule } from "../../runtime/model/rule.ts";
import type { Run } from "../../runtime/model/run.ts";
import type { Receipt, Store } from "../../runtime/store/store.ts";
import { FaultyDisk } from "../faults/faulty_disk.ts";
import { open, rule } from "../store/helpers.ts";

/** 08:00 in UTC. */
export const START = Date.parse("2026-11-23T08:00:00Z");
export const SECOND = 1_000;
export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** A rule whose only trigger, `in`, collects its events with these batch options. */
export function collecting(batch: Partial<Batch> | undefined, changes: Partial<Rule> = {}): Rule {
  const at = { line: 1, column: 1 };
  const options = batch && { batch: { empty: false, max: 1_000, ...batch } };
  const triggers = [{ id: "in", kind: "event", at, args: {}, ...options }];
  return { ...rule(`${changes.id} v1`), id: "digest", triggers, ...changes };
}

/** Ingest with a real store on a disk in memory and a manual clock; runs are only listed. */
export class BatchBench implements AsyncDisposable {
  receipts: Receipt[] = [];
  failures: string[] = [];

  private constructor(
    readonly disk: FaultyDisk,
    readonly clock: ManualClock,
    public store: Store,
    public ingest: Ingest,
    public rules: Rule[],
  ) {}

  /** A program that runs with these rules. */
  static async start(...rules: Rule[]): Promise<BatchBench> {
    const disk = new FaultyDisk();
    const clock = new ManualClock(START);
    const bench = new BatchBench(disk, clock, undefined!, undefined!, rules);
    await bench.open();
    return bench;
  }

  /** Opens the store as after a `kill -9`, with the rules as they are now. */
  async open(): Promise<void> {
    this.disk.cut();
    this.store = await open({ disk: this.disk });
    const onAccepted = (receipts: Receipt[]) => this.receipts.push(...receipts);
    const { store, clock } = this;
    this.ingest = new Ingest({ store, clock, surroundings: () => ({ env: {}, secrets: {} }), onAccepted });
    this.ingest.setPaused(await store.listPaused());
    await this.load(...this.rules);
    this.ingest.batches.start((failure) => this.failures.push(failure));
    await this.settle();
  }

  /** The program is killed. */
  async kill(): Promise<void> {
    await this.ingest.batches.stop();
  }

  /** Reloads: these are the rules from here on. */
  async load(...rules: Rule[]): Promise<void> {
    this.rules = rules;
    await this.store.putVersions(rules);
    this.ingest.setRules(new Map(rules.map((rule) => [rule.id, rule])));
    await this.ingest.batches.rulesChanged();
    await this.settle();
  }

  async pause(rule: string, reason: string | null): Promise<void> {
    await this.store.setPaused(rule, reason);
    this.ingest.setPaused(await this.store.listPaused());
    await this.ingest.batches.rulesChanged();
    await this.settle();
  }

  /** An event for the trigger `in` of a rule. @returns the verdict on it */
  async send(id: string, data: Json = {}, { rule = "digest", cause }: Pick<Event, "cause"> & { rule?: string } = {}) {
    const event = { id, type: "paid", data, ...cause && { cause } };
    const [{ verdicts }] = await this.ingest.fromTrigger({ rule, trigger: "in" }, [event]);
    await this.settle();
    return verdicts[0].verdict as { kind: VerdictKind; reason: string; until?: number };
  }

  async advance(ms: number): Promise<void> {
    const to = this.clock.now() + ms;
    // A woken timer waits for the store, over several turns of the event loop, before it sets its next timer.
    do await this.settle(); while (this.clock.wakeNext(to));
    this.clock.jumpTo(to);
  }

  async runs(): Promise<Run[]> {
    return (await this.store.listRuns({ limit: 1_000 })).reverse();
  }

  /** The batches that became runs, oldest first: the ids of their events. */
  async closed(): Promise<string[][]> {
    return (await this.runs()).map(({ event }) => batchData(event).events.map(({ id }) => id));
  }

  async settle(): Promise<void> {
    for (let turn = 0; turn < 40; turn++) await new Promise((resolve) => setImmediate(resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    assert.deepEqual(this.failures, []);
    await this.store.close();
  }
}

/** The content of a batch's event. */
export function batchData(event: Event) {
  return event.data as unknown as { count: number; since: string; scheduled?: string; events: Event[] };
}
