import {
  type Attributes,
  type Context,
  defaultTextMapGetter,
  defaultTextMapSetter,
  ROOT_CONTEXT,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
  type Tracer,
} from "@opentelemetry/api";
import { type ExportResult, W3CTraceContextPropagator } from "@opentelemetry/core";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  type IdGenerator,
  ParentBasedSampler,
  type ReadableSpan,
  type Sampler,
  SamplingDecision,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import { createHash } from "node:crypto";
import { logLine } from "../host/log_line.ts";
import { messageOf } from "../model/errors.ts";
import type { Event } from "../model/event.ts";
import type { Run } from "../model/run.ts";
import type { Store, Trace } from "../store/store.ts";
import { ExportReport, resourceOf, SCOPE } from "./otlp.ts";
import type { TelemetrySettings } from "./settings.ts";
import { type SpanFacts, spansOf } from "./spans.ts";

interface TracesOptions {
  settings: Pick<TelemetrySettings, "sampler" | "batches">;
  url: string;
  version: string;
  store: Pick<Store, "getRun">;
  mask: (text: string) => string;
}

/** A step of a run. */
export interface RunStep {
  run: Pick<Run, "id" | "event">;
  /** Its path. */
  step: string;
}

/** The most runs that have ended and whose spans are not made yet: the id of each is kept. */
const MOST_WAITING = 10_000;

const propagator = new W3CTraceContextPropagator();

/**
 * Sends a span for each run and each of its steps. They are made from the run's trace when it has ended, so that a run that waited
 * for days, or was continued after a crash, has each span once. Ids are derived from the run's id and the steps' paths: the request
 * of a step carries the id of a span that is made later, perhaps by another start of the program.
 */
export class Traces {
  readonly #ids = new GivenIds();
  readonly #sampler: Sampler;
  readonly #tracer: Tracer;
  readonly #processor: BatchSpanProcessor;
  readonly #provider: TracerProvider;
  /** Spans after which those made are sent, before others are made: the queue of the processor would drop them. */
  readonly #most: number;
  #unsent = 0;
  /** Ids of runs that have ended. */
  #waiting: string[] = [];
  #making: Promise<void> | undefined;
  #isBehind = false;

  constructor(private readonly options: TracesOptions) {
    const { settings: { sampler, batches }, url, version } = options;
    this.#sampler = samplerOf(sampler);
    this.#most = Math.max(1, Math.min(batches.size, Math.floor(batches.queue / 2)));
    this.#processor = new BatchSpanProcessor({
      exporter: new ReportingExporter(url),
      maxQueueSize: batches.queue,
      maxExportBatchSize: batches.size,
      scheduledDelayMillis: batches.delay,
      exportTimeoutMillis: batches.timeout,
    });
    this.#provider = new TracerProvider({
      resource: resourceOf(version),
      sampler: this.#sampler,
      idGenerator: this.#ids,
      spanProcessors: [this.#processor],
    });
    this.#tracer = this.#provider.getTracer(SCOPE, version);
  }

  /** The headers that make a request part of the trace of its step. */
  headersOf({ run, step }: RunStep): Record<string, string> {
    const headers: Record<string, string> = {};
    const context = trace.setSpanContext(ROOT_CONTEXT, this.#spanContext(run, step));
    propagator.inject(context, headers, defaultTextMapSetter);
    return headers;
  }

  /** A run has ended, on disk. */
  ended(run: Run): void {
    if ((this.#spanContext(run, "").traceFlags & TraceFlags.SAMPLED) === 0) return;
    if (this.#waiting.length < MOST_WAITING) this.#waiting.push(run.id);
    else if (!this.#isBehind) {
      this.#isBehind = true;
      logLine(
        "warn",
        `Over ${MOST_WAITING} runs have ended whose spans are not sent yet; those of others are lost`,
        {},
      );
    }
    this.#making ??= this.#makeAll();
  }

  /** Sends the rest. */
  async stop(): Promise<void> {
    await this.#making;
    // What fails is reported by the exporter.
    await this.#provider.shutdown().catch(() => {});
  }

  /** Never rejects. */
  async #makeAll(): Promise<void> {
    for (let id = this.#waiting.shift(); id !== undefined; id = this.#waiting.shift()) {
      try {
        const found = await this.options.store.getRun(id);
        if (found !== undefined) await this.#make(found);
      } catch (error) {
        logLine("warn", `Cannot send the spans of run ${id}: ${messageOf(error)}`, {});
      }
    }
    this.#isBehind = false;
    this.#making = undefined;
  }

  async #make(found: Trace): Promise<void> {
    const { run } = found;
    const outer = parentOf(run.event);
    const { traceId, traceState, traceFlags } = this.#spanContext(run, "");
    for (const span of spansOf(found, this.options.mask)) {
      const parent = span.parent === undefined ? outer : trace.setSpanContext(ROOT_CONTEXT, {
        traceId,
        spanId: spanIdOf(run.id, span.parent),
        traceFlags,
        traceState,
      });
      this.#ids.next = { traceId, spanId: spanIdOf(run.id, span.path) };
      emitSpan(this.#tracer, span, parent);
      if (++this.#unsent >= this.#most) await this.#flush();
    }
  }

  async #flush(): Promise<void> {
    this.#unsent = 0;
    await this.#processor.forceFlush().catch(() => {});
  }

  /** The span of a step of a run, or of the run itself if the path is empty. */
  #spanContext({ id, event }: RunStep["run"], path: string): SpanContext {
    const outer = parentOf(event);
    const parent = trace.getSpanContext(outer);
    const traceId = parent?.traceId ?? hash(`whenthen trace ${id}`, 32);
    const { decision } = this.#sampler.shouldSample(outer, traceId, "", SpanKind.INTERNAL, {}, []);
    const traceFlags = decision === SamplingDecision.RECORD_AND_SAMPLED ? TraceFlags.SAMPLED : TraceFlags.NONE;
    return {
      traceId,
      spanId: spanIdOf(id, path),
      traceFlags,
      ...parent?.traceState && { traceState: parent.traceState },
    };
  }
}

/** The span that an event came from: that of the step that emitted it, or of whoever sent the request. */
function parentOf({ trace, http, ce }: Event): Context {
  const sent = http?.headers.traceparent === undefined ? ce : http.headers;
  return propagator.extract(
    ROOT_CONTEXT,
    trace === undefined ? sent ?? {} : { traceparent: trace },
    defaultTextMapGetter,
  );
}

function spanIdOf(run: string, path: string): string {
  return hash(`whenthen span ${run}/${path}`, 16);
}

function hash(text: string, digits: number): string {
  return createHash("sha256").update(text).digest("hex").slice(0, digits);
}

function emitSpan(tracer: Tracer, { name, kind, attributes, start, end, events, failure }: SpanFacts, parent: Context) {
  const kinds = { consumer: SpanKind.CONSUMER, producer: SpanKind.PRODUCER, client: SpanKind.CLIENT } as const;
  const span = tracer.startSpan(
    name,
    // Not numbers: those before the start of the program count as milliseconds since that.
    { kind: kind && kinds[kind], attributes: attributes as Attributes, startTime: new Date(start) },
    parent,
  );
  for (const { name, at, attributes } of events) span.addEvent(name, attributes as Attributes, new Date(at));
  if (failure !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message: failure });
  span.end(new Date(end));
}

/** Gives the next span the ids that were derived for it. */
class GivenIds implements IdGenerator {
  next = { traceId: "", spanId: "" };

  generateTraceId(): string {
    return this.next.traceId;
  }

  generateSpanId(): string {
    return this.next.spanId;
  }
}

class ReportingExporter extends OTLPTraceExporter {
  readonly #report: ExportReport;

  constructor(url: string) {
    super({ url });
    this.#report = new ExportReport("traces", url);
  }

  override export(items: ReadableSpan[], done: (result: ExportResult) => void): void {
    super.export(items, (result) => {
      this.#report.note(result);
      done(result);
    });
  }
}

function samplerOf({ name, ratio }: TelemetrySettings["sampler"]): Sampler {
  const root = {
    on: () => new AlwaysOnSampler(),
    off: () => new AlwaysOffSampler(),
    ratio: () => new TraceIdRatioBasedSampler(ratio),
  };
  switch (name) {
    case "always_on":
      return root.on();
    case "always_off":
      return root.off();
    case "traceidratio":
      return root.ratio();
    case "parentbased_always_on":
      return new ParentBasedSampler({ root: root.on() });
    case "parentbased_always_off":
      return new ParentBasedSampler({ root: root.off() });
    case "parentbased_traceidratio":
      return new ParentBasedSampler({ root: root.ratio() });
  }
}
