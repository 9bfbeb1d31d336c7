import { type Seen, WebServer } from "../e2e/web_server.ts";

/** A span as a collector gets it. */
export interface SentSpan {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  traceState?: string;
  name: string;
  /** 1 internal, 3 client, 4 producer, 5 consumer. */
  kind: number;
  /** Milliseconds since the epoch. */
  start: number;
  end: number;
  attributes: Record<string, unknown>;
  events: { name: string; at: number; attributes: Record<string, unknown> }[];
  /** 2 is an error. */
  status: { code: number; message?: string };
  resource: Record<string, unknown>;
}

/** A point of a metric as a collector gets it. */
export interface SentPoint {
  metric: string;
  unit: string;
  /** `sum`, `gauge` or `histogram`. */
  type: string;
  /** Milliseconds since the epoch; 0 if it is not known. */
  start: number;
  attributes: Record<string, unknown>;
  value?: number;
  count?: number;
  sum?: number;
  bucketCounts?: number[];
  explicitBounds?: number[];
}

// deno-lint-ignore no-explicit-any
type Sent = any;

/** A stand-in for an OpenTelemetry collector: a real server that takes OTLP as JSON. */
export class Collector implements AsyncDisposable {
  private constructor(readonly server: WebServer) {}

  static async start(): Promise<Collector> {
    return new Collector(await WebServer.start());
  }

  get url(): string {
    return this.server.url;
  }

  /** The requests with spans, or with metrics. */
  requests(signal: "traces" | "metrics"): Seen[] {
    return this.server.seen.filter(({ path }) => path === `/v1/${signal}`);
  }

  get spans(): SentSpan[] {
    return this.requests("traces").flatMap(({ body }) => readSpans(JSON.parse(body)));
  }

  /** The points of the last export. */
  get points(): SentPoint[] {
    const last = this.requests("metrics").at(-1);
    return last === undefined ? [] : readPoints(JSON.parse(last.body));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.server[Symbol.asyncDispose]();
  }
}

function readSpans({ resourceSpans }: Sent): SentSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }: Sent) =>
    scopeSpans.flatMap(({ spans }: Sent) => spans).map((span: Sent) => ({
      ...span,
      start: toMs(span.startTimeUnixNano),
      end: toMs(span.endTimeUnixNano),
      attributes: readAttributes(span.attributes),
      events: (span.events ?? []).map(({ name, timeUnixNano, attributes }: Sent) => ({
        name,
        at: toMs(timeUnixNano),
        attributes: readAttributes(attributes),
      })),
      resource: readAttributes(resource.attributes),
    }))
  );
}

function readPoints({ resourceMetrics }: Sent): SentPoint[] {
  const metrics = resourceMetrics.flatMap(({ scopeMetrics }: Sent) =>
    scopeMetrics.flatMap(({ metrics }: Sent) => metrics)
  );
  return metrics.flatMap((metric: Sent) => {
    const type = ["sum", "gauge", "histogram"].find((type) => metric[type] !== undefined)!;
    return metric[type].dataPoints.map((
      { attributes, startTimeUnixNano, asDouble, asInt, count, sum, bucketCounts, explicitBounds }: Sent,
    ) => ({
      metric: metric.name,
      unit: metric.unit,
      type,
      start: toMs(startTimeUnixNano),
      attributes: readAttributes(attributes),
      ...type === "histogram"
        ? { count: Number(count), sum, bucketCounts: bucketCounts.map(Number), explicitBounds }
        : { value: asDouble ?? Number(asInt) },
    }));
  });
}

function readAttributes(list: Sent[] = []): Record<string, unknown> {
  return Object.fromEntries(list.map(({ key, value }) => {
    const [kind, read] = Object.entries(value)[0];
    return [key, kind === "intValue" ? Number(read) : read];
  }));
}

function toMs(nanoseconds: string): number {
  return Number(BigInt(nanoseconds) / 1_000_000n);
}
