import type { RecordedError } from "../model/errors.ts";
import { isObject, type Json } from "../model/json.ts";
import { type RecordedNode, recordedTree, type Run, type StepRecord } from "../model/run.ts";
import type { Trace } from "../store/store.ts";

/** The content of a span, without ids. Texts are masked; arguments and results of steps are not in it. */
export interface SpanFacts {
  /** The path of the step; "" for the run. */
  path: string;
  /** The path of the step around it, "" if it is in the run itself; absent for the run. */
  parent?: string;
  name: string;
  kind?: "consumer" | "producer" | "client";
  start: number;
  end: number;
  attributes: Values;
  events: { name: string; at: number; attributes: Values }[];
  /** Why it failed; absent if it has not. */
  failure?: string;
}

type Values = Record<string, string | number>;
type Mask = (text: string) => string;

/** Characters of a text. */
const LONGEST = 2_000;

/**
 * The spans of a run that has ended: its own and those of its steps. If an operator had it retried, only those of the run itself and
 * of the steps that have ended since: the others are sent already.
 */
export function spansOf({ run, steps, notes }: Trace, mask: Mask): SpanFacts[] {
  const retried = notes.findLast(({ text }) => text.startsWith("Retried by "))?.at ?? -Infinity;
  const spans = [runSpan(run)];
  const add = (nodes: RecordedNode[], parent: string) => {
    for (const { record, children } of nodes) {
      if (record && (record.endedAt ?? Infinity) >= retried) spans.push(stepSpan(record, parent, run));
      add(children, record?.path ?? parent);
    }
  };
  add(recordedTree(steps).roots, "");
  return spans.map((span) => masked(span, mask));
}

function runSpan(run: Run): SpanFacts {
  const { id, rule, trigger, event, state, createdAt, startedAt, endedAt = createdAt, error } = run;
  return {
    path: "",
    name: rule,
    kind: "consumer",
    start: createdAt,
    end: endedAt,
    attributes: {
      "whenthen.rule": rule,
      "whenthen.run.id": id,
      "whenthen.run.state": state,
      "whenthen.trigger": trigger,
      "whenthen.event.id": event.id,
      "whenthen.event.source": event.source,
      "whenthen.event.type": event.type,
      ...event.subject !== undefined && { "whenthen.event.subject": event.subject },
      ...event.cause && { "whenthen.event.run": event.cause.run },
      ...run.replayOf !== undefined && { "whenthen.run.replay_of": run.replayOf },
      ...error && { "error.type": error.name },
    },
    events: startedAt === undefined ? [] : [{ name: "started", at: startedAt, attributes: {} }],
    ...failureOf(state, error, run.output),
  };
}

function stepSpan(record: StepRecord, parent: string, run: Run): SpanFacts {
  const { path, kind, state, attempts, startedAt, endedAt = run.endedAt ?? startedAt, failures = [], error } = record;
  const spanKind = kind === "http" ? "client" : kind === "emit" ? "producer" : undefined;
  return {
    path,
    parent,
    // Without the numbers of items: there should be few names.
    name: path.replace(/\[\d+\]/g, "[]"),
    ...spanKind && { kind: spanKind },
    start: startedAt,
    end: endedAt,
    attributes: {
      "whenthen.rule": run.rule,
      "whenthen.run.id": run.id,
      "whenthen.step.path": path,
      "whenthen.step.kind": kind,
      "whenthen.step.state": state,
      "whenthen.step.attempts": attempts,
      ...kind === "http" && requestFacts(record),
      ...error && { "error.type": error.name },
    },
    events: failures.map(({ attempt, endedAt: at, error: { name, message } }) => ({
      name: "attempt failed",
      at,
      attributes: { "whenthen.step.attempt": attempt, "error.type": name, "error.message": message },
    })),
    ...failureOf(state, error),
  };
}

/** Of a request, what OpenTelemetry's conventions for clients name and what is recorded: no path and no query. */
function requestFacts({ input, output, error }: StepRecord): Values {
  const text = isObject(input) && typeof input.http === "string" ? input.http.trim() : "";
  const address = /^(?:([A-Za-z]+) +)?https?:\/\/(?:[^/?#@\s]*@)?([\w.-]+|\[[\da-f:]+\])(?=[:/?#]|$)/.exec(text);
  const status = statusOf(output) ?? statusOf(error?.detail);
  return {
    ...address && { "http.request.method": (address[1] ?? "GET").toUpperCase(), "server.address": address[2] },
    ...status !== undefined && { "http.response.status_code": status },
  };
}

function statusOf(result: Json | undefined): number | undefined {
  return isObject(result) && typeof result.status === "number" ? result.status : undefined;
}

/** @param reason that of a `stop`, which fails a run without an error */
function failureOf(state: string, error: RecordedError | undefined, reason?: Json): Pick<SpanFacts, "failure"> {
  if (state !== "failed") return {};
  return { failure: error?.message ?? (typeof reason === "string" ? reason : "no message") };
}

function masked(span: SpanFacts, maskText: Mask): SpanFacts {
  // Masked first: half of a secret would not be found.
  const mask = (text: string) => maskText(text).slice(0, LONGEST).toWellFormed();
  const maskValues = (values: Values): Values =>
    Object.fromEntries(
      Object.entries(values).map(([name, value]) => [name, typeof value === "string" ? mask(value) : value]),
    );
  return {
    ...span,
    name: mask(span.name),
    attributes: maskValues(span.attributes),
    events: span.events.map((event) => ({ ...event, attributes: maskValues(event.attributes) })),
    ...span.failure !== undefined && { failure: mask(span.failure) },
  };
}
