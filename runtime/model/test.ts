import type { Json, JsonObject } from "./json.ts";
import type { Position } from "./problem.ts";
import type { RunState, StepState } from "./run.ts";
import type { DeliveryVerdict, VerdictKind } from "./event.ts";

/** One test of a rule: an entry under `tests`, or a call of `testRule`. */
export interface RuleTest extends TestWorld {
  name: string;
  at: Position;
  do: TestEntry[];
}

/** The initial state of a test. */
export interface TestWorld {
  /** Milliseconds since the epoch at which it begins. */
  now: number;
  /** Members by group; if absent, those of `whenthen.yaml` apply. */
  people?: Record<string, string[]>;
  /** Replaces the defaults; values without a default are as configured. */
  config: JsonObject;
  secrets: Record<string, string>;
  env: Record<string, string>;
  /** The external answers that steps get, by step id, path or kind; a list contains successive answers. */
  stub: Record<string, Json>;
}

/** One entry under `do`; `args` is the entry parsed by its kind's schema. */
export interface TestEntry {
  kind: TestEntryKind;
  at: Position;
  args: JsonObject;
}

export type TestEntryKind = "send" | "advance" | "answer" | "start" | "config" | "skip" | "look" | "device" | "expect";

/** The state of a rule that a test sees, and that `expect` is compared with. */
export interface Seen {
  /** RFC 3339. */
  now: string;
  /** Oldest first. */
  runs: RunState[];
  /** The rule's verdict on the last event. */
  verdict: VerdictKind | DeliveryVerdict | null;
  /** For the verdict `condition`: the clause that did not hold. */
  clause: string | null;
  /** Open forms, oldest first. */
  forms: SeenForm[];
  /** What the newest run waits for. */
  waits: SeenWait[];
  /** Steps of the newest run, in the order in which they began. */
  steps: SeenStep[];
  /** The external calls of steps, each with its `step` and its arguments under the names that the rule file uses. */
  calls: JsonObject[];
  /** Lines of `log` steps and of `console`. */
  logs: string[];
  /** Events that the rule emitted. */
  events: JsonObject[];
  /** The answer to the last request to a webhook, if there is one yet. */
  response: JsonObject | null;
  /** Of the newest run. */
  output: Json;
  error: string | null;
  /** Memory across runs: the keys that the rule has set. */
  state: JsonObject;
}

export interface SeenForm {
  step: string;
  title: string;
  to: string[];
  fields: string[];
  /** RFC 3339; also in waits. */
  until: string | null;
}

export interface SeenWait {
  step: string;
  kind: "time" | "event" | "form";
  what: string;
  until: string | null;
}

export interface SeenStep {
  /** Its path. */
  step: string;
  kind: string;
  state: StepState;
  attempts: number;
  input: Json;
  output: Json;
  error: string | null;
}

/** An event by its type, of a trigger, or manual if neither is given; or a request to a webhook, which is signed automatically. */
export type Sending = SentEvent | SentRequest;

export interface SentEvent {
  /** For a trigger other than `event`, by default the trigger's. */
  type?: string;
  /** The trigger that emits it: its name, its address, or its kind if that is unambiguous. */
  trigger?: string;
  data?: unknown;
  subject?: string;
  /** The same id twice is the same event. */
  id?: string;
  /** @default "/test" */
  source?: string;
  /** @default now */
  time?: string;
}

export interface SentRequest {
  /** The path below `/hooks`. */
  webhook: string;
  /** By default that of the trigger. */
  method?: string;
  json?: unknown;
  /** A list repeats its field. */
  form?: Record<string, string | string[]>;
  /** Files of the form: their texts, or `{ name, type, text }`; a list repeats its field. */
  files?: Record<string, unknown>;
  body?: string;
  headers?: Record<string, string>;
  /** A list repeats its name. */
  query?: Record<string, string | string[]>;
  /** @default true */
  signed?: boolean;
}

/** An answer to a form, and who gives it. */
export interface Answering {
  /** By default the form's first recipient. */
  as?: string;
  with?: Record<string, unknown>;
  /** Why the answer is not accepted. */
  refused?: "forbidden" | "closed" | "invalid";
}

/** Config that somebody sets. */
export interface Configuring {
  /** Who; by default an operator, who may set every rule's. */
  as?: string;
  /** Values by key; null removes what was set so. */
  set: Record<string, unknown>;
  /** Why it is not set. */
  refused?: "forbidden" | "invalid";
}

/** A start by hand. */
export interface Starting {
  /** Who; by default an operator, who may start every rule. */
  as?: string;
  /** The values of the rule's inputs. */
  inputs?: Record<string, unknown>;
  /** The same id twice is the same start. */
  id?: string;
  /** Why it does not start. */
  refused?: "forbidden" | "invalid";
}

/** The content of `expect`. It is partial: values that it does not mention are not checked, at any depth. */
export interface Expectation {
  /** The newest run; `none` if no event has started one. */
  run?: RunState | "none";
  /** All runs, oldest first. */
  runs?: readonly RunState[];
  verdict?: VerdictKind | DeliveryVerdict;
  clause?: string;
  /** One of the open forms, or `none` if none is open. */
  form?: Partial<SeenForm> | "none";
  waits?: readonly Partial<SeenWait>[];
  /** Steps that have succeeded, in this order; or by step its state or more details, `none` if it was not reached. */
  steps?: readonly string[] | Readonly<Record<string, StepState | "none" | Partial<SeenStep>>>;
  calls?: readonly Readonly<Record<string, unknown>>[];
  /** Each is part of a line. */
  logs?: readonly string[];
  events?: readonly Readonly<Record<string, unknown>>[];
  /** The answer to the last request; `none` while it waits. */
  response?: Readonly<Record<string, unknown>> | "none";
  output?: unknown;
  /** A part of the run's error. */
  error?: string;
  state?: Readonly<Record<string, unknown>>;
}

/** One part of an `expect` that does not match; `seen` contains only what it mentions. */
export interface Mismatch {
  part: string;
  expected: Json;
  seen: Json;
}

/** The result of one test. */
export interface TestResult {
  rule: string;
  /** The file of the test, relative to the folder. */
  file: string;
  at: Position;
  name: string;
  /** Duration in milliseconds. */
  took: number;
  /** Absent if it passed. */
  failure?: TestFailure;
}

export interface TestFailure {
  message: string;
  file: string;
  at: Position;
  mismatches: Mismatch[];
  /** Further facts that may explain it: the error of a run, what a run waits for. */
  notes: string[];
}

/** What happens to a device: its event `whenthen.device.<event>`. */
export interface DeviceHappening {
  fleet: string;
  name: string;
  event: "added" | "initialized" | "reachable" | "unreachable" | "dead" | "removed" | "init.error" | "stop.error";
  /** More fields of the event: `error`, `failures`. */
  data?: Record<string, unknown>;
}
