import type { Clock } from "../host/clock.ts";
import { logLine } from "../host/log_line.ts";
import type { Run } from "../model/run.ts";
import type { Store } from "../store/store.ts";
import type { Metrics } from "../web/metrics.ts";
import type { MetricExport } from "./metric_export.ts";
import { readSettings, type TelemetrySettings } from "./settings.ts";
import type { RunStep, Traces } from "./traces.ts";

/** What telemetry works with. */
export interface TelemetryOptions {
  env: Record<string, string | undefined>;
  version: string;
  clock: Clock;
  store: Pick<Store, "getRun">;
  metrics: Pick<Metrics, "read">;
  /** Masks secrets. */
  mask: (text: string) => string;
}

/** Milliseconds that the program waits at its end for the last spans and metrics to be sent. */
const LAST_EXPORT = 5_000;

/**
 * Sends traces and metrics to an OpenTelemetry collector, if the environment names one. The packages for it are loaded only then,
 * and without them each call returns at once.
 */
export class Telemetry {
  #traces: Traces | undefined;
  #metrics: MetricExport | undefined;

  constructor(private readonly options: TelemetryOptions) {}

  /** Begins to send what the environment asks for. */
  async start(): Promise<void> {
    const settings = readSettings(this.options.env);
    if (settings === undefined) return;
    for (const problem of settings.problems) logLine("warn", problem, {});
    await this.#open(settings);
  }

  async #open({ traces, metrics, ...settings }: TelemetrySettings): Promise<void> {
    if (traces !== undefined) {
      const { Traces } = await import("./traces.ts");
      this.#traces = new Traces({ ...this.options, settings, url: traces });
    }
    if (metrics !== undefined) {
      const { MetricExport } = await import("./metric_export.ts");
      this.#metrics = new MetricExport({ ...this.options, settings, url: metrics });
    }
  }

  /** The headers that make a request part of the trace of its step; undefined if no traces are sent. */
  headersOf(step: RunStep): Record<string, string> | undefined {
    return this.#traces?.headersOf(step);
  }

  /** A run has ended, on disk. */
  ended(run: Run): void {
    this.#traces?.ended(run);
  }

  /** Sends the rest, for a few seconds at most. */
  async stop(): Promise<void> {
    const sent = Promise.all([this.#traces?.stop(), this.#metrics?.stop()]);
    this.#traces = this.#metrics = undefined;
    const late = Promise.withResolvers<"late">();
    const cancel = this.options.clock.after(LAST_EXPORT, () => late.resolve("late"));
    const result = await Promise.race([sent, late.promise]);
    cancel();
    if (result !== "late") return;
    const seconds = LAST_EXPORT / 1_000;
    logLine(
      "warn",
      `The last traces and metrics could not be sent within ${seconds} s; the program ends without them`,
      {},
    );
  }
}
