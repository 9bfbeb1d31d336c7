import { type Attributes, ValueType } from "@opentelemetry/api";
import { type ExportResult, millisToHrTime } from "@opentelemetry/core";
import { OTLPMetricExporter } from "@opentelemetry/exporter-metrics-otlp-http";
import { emptyResource } from "@opentelemetry/resources";
import {
  AggregationTemporality,
  type CollectionResult,
  type DataPoint,
  DataPointType,
  type Histogram,
  MeterProvider,
  type MetricData,
  PeriodicExportingMetricReader,
  type ResourceMetrics,
} from "@opentelemetry/sdk-metrics";
import type { Clock } from "../host/clock.ts";
import type { MetricReading, Metrics } from "../web/metrics.ts";
import { ExportReport, resourceOf, SCOPE } from "./otlp.ts";
import type { TelemetrySettings } from "./settings.ts";

interface MetricExportOptions {
  settings: Pick<TelemetrySettings, "interval" | "timeout">;
  url: string;
  version: string;
  clock: Clock;
  metrics: Pick<Metrics, "read">;
  /** Masks secrets. */
  mask: (text: string) => string;
}

/** Sends what `/metrics` shows to a collector, at an interval and at the end of the program: the same numbers, counted once. */
export class MetricExport {
  readonly #provider: MeterProvider;

  constructor({ settings, url, version, clock, metrics, mask }: MetricExportOptions) {
    const begun = clock.now();
    const collect = async (): Promise<CollectionResult> => {
      const times = { startTime: millisToHrTime(begun), endTime: millisToHrTime(clock.now()) };
      const read = (await metrics.read()).filter(({ values }) => values.length > 0);
      const scopeMetrics = [{
        scope: { name: SCOPE, version },
        metrics: read.map((metric) => toMetricData(metric, times, mask)),
      }];
      // The reader takes the resource of the provider.
      return { resourceMetrics: { resource: emptyResource(), scopeMetrics }, errors: [] };
    };
    const reader = new PeriodicExportingMetricReader({
      exporter: new ReportingExporter(url),
      exportIntervalMillis: settings.interval,
      exportTimeoutMillis: settings.timeout,
      metricProducers: [{ collect }],
    });
    this.#provider = new MeterProvider({ resource: resourceOf(version), readers: [reader] });
  }

  /** Sends the last values. */
  async stop(): Promise<void> {
    // What fails is reported by the exporter.
    await this.#provider.shutdown().catch(() => {});
  }
}

class ReportingExporter extends OTLPMetricExporter {
  readonly #report: ExportReport;

  constructor(url: string) {
    super({ url });
    this.#report = new ExportReport("metrics", url);
  }

  override export(items: ResourceMetrics, done: (result: ExportResult) => void): void {
    super.export(items, (result) => {
      this.#report.note(result);
      done(result);
    });
  }
}

type Times = Pick<DataPoint<number>, "startTime" | "endTime">;
type Mask = (text: string) => string;

/** A metric of the registry as OpenTelemetry's data model has it, under the same name. */
function toMetricData({ name, help, type, values, isStored }: MetricReading, since: Times, mask: Mask): MetricData {
  // 0 is an unknown start. With that of the program, a backend would take all that was counted before for new.
  const times: Times = isStored ? { ...since, startTime: [0, 0] } : since;
  const unit = /_seconds(_total)?$/.test(name) ? "s" : /_bytes(_total)?$/.test(name) ? "By" : "";
  const descriptor = { name, description: help, unit, valueType: ValueType.DOUBLE };
  const common = { descriptor, aggregationTemporality: AggregationTemporality.CUMULATIVE };
  if (type === "histogram") {
    return { ...common, dataPointType: DataPointType.HISTOGRAM, dataPoints: toHistograms(name, values, times, mask) };
  }
  const dataPoints = values.map(({ labels, value }) => ({ ...times, attributes: toAttributes(labels, mask), value }));
  if (type === "counter") return { ...common, dataPointType: DataPointType.SUM, isMonotonic: true, dataPoints };
  return { ...common, dataPointType: DataPointType.GAUGE, dataPoints };
}

/** In the registry a bucket counts all values up to its bound; in OpenTelemetry only those above the bound before it. */
function toHistograms(
  name: string,
  values: MetricReading["values"],
  times: Times,
  mask: Mask,
): DataPoint<Histogram>[] {
  const series = Map.groupBy(
    values,
    ({ labels: { le: _le, ...labels } }) => JSON.stringify(Object.entries(labels).sort()),
  );
  return [...series.values()].map((parts) => {
    const { le: _le, ...labels } = parts[0].labels;
    const buckets = parts.filter(({ metricName }) => metricName === `${name}_bucket`)
      .map(({ labels, value }) => ({ bound: Number(String(labels.le).replace("+Inf", "Infinity")), value }))
      .sort((a, b) => a.bound - b.bound);
    const counts = buckets.map(({ value }, index) => value - (index === 0 ? 0 : buckets[index - 1].value));
    const boundaries = buckets.map(({ bound }) => bound).filter(Number.isFinite);
    const valueOf = (suffix: string) => parts.find(({ metricName }) => metricName === name + suffix)?.value ?? 0;
    const value = { buckets: { boundaries, counts }, sum: valueOf("_sum"), count: valueOf("_count") };
    return { ...times, attributes: toAttributes(labels, mask), value };
  });
}

function toAttributes(labels: MetricReading["values"][number]["labels"], mask: Mask): Attributes {
  return Object.fromEntries(Object.entries(labels).map(([name, value]) => [name, mask(String(value))]));
}
