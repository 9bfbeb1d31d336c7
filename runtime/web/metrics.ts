import { memoryUsage, versions } from "node:process";
import { embedded } from "../host/embedded.ts";
import type { Fleets } from "../model/fleet.ts";
import type { RuleEnds } from "../store/listing.ts";
import type { Receipt, Store } from "../store/store.ts";
import { addProcessMetrics } from "./process_metrics.ts";
import { Counter, Gauge, Histogram, type Observer, Registry } from "./prom_client.ts";
import { addReplicaMetrics } from "./replica_metrics.ts";
import type { Replicas } from "./replicas.ts";

/** Values that are read at each scrape. */
export interface MetricFacts {
  store: Pick<Store, "countVerdicts" | "countRuns" | "countEnds" | "stats">;
  /** Which program this is: its version, and what it runs on. */
  build: Record<string, string>;
  rules(): { loaded: number; broken: number };
  isInForce(rule: string): boolean;
  fleets: Pick<Fleets, "list">;
  /** Resident workers. */
  workers(): number;
  /** The programs on the same database; absent over a data folder. */
  replicas?: Replicas;
}

/** The most rules with a series of their own in the histogram of steps by rule. */
export const MOST_RULES = 1_000;
/** The value of `rule` for all others. No rule has this id. */
const OTHERS = "(other)";

/** Counters that the store keeps, so that they are counted across restarts. */
const STORED = new Set(["whenthen_runs_total", "whenthen_verdicts_total"]);

/** A metric with its values; those of a histogram are its buckets, their sum and count, by `metricName`. */
export interface MetricReading {
  name: string;
  /** Whether it was counted before this start of the program, too. */
  isStored: boolean;
  help: string;
  /** `counter`, `gauge` or `histogram`. */
  type: string;
  values: { labels: Record<string, string | number | undefined>; value: number; metricName?: string }[];
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

  readonly #ruleSteps = new Histogram({
    name: "whenthen_rule_step_duration_seconds",
    help: "How long the steps of a rule took, all attempts together",
    labelNames: ["rule"],
    buckets: [0.01, 0.1, 1, 10, 60, 600],
    registers: [this.#registry],
  });

  /** By kind and state of the step, and by rule: looking them up by their labels is slower than counting. */
  readonly #observers = new Map<string, Observer>();
  readonly #ruleObservers = new Map<string, Observer>();
  /** The triggers of each rule that have a series of failures. */
  readonly #failing = new Map<string, Set<string>>();
  readonly #isInForce: MetricFacts["isInForce"];

  constructor(facts: MetricFacts) {
    this.#isInForce = facts.isInForce;
    this.#readAtScrape(facts);
    this.#addRuns(facts);
    if (facts.replicas !== undefined) addReplicaMetrics(this.#registry, facts.replicas);
    addProcessMetrics(this.#registry);
  }

  /** The receipts of one transition of ingest. */
  countReceipts(receipts: Receipt[]): void {
    for (const { delivery } of receipts) (delivery === "duplicate" ? this.#duplicates : this.#events).inc();
  }

  countReload(): void {
    this.#reloads.inc();
    this.#forgetRules();
  }

  /** A poll or another trigger's pass failed. */
  countPollFailure(rule: string, trigger: string): void {
    this.#pollFailures.inc({ rule, trigger });
    const triggers = this.#failing.get(rule);
    if (triggers === undefined) this.#failing.set(rule, new Set([trigger]));
    else triggers.add(trigger);
  }

  /** A step of a rule ended. @param duration milliseconds */
  observeStep(rule: string, kind: string, state: string, duration: number): void {
    const series = `${kind} ${state}`;
    let observer = this.#observers.get(series);
    if (observer === undefined) this.#observers.set(series, observer = this.#steps.labels(kind, state));
    observer.observe(duration / 1_000);
    this.#observerOf(rule).observe(duration / 1_000);
  }

  #observerOf(rule: string): Observer {
    const known = this.#ruleObservers.get(rule);
    if (known !== undefined) return known;
    const isOver = this.#ruleObservers.size >= MOST_RULES && rule !== OTHERS;
    if (isOver) return this.#observerOf(OTHERS);
    const observer = this.#ruleSteps.labels(rule);
    this.#ruleObservers.set(rule, observer);
    return observer;
  }

  /** Ends the series of rules that were removed, which also makes room for new ones. */
  #forgetRules(): void {
    for (const [rule, triggers] of this.#failing) {
      if (this.#isInForce(rule)) continue;
      this.#failing.delete(rule);
      for (const trigger of triggers) this.#pollFailures.remove({ rule, trigger });
    }
    for (const rule of this.#ruleObservers.keys()) {
      if (rule === OTHERS || this.#isInForce(rule)) continue;
      this.#ruleObservers.delete(rule);
      this.#ruleSteps.remove(rule);
    }
  }

  /** The exposition and its content type. */
  async expose(): Promise<{ body: string; contentType: string }> {
    return { body: await this.#registry.metrics(), contentType: this.#registry.contentType };
  }

  /** The same as data, for OpenTelemetry. */
  async read(): Promise<MetricReading[]> {
    // The types of prom-client say that the type is a number; it is a word.
    return (await this.#registry.getMetricsAsJSON()).map((metric) => (
      { ...metric, type: String(metric.type), isStored: STORED.has(metric.name) }
    ));
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

  /**
   * How the runs of the rules in force ended. The store counts them for ever, also across restarts, so they are set to the
   * stored values. It keeps those of removed rules, too, but their series would never end, nor an alert on their last success.
   */
  #addRuns({ store, build, isInForce }: MetricFacts): void {
    // The registry collects all metrics of a scrape at once: they share one reading.
    let reading: Promise<[rule: string, ends: RuleEnds][]> | undefined;
    const countEnds = () =>
      reading ??= store.countEnds().then((ends) => [...ends].filter(([rule]) => isInForce(rule)))
        .finally(() => reading = undefined);
    new Counter({
      name: "whenthen_runs_total",
      help: "Runs that ended, by rule and state; a run that was retried counts each time it ends",
      labelNames: ["rule", "state"],
      registers: [this.#registry],
      async collect() {
        const ends = await countEnds();
        this.reset();
        for (const [rule, { runs }] of ends) {
          // Also zeros: an alert on an increase must see the first failure.
          for (const [state, count] of Object.entries(runs)) this.inc({ rule, state }, count);
        }
      },
    });
    const lastSuccess = "When a run of the rule last succeeded, seconds since the epoch";
    this.#gauge("rule_last_success_timestamp_seconds", lastSuccess, ["rule"], async (gauge) => {
      const ends = await countEnds();
      gauge.reset();
      for (const [rule, { succeededAt }] of ends) if (succeededAt) gauge.set({ rule }, succeededAt / 1_000);
    });
    const about = "Which program this is; the value is always 1";
    this.#gauge("build_info", about, Object.keys(build), (gauge) => gauge.set(build, 1));
  }

  #readAtScrape({ store, rules, isInForce, fleets, workers }: MetricFacts): void {
    // As with runs, the store counts for ever, and removed rules have no series.
    new Counter({
      name: "whenthen_verdicts_total",
      help: "Verdicts of rules on events",
      labelNames: ["rule", "verdict"],
      registers: [this.#registry],
      async collect() {
        const counts = await store.countVerdicts();
        this.reset();
        for (const [rule, kinds] of Object.entries(counts)) {
          if (!isInForce(rule)) continue;
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

/** What `whenthen_build_info` says: the program's version, the commit of a binary, and what it runs on. */
export function buildFacts(version: string): Record<string, string> {
  const runtime = versions.bun === undefined ? "deno" : "bun";
  return { version, commit: embedded?.commit ?? "", runtime, runtime_version: versions[runtime] ?? "" };
}
