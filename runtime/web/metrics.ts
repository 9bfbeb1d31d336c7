import { memoryUsage } from "node:process";
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Fleets } from "../model/fleet.ts";
import type { Receipt, Store } from "../store/store.ts";

/** Values that are read at each scrape. */
export interface MetricFacts {
  store: Pick<Store, "countVerdicts" | "countRuns" | "stats">;
  rules(): { loaded: number; broken: number };
  fleets: Pick<Fleets, "list">;
  /** Resident workers. */
  workers(): number;
}

/** The program's metrics in the text format of Prometheus. Names start with `whenthen_`. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #events = this.#counter("events_total", "Events accepted, duplicates not counted");
  readonly #duplicates = this.#counter("duplicates_total", "Deliveries of an event that was already known");
  readonly #reloads = this.#counter("reloads_total", "Reloads of the rules folder");
  readonly #pollFailures = this.#counter("poll_failures_total", "Passes of a trigger that failed", ["rule", "trigger"]);
  readonly #steps = new Histogram({
    name: "whenthen_step_duration_seconds",
    help: "How long steps took, all attempts together",
    labelNames: ["kind", "state"],
    buckets: [0.005, 0.025, 0.1, 0.5, 1, 5, 30, 120, 600],
    registers: [this.#registry],
  });

  /** By kind and state of the step: looking them up by their labels is slower than counting. */
  readonly #observers = new Map<string, Histogram.Internal<string>>();

  constructor(facts: MetricFacts) {
    this.#readAtScrape(facts);
  }

  /** The receipts of one transition of ingest. */
  countReceipts(receipts: Receipt[]): void {
    for (const { delivery } of receipts) (delivery === "duplicate" ? this.#duplicates : this.#events).inc();
  }

  countReload(): void {
    this.#reloads.inc();
  }

  /** A poll or another trigger's pass failed. */
  countPollFailure(rule: string, trigger: string): void {
    this.#pollFailures.inc({ rule, trigger });
  }

  /** A step ended. @param duration milliseconds */
  observeStep(kind: string, state: string, duration: number): void {
    const series = `${kind} ${state}`;
    let observer = this.#observers.get(series);
    if (observer === undefined) this.#observers.set(series, observer = this.#steps.labels(kind, state));
    observer.observe(duration / 1_000);
  }

  /** The exposition and its content type. */
  async expose(): Promise<{ body: string; contentType: string }> {
    return { body: await this.#registry.metrics(), contentType: this.#registry.contentType };
  }

  #counter(name: string, help: string, labelNames: string[] = []): Counter {
    return new Counter({ name: `whenthen_${name}`, help, labelNames, registers: [this.#registry] });
  }

  #gauge(name: string, help: string, labelNames: string[], read: (gauge: Gauge) => void | Promise<void>): void {
    new Gauge({
      name: `whenthen_${name}`,
      help,
      labelNames,
      registers: [this.#registry],
      collect() {
        return read(this);
      },
    });
  }

  #readAtScrape({ store, rules, fleets, workers }: MetricFacts): void {
    // The store counts verdicts for ever, also across restarts, so this counter is set to the stored value.
    new Counter({
      name: "whenthen_verdicts_total",
      help: "Verdicts of rules on events",
      labelNames: ["rule", "verdict"],
      registers: [this.#registry],
      async collect() {
        const counts = await store.countVerdicts();
        this.reset();
        for (const [rule, kinds] of Object.entries(counts)) {
          for (const [verdict, count] of Object.entries(kinds)) this.inc({ rule, verdict }, count);
        }
      },
    });
    this.#gauge("runs", "Runs in the store by state", ["state"], async (gauge) => {
      for (const [state, count] of Object.entries(await store.countRuns())) gauge.set({ state }, count);
    });
    this.#gauge("rules", "Rule files that are loaded, and that do not load", ["state"], (gauge) => {
      for (const [state, count] of Object.entries(rules())) gauge.set({ state }, count);
    });
    this.#gauge(
      "store_bytes",
      "Size of the live database",
      [],
      async (gauge) => gauge.set((await store.stats()).bytes),
    );
    this.#gauge("journal_bytes", "Size of the journal since the last checkpoint", [], async (gauge) => {
      gauge.set((await store.stats()).journalBytes);
    });
    this.#gauge("devices", "Devices by fleet and state", ["fleet", "state"], (gauge) => {
      gauge.reset();
      for (const { fleet: { id: fleet }, counts } of fleets.list()) {
        for (const [state, count] of Object.entries(counts)) gauge.set({ fleet, state }, count);
      }
    });
    this.#gauge("workers", "Workers that run rule code", [], (gauge) => gauge.set(workers()));
    this.#gauge("memory_bytes", "Resident memory of the process", [], (gauge) => gauge.set(memoryUsage().rss));
  }
}
