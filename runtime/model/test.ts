import type { Json, JsonObject } from "./json.ts";
import type { Position } from "./problem.ts";
import type { RunState, StepState } from "./run.ts";
import type { DeliveryVerdict, VerdictKind } from "./verdict.ts";

/** One test of a rule: an entry under `tests`, or a call of `testRule`. */
export interface RuleTest extends TestWorld {
  name: string;
  at: Position;
  do: TestEntry[];
}

/** What a test begins with. */
export interface TestWorld {
  /** Milliseconds since the epoch at which it begins. */
  now: number;
  /** Members by group; absent where those of `whenthen.yaml` are asked. */
  people?: Record<string, string[]>;
  /** Over the defaults; what has none is as configured. */
  config: JsonObject;
  secrets: Record<string, string>;
  env: Record<string, string>;
  /** What steps get from the world, by step id, path or kind; a list holds successive answers. */
  stub: Record<string, Json>;
}

/** One entry under `do`; `args` is what its kind's schema made of it. */
export interface TestEntry {
  kind: TestEntryKind;
  at: Position;
  args: JsonObject;
}

export type TestEntryKind = "send" | "advance" | "answer" | "skip" | "expect";

/** What a test sees of its rule, and `expect` is held against. */
export interface Seen {
  /** RFC 3339. */
  now: string;
  /** Oldest first. */
  runs: RunState[];
  /** What became of the event that came last, at the rule. */
  verdict: VerdictKind | DeliveryVerdict | null;
  /** Of the verdict `condition`: the clause that did not hold. */
  clause: string | null;
  /** Open forms, oldest first. */
  forms: SeenForm[];
  /** What the newest run waits for. */
  waits: SeenWait[];
  /** Steps of the newest run, in the order in which they began. */
  steps: SeenStep[];
  /** What steps asked of the world, each with its `step` and its arguments under the names that the rule file uses. */
  calls: JsonObject[];
  /** Lines of `log` steps and of `console`. */
  logs: string[];
  /** Events that the rule emitted. */
  events: JsonObject[];
  /** The answer to the request that was sent to a webhook last, once there is one. */
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

/** An event: by its type, of a trigger, or by hand where neither is given; or a request to a webhook, signed by itself. */
export type Sending = SentEvent | SentRequest;

export interface SentEvent {
  /** Of another trigger than `event`, by default the trigger's. */
  type?: string;
  /** The trigger that emits it: its name, its address, or its kind where that says which. */
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
  body?: string;
  headers?: Record<string, string>;
  /** A list repeats its name. */
  query?: Record<string, string | string[]>;
  /** @default true */
  signed?: boolean;
}

/** Who answers a form, and what. */
export interface Answering {
  /** By default the first whom the form is for. */
  as?: string;
  with?: Record<string, unknown>;
  /** Why the answer is not taken. */
  refused?: "forbidden" | "closed" | "invalid";
}

/** What `expect` says. It is partial: what it does not mention is not looked at, at any depth. */
export interface Expectation {
  /** The newest run; `none` where no event has started one. */
  run?: RunState | "none";
  /** All runs, oldest first. */
  runs?: readonly RunState[];
  verdict?: VerdictKind | DeliveryVerdict;
  clause?: string;
  /** One of the open forms, or `none` where none is open. */
  form?: Partial<SeenForm> | "none";
  waits?: readonly Partial<SeenWait>[];
  /** Steps that have succeeded, in this order; or by step its state or more about it, `none` where it was not come to. */
  steps?: readonly string[] | Readonly<Record<string, StepState | "none" | Partial<SeenStep>>>;
  calls?: readonly Readonly<Record<string, unknown>>[];
  /** Each is a part of a line. */
  logs?: readonly string[];
  events?: readonly Readonly<Record<string, unknown>>[];
  /** The answer to the last request; `none` as long as it waits. */
  response?: Readonly<Record<string, unknown>> | "none";
  output?: unknown;
  /** A part of the run's error. */
  error?: string;
  state?: Readonly<Record<string, unknown>>;
}

/** One part of an `expect` that is not as expected; `seen` holds only what it speaks about. */
export interface Mismatch {
  part: string;
  expected: Json;
  seen: Json;
}

/** How one test went. */
export interface TestResult {
  rule: string;
  /** The file that the test stands in, relative to the folder. */
  file: string;
  at: Position;
  name: string;
  /** Milliseconds. */
  took: number;
  /** Absent where it passed. */
  failure?: TestFailure;
}

export interface TestFailure {
  message: string;
  file: string;
  at: Position;
  mismatches: Mismatch[];
  /** What else may explain it: the error of a run, what a run waits for. */
  notes: string[];
}
