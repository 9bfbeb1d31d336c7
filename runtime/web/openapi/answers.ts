import { z } from "zod";
import type { ConfigEntry, ConfigValue } from "../../model/config.ts";
import type { RecordedError } from "../../model/errors.ts";
import {
  type Cause,
  type Event,
  type HttpRequestFacts,
  type SavedFile,
  type Verdict,
  VERDICT_KINDS,
  type VerdictKind,
} from "../../model/event.ts";
import type { Json } from "../../model/json.ts";
import { type Field, FIELD_TYPES, type ItemField } from "../../model/rule.ts";
import { type PastAttempt, type Run, RUN_STATES, type StepRecord, type StepWait } from "../../model/run.ts";
import type { EventRecord, Note } from "../../store/store.ts";
import type { EmitAnswer } from "../api.ts";
import type { EventAnswer } from "../answer.ts";
import type { ConfiguredValue, RunAnswer } from "../config_api.ts";
import type { StartAnswer } from "../rules_api.ts";

/**
 * The schema of what `T` describes, under a name in the document. A key of `T` that is missing here, another one, or a value of another type does
 * not compile.
 */
export function answerOf<T>(id: string, shape: { [K in keyof T]-?: z.ZodType<T[K]> }) {
  return z.strictObject(shape).meta({ id });
}

/** One of several shapes, of which each has another value of `kind`. */
export function oneOf<T>(id: string, shapes: readonly z.ZodType<T>[]): z.ZodType<T> {
  return z.union(shapes).meta({ id });
}

const text = z.string();
export const json = z.custom<Json>().meta({ description: "Any JSON" });
export const time = z.number().meta({ description: "Milliseconds since the epoch" });
export const duration = z.number().meta({ description: "Milliseconds" });
/** The id of a run. */
export const run = z.string().meta({ description: "The id of a run" });
export const runState = z.enum(RUN_STATES).meta({ id: "RunState" });
/** Values by name. */
export const values = z.record(z.string(), json);

// ── fields of inputs, config and forms ──────────────────────────────────────────────────────────────────────────────────

const itemField = answerOf<ItemField>("ItemField", {
  type: z.enum(FIELD_TYPES),
  choices: z.array(json).optional(),
  min: z.number().optional(),
  max: z.number().optional(),
  pattern: text.optional(),
  under: text.optional(),
  hosts: z.array(text).optional(),
});

/** The keys of a field, for what has more. */
export const fieldShape: { [K in keyof Field]-?: z.ZodType<Field[K]> } = {
  ...itemField.shape,
  title: text.optional(),
  help: text.optional(),
  default: json.optional(),
  required: z.boolean(),
  lines: z.number().optional(),
  of: itemField.optional(),
  requires: z.array(z.union([text, z.strictObject({ any: z.array(text) })])).optional(),
  conflicts: z.array(text).optional(),
  oneOf: z.array(z.array(text)).optional(),
};
export const field = answerOf<Field>("Field", fieldShape);
export const fields = z.record(z.string(), field);

// ── events ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

const texts = z.record(z.string(), text);
const cause = answerOf<Cause>("Cause", { depth: z.int(), run, own: z.array(text).optional() });
const savedFile = answerOf<SavedFile>("SavedFile", {
  path: text,
  name: text,
  type: text,
  bytes: z.number(),
  sha256: text,
});
const http = answerOf<HttpRequestFacts>("HttpRequest", {
  method: text,
  path: text,
  params: texts,
  query: z.record(z.string(), z.union([text, z.array(text)])),
  headers: texts,
  leftOut: z.array(text).optional(),
});
const event = answerOf<Event>("Event", {
  id: text,
  source: text,
  type: text,
  subject: text.optional(),
  time: z.iso.datetime(),
  data: json,
  http: http.optional(),
  files: z.record(z.string(), z.union([savedFile, z.array(savedFile)])).optional(),
  ce: texts.optional(),
  cause: cause.optional(),
  trace: text.optional(),
  by: text.optional(),
});

type Of<K extends VerdictKind> = Extract<Verdict, { kind: K }>;
const reason = text.meta({ description: "A sentence for people" });
const verdicts: { [K in VerdictKind]: z.ZodType<Of<K>> } = {
  started: answerOf<Of<"started">>("Started", { kind: z.literal("started"), run }),
  held: answerOf<Of<"held">>("Held", { kind: z.literal("held"), run, reason, until: time }),
  condition: answerOf<Of<"condition">>("ConditionFalse", {
    kind: z.literal("condition"),
    reason,
    clause: text.optional(),
    values: values.optional(),
    run: run.optional(),
  }),
  busy: answerOf<Of<"busy">>("Busy", { kind: z.literal("busy"), reason }),
  batched: answerOf<Of<"batched">>("Batched", { kind: z.literal("batched"), reason, until: time, run: run.optional() }),
  disabled: answerOf<Of<"disabled">>("Disabled", { kind: z.literal("disabled"), reason }),
  looped: answerOf<Of<"looped">>("Looped", { kind: z.literal("looped"), reason }),
  invalid: answerOf<Of<"invalid">>("InputsInvalid", { kind: z.literal("invalid"), reason, problems: texts }),
  error: answerOf<Of<"error">>("ConditionFailed", { kind: z.literal("error"), reason, run: run.optional() }),
};
const verdict = oneOf<Verdict>("Verdict", Object.values(verdicts));
const ruleVerdicts = z.array(
  answerOf<EventRecord["verdicts"][number]>("RuleVerdict", { rule: text, trigger: text, verdict }),
);
/** How often each kind of verdict was given. */
export const verdictCounts = z.partialRecord(z.enum(VERDICT_KINDS), z.int());

export const eventRecord = answerOf<EventRecord>("EventRecord", {
  key: text.meta({ description: "Sorts by arrival; the value for `before`" }),
  event,
  receivedAt: time,
  deliveries: z.int(),
  delivery: z.enum(["accepted", "unmatched"]),
  verdicts: ruleVerdicts,
  ended: z.array(z.strictObject({ rule: text, run, step: text })),
});

const accepted: { [K in keyof EventAnswer]-?: z.ZodType<EventAnswer[K]> } = {
  event: text.meta({ description: "The id of the event" }),
  runs: z.array(run),
  duplicate: z.boolean(),
};
export const eventAnswer = answerOf<EventAnswer>("EventAnswer", accepted);
export const emitAnswer = answerOf<EmitAnswer>("EmitAnswer", {
  ...accepted,
  verdicts: ruleVerdicts,
  wakes: z.array(run),
});
export const startAnswer = answerOf<StartAnswer>("StartAnswer", { ...accepted, verdicts: ruleVerdicts });

// ── errors ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

const error = text.meta({ description: "What is wrong, and what would work" });
/** Every refused request, if nothing more is said. */
export const refusal = z.strictObject({ error }).meta({ id: "Refusal" });
const problems = texts.meta({ description: "What is wrong with each value, by name" });
/** Values that do not fit. */
export const invalid = z.strictObject({ error, problems }).meta({ id: "Invalid" });
/** An event whose values fit no rule. */
export const invalidEvent = z.strictObject({ error, problems, event: text }).meta({ id: "InvalidEvent" });
export const batchAnswer = z.strictObject({ events: z.array(z.union([eventAnswer, invalidEvent])) })
  .meta({ id: "BatchAnswer" });
/** A reply was awaited, but its run failed before. */
export const failedReply = z.strictObject({ error, ...accepted }).meta({ id: "FailedBeforeReply" });
/** No webhook listens; the paths that do are only for those who may see the rules. */
export const noHook = z.strictObject({ error, paths: z.array(text).optional() }).meta({ id: "NoHook" });
/** Somebody changed a key of the config meanwhile; or its values are stored, but the rule does not load with them. */
export const configConflict = z.union([
  z.strictObject({ error, key: text, by: text, at: time }),
  z.strictObject({ error, stored: z.literal(true) }),
]).meta({ id: "ConfigConflict" });

// ── runs ────────────────────────────────────────────────────────────────────────────────────────────────────────────────

const recordedError = answerOf<RecordedError>("RecordedError", {
  name: text,
  message: text,
  stack: text.optional(),
  detail: json.optional(),
  step: text.optional(),
});
const stepWait = answerOf<StepWait>("StepWait", {
  step: text,
  kind: z.enum(["time", "event", "form"]),
  what: text,
  until: time.optional(),
  since: time,
});
export const runHead = answerOf<Run>("Run", {
  id: run,
  rule: text,
  version: text,
  trigger: text,
  event,
  inputs: values.optional(),
  state: runState,
  waitingFor: text.optional(),
  waits: z.array(stepWait).optional(),
  due: time.optional(),
  key: text.optional(),
  createdAt: time,
  startedAt: time.optional(),
  endedAt: time.optional(),
  spent: duration,
  error: recordedError.optional(),
  output: json.optional(),
  replayOf: run.optional(),
});
const pastAttempt = answerOf<PastAttempt>("PastAttempt", {
  attempt: z.int(),
  startedAt: time,
  endedAt: time,
  error: z.strictObject({ name: text, message: text }),
});
const stepRecord = answerOf<StepRecord>("Step", {
  path: text,
  kind: text,
  state: z.enum(["retrying", "waiting", "succeeded", "failed", "skipped", "cancelled"]),
  attempts: z.int(),
  startedAt: time,
  attemptedAt: time.optional(),
  endedAt: time.optional(),
  failures: z.array(pastAttempt).optional(),
  input: json.optional(),
  output: json.optional(),
  error: recordedError.optional(),
  due: time.optional(),
  after: text.optional(),
});
const note = answerOf<Note>("Note", {
  at: time,
  text,
  by: text.optional(),
  reason: text.optional(),
  bulk: z.strictObject({ id: text, runs: z.int() }).optional(),
});

/** Where a value of the config comes from. */
const from = text.meta({ description: "`default`, the path of a config file, `source`, `page` or `--set`" });
const configured = answerOf<ConfiguredValue>("ConfiguredValue", {
  key: text,
  value: json,
  from,
  by: text.optional(),
  at: time.optional(),
});
export const runAnswer = answerOf<RunAnswer>("RunWithSteps", {
  run: runHead,
  steps: z.array(stepRecord),
  notes: z.array(note),
  configured: z.array(configured).optional(),
});

const configValue: z.ZodType<ConfigValue> = answerOf<ConfigValue>("ConfigValue", {
  value: json,
  from,
  by: text.optional(),
  at: time.optional(),
  get below() {
    return configValue.optional();
  },
});
/** The keys of a value of the config in force. */
export const configEntry: { [K in keyof ConfigEntry]-?: z.ZodType<ConfigEntry[K]> } = {
  ...configured.shape,
  below: configValue.optional(),
};
