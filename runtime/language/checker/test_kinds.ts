import { z } from "zod";
import { parseDuration } from "../../model/duration.ts";
import type { Json } from "../../model/json.ts";
import { RUN_STATES } from "../../model/run.ts";
import type { TestEntryKind } from "../../model/test.ts";
import { VERDICT_KINDS } from "../../model/event.ts";
import type { Kind } from "../kind.ts";
import { parseTime } from "../expectation.ts";

const json: z.ZodType<Json> = z.any();
const object = z.record(z.string(), json);
const texts = z.record(z.string(), z.string());
const repeatable = z.record(z.string(), z.union([z.string(), z.array(z.string())]));

const STEP_STATES = ["retrying", "waiting", "succeeded", "failed", "skipped", "cancelled"] as const;
const VERDICTS = [...VERDICT_KINDS, "accepted", "duplicate", "unmatched"] as const;

/** A point in time; in UTC if it has no zone. Parsed to milliseconds since the epoch. */
export const time = custom("a time such as 2027-01-04T09:00:00Z", parseTime);

const event = z.strictObject({
  type: z.string().optional().describe("The event's type; for a trigger other than event, by default the trigger's"),
  trigger: z.string().optional().describe("The trigger that emits it, by its name, address or kind"),
  data: json.optional().describe("The event's data"),
  subject: z.string().optional().describe("The event's subject"),
  id: z.string().optional().describe("The same id twice is the same event"),
  source: z.string().optional().describe("By default /test"),
  time: z.string().optional().describe("By default now"),
});

const request = z.strictObject({
  webhook: z.string().regex(/^\//, { error: "expected a path such as /github" }).describe("The path below /hooks"),
  method: z.string().optional().describe("By default that of the trigger"),
  json: json.optional().describe("The body, as JSON"),
  form: repeatable.optional().describe("The body, as form fields; a list repeats its field"),
  files: object.optional().describe(
    "Files of the form: their texts, or { name, type, text }; a list repeats its field",
  ),
  body: z.string().optional().describe("The body, as text"),
  headers: texts.optional().describe("Besides those of the signature"),
  query: repeatable.optional().describe("Appended to the path; a list repeats its name"),
  signed: z.boolean().optional().describe("false leaves the signature out"),
});

const expectation = z.strictObject({
  run: z.enum([...RUN_STATES, "none"]).optional().describe("The state of the newest run"),
  runs: z.array(z.enum(RUN_STATES)).optional().describe("The states of all runs, oldest first"),
  verdict: z.enum(VERDICTS).optional().describe("The verdict on the last event"),
  clause: z.string().optional().describe("The clause of the condition that did not hold"),
  form: z.union([z.literal("none"), object]).optional().describe("An open form: step, title, to, fields, until"),
  waits: z.array(object).optional().describe("What the run waits for: step, kind, what, until"),
  steps: z.union([
    z.array(z.string()),
    z.record(z.string(), z.union([z.enum([...STEP_STATES, "none"]), object])),
  ]).optional().describe("Steps that have succeeded, in order; or the outcome of each"),
  calls: z.array(object).optional().describe("The external calls of the steps, in order"),
  logs: z.array(z.string()).optional().describe("Parts of lines of the log, in order"),
  events: z.array(object).optional().describe("Events that the rule emitted, in order"),
  response: z.union([z.literal("none"), object]).optional()
    .describe("The answer to the last request: status, headers, json or body; none while it waits"),
  output: json.optional().describe("The run's output"),
  error: z.string().optional().describe("A part of the run's error"),
  state: object.optional().describe("Memory across runs, by key"),
});

/** What happens to devices, as their events `whenthen.device.…` end. */
const DEVICE_EVENTS = [
  ...["added", "initialized", "reachable", "unreachable", "dead", "removed", "init.error", "stop.error"] as const,
];

/** The entries under `do` of a test, by name. */
export const testKinds = {
  send: {
    kind: "send",
    summary: "An event, or a request to a webhook, signed as the webhook requires",
    main: z.union([event, request]),
    options: {},
  },
  advance: {
    kind: "advance",
    summary: "Moves the clock forward by a duration, or to a time; what is due on the way happens",
    main: custom("a duration such as 2d, or a time such as 2027-01-04T09:00:00Z", parseAdvance),
    options: {},
  },
  answer: {
    kind: "answer",
    summary: "Somebody answers a form",
    main: z.string().describe("The form's step"),
    options: {
      as: z.string().optional().describe("Who; by default its first recipient"),
      with: object.default({}).describe("The answers by field"),
      refused: z.enum(["forbidden", "closed", "invalid"]).optional().describe("Why it is not accepted"),
    },
  },
  start: {
    kind: "start",
    summary: "Somebody starts the rule by hand",
    main: z.strictObject({
      as: z.string().optional().describe("Who; by default an operator, who may start every rule"),
      inputs: object.default({}).describe("The values of the rule's inputs"),
      id: z.string().min(1).optional().describe("The same id twice is the same start"),
    }),
    options: { refused: z.enum(["forbidden", "invalid"]).optional().describe("Why it does not start") },
  },
  config: {
    kind: "config",
    summary: "Somebody sets the rule's config, as at /config/<rule>; runs keep the config that they started with",
    main: z.strictObject({
      as: z.string().optional().describe("Who; by default an operator, who may set every rule's"),
      set: object.describe("Values by key; null removes what was set so"),
    }),
    options: { refused: z.enum(["forbidden", "invalid"]).optional().describe("Why it is not set") },
  },
  skip: {
    kind: "skip",
    summary: "An operator ends a wait",
    main: z.string().describe("The step that waits"),
    options: {},
  },
  look: {
    kind: "look",
    summary: "A poll looks at its source now",
    main: z.string().describe("The trigger, by its name, address or kind"),
    options: {},
  },
  device: {
    kind: "device",
    summary: "Something happens to a device of a fleet",
    main: z.strictObject({
      fleet: z.string().min(1).describe("The id of the fleet"),
      name: z.string().min(1).describe("The name of the device"),
      event: z.enum(DEVICE_EVENTS).describe("What happens"),
      data: object.default({}).describe("More fields of the event: error, failures"),
    }),
    options: {},
  },
  expect: {
    kind: "expect",
    summary: "What must be true by now; what is not mentioned is not checked",
    main: expectation,
    options: { exact: z.boolean().default(false).describe("Lists are complete") },
  },
} as const satisfies Record<TestEntryKind, Kind>;

/** Whether a test may have an entry of this kind. */
export function isEntryKind(kind: string): kind is TestEntryKind {
  return Object.hasOwn(testKinds, kind);
}

/** The keys of a test besides `do`. */
export const testSchema = z.strictObject({
  name: z.string().min(1).describe("A sentence about what is tested"),
  now: time.optional().describe("When it begins; by default Monday, 2027-01-04T09:00:00Z"),
  people: z.record(z.string(), z.array(z.string()).min(1)).optional().describe("Groups with their members"),
  config: object.optional().describe("Replaces the defaults; values without a default are as configured"),
  secrets: texts.optional().describe("Values of secrets; others are made up"),
  env: texts.optional().describe("The environment"),
  stub: object.optional().describe(
    "The external answers that steps get, by kind, step id or path; a list: successive answers",
  ),
});

/** The keys of stubs for the kinds with external effects. The stub of any other kind is the step's result. */
export const STUB_KEYS = {
  http: ["status", "headers", "body", "error", "timeout"],
  run: ["code", "stdout", "stderr", "error", "timeout"],
  mail: ["accepted", "rejected", "error", "timeout"],
};

export type StubbedKind = keyof typeof STUB_KEYS;

/** Monday morning. */
export const DEFAULT_NOW = Date.parse("2027-01-04T09:00:00Z");

/** How far to move the clock: by milliseconds, or to a time. */
export type Advance = { by: number } | { to: number };

function parseAdvance(text: string): Advance | undefined {
  const by = parseDuration(text);
  if (by !== undefined) return { by };
  const to = parseTime(text);
  return to === undefined ? undefined : { to };
}

function custom<T>(expected: string, parse: (value: string) => T | undefined): z.ZodType<T, string> {
  return z.string().transform((value, context): T => {
    const parsed = parse(value);
    if (parsed !== undefined) return parsed;
    context.addIssue({ code: "custom", message: `expected ${expected}`, params: { expected }, input: value });
    return z.NEVER;
  });
}
