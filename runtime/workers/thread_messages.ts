import { readExactJson, writeRecordJson } from "../formats/exact_json.ts";
import { CursorExpired, type RecordedError, recordError, RetryAfterError, TerminalError } from "../model/errors.ts";
import type { Json } from "../model/json.ts";
import type { Seen } from "../model/test.ts";
import type { UserCode } from "./user_code.ts";
import {
  type CodePlace,
  type CodeScope,
  type Computed,
  type ExecuteStep,
  InvalidEventError,
  RuleCodeError,
  type SourceCall,
  type StepAnswer,
  type StepCall,
  type ThrownError,
} from "./workers.ts";

/** What a worker is started with. */
export interface WorkerSetup {
  file: string;
  code: string;
  secrets: Record<string, string>;
  /** Set if its code must reach nothing outside, see `sealWorker`; the reason is in each error. */
  sealed?: string;
}

/** The scope with the event as JSON: usually the text that it was read from, so that the main thread need not parse it. */
export interface SentScope extends Omit<CodeScope, "event"> {
  event: string;
}

/** One piece of work for a worker. */
export type Job =
  | { kind: "describe" }
  | { kind: "condition"; scope: SentScope }
  | { kind: "rule"; scope: SentScope }
  | { kind: "function"; name: string; args: Json }
  | { kind: "source"; call: SourceCall }
  /** The `testRule` calls of a `*.test.ts` file, and one of its tests. */
  | { kind: "tests" }
  | { kind: "test"; index: number; seen: Seen };

/**
 * From the main thread to a worker, which gets lists of them. `job` and `call` are numbers that the sender of the first message
 * chose; `now` is the time of a simulated clock. The worker marks at its port how many jobs and answers (but `abandon`) its code was
 * given, before the code continues with one: so the main thread knows which jobs may be blocking.
 */
export type ToWorker =
  | { type: "job"; job: number; work: Job; now?: number }
  | { type: "answer"; job: number; call: number; answer: StepAnswer; now?: number }
  /** The job was given up: its calls never settle. */
  | { type: "drop"; job: number }
  /** The request may be sent, or must not be, with the reason. */
  | { type: "admitted"; request: number; refused?: string }
  | { type: "ping" };

/** Messages of a worker to the main thread. */
export interface ListFromWorker {
  /** How many jobs and answers its code has been given: what it has done with them so far was told before or is told with this. */
  given: number;
  messages: FromWorker[];
}

/** From a worker to the main thread. */
export type FromWorker =
  /** The worker has started and listens. */
  | { type: "ready" }
  /** The module is evaluated. */
  | { type: "loaded" }
  | { type: "call"; job: number; call: number; step: StepCall }
  /** Repeats a call that was answered `compute`, with the result. */
  | { type: "computed"; job: number; call: number; computed: Computed }
  /** After this many answers the code has done all that it could: it waits for more, or for something of its own. */
  | { type: "quiet"; job: number; answers: number }
  | { type: "done"; job: number; output: Json }
  | { type: "failed"; job: number; error: ThrownError; at?: CodePlace; invalidEvent?: boolean }
  /** Sent before the secret's value is handed out. */
  | { type: "secret"; name: string }
  | { type: "log"; level: LogLevel; message: string; run?: string }
  /** The code's own `fetch` asks whether its destination has room. */
  | { type: "admit"; request: number; url: string }
  /** `heap` is the worker's own heap, in bytes. */
  | { type: "pong"; heap: number }
  /** An error that no job awaits: an unhandled rejection, a throw in a timer. */
  | { type: "crashed"; error: ThrownError; at?: CodePlace };

export type LogLevel = "debug" | "info" | "warn" | "error";

/** One piece of work. */
export interface WorkOrder {
  work: Job;
  signal?: AbortSignal;
  /** Executes the steps of a rule, and the requests of a function, on the main thread. */
  execute?: ExecuteStep;
  /** The rule's function waits for its steps, or for something of its own. */
  onQuiet?: () => void;
}

/** Why a worker is ended; decides which error its jobs get. */
export type EndCause =
  | { kind: "blocked" | "aborted" | "discarded" | "closed" }
  | { kind: "memory"; used: string }
  | { kind: "crashed"; error: RecordedError };

/** A job that has not ended. */
export interface OpenJob extends WorkOrder {
  /** Its number in the sequence of all jobs and answers that were sent to the worker. */
  sent: number;
  steps: Map<number, StepCall>;
  /** Calls that wait for an answer; abandoned ones stay here. */
  waiting: Set<number>;
  /** The number of its last answer in that sequence; 0 if there is none. */
  answered: number;
  /** How many answers were sent. */
  answers: number;
  settle(outcome: { output: Json } | { error: unknown }): void;
}

/**
 * The jobs that may be the reason for ending the worker; all of them if none is known to compute.
 * @param given how many jobs and answers the code of the worker has been given
 */
export function suspectsOf(jobs: OpenJob[], cause: EndCause, given: number): Set<OpenJob> {
  if (cause.kind === "memory" || cause.kind === "crashed") return new Set(jobs);
  if (cause.kind !== "blocked") return new Set();
  const computing = jobs.filter((job) => isComputing(job, given));
  return new Set(computing.length > 0 ? computing : jobs);
}

/** Whether the code is running, rather than waiting for answers. */
export function isComputing({ sent, waiting, answered }: OpenJob, given: number): boolean {
  return sent <= given && waiting.size === 0 && answered <= given;
}

/** Which step's failure each of these errors is. */
const failedSteps = new WeakMap<Error, string>();
/** How many causes of an error are followed; they may form a cycle. */
const DEEPEST_CAUSE = 8;

/** The path of the step whose failure was thrown, or caused the error that was thrown. */
export function stepOf(thrown: unknown): string | undefined {
  let error = thrown;
  for (let depth = 0; depth < DEEPEST_CAUSE && error instanceof Error; depth++) {
    const step = failedSteps.get(error);
    if (step !== undefined) return step;
    error = error.cause;
  }
  return undefined;
}

/** An error thrown by rule code, as it is sent to the main thread; the stack shows only the user's files. */
export function describeThrown(thrown: unknown, code: UserCode): { error: ThrownError; at?: CodePlace } {
  const { name, ...rest } = recordError(thrown);
  const message = code.translate(rest.message);
  const detail = toJson(rest.detail);
  const frames = code.frames(thrown instanceof Error ? thrown.stack ?? "" : "");
  // A syntax error that only the host finds has no stack frame in user code, but its message names the position.
  const at = frames[0]?.place ?? code.placesIn(rest.message)[0];
  const stack = [`${name}: ${message}`, ...frames.map((frame) => frame.text)].join("\n");
  const step = stepOf(thrown);
  return {
    error: {
      name: thrown instanceof TerminalError ? "TerminalError" : name,
      message,
      stack,
      ...(detail !== undefined && { detail }),
      ...(step !== undefined && { step }),
      ...(thrown instanceof RetryAfterError && { name: "RetryAfterError", retryAfter: thrown.retryAfter }),
      ...(thrown instanceof CursorExpired && { cursor: toJson(thrown.cursor ?? null) }),
    },
    ...(at && { at }),
  };
}

/** The error to throw on the other side, of the class that its name names. */
export function reviveThrown(error: ThrownError, at?: CodePlace, invalidEvent = false): Error {
  const revived = revive(error, at, invalidEvent);
  if (error.step !== undefined) failedSteps.set(revived, error.step);
  if (error.stack === undefined) return revived;
  revived.stack = error.stack;
  return Object.assign(revived, { userStack: error.stack });
}

function revive(error: ThrownError, at: CodePlace | undefined, invalidEvent: boolean): Error {
  if (invalidEvent) return new InvalidEventError(error.message);
  if (error.name === "TerminalError") return withDetail(new TerminalError(error.message), error);
  if (error.name === "RetryAfterError") {
    return withDetail(new RetryAfterError(error.message, error.retryAfter ?? 0), error);
  }
  if (error.name === "CursorExpired") return new CursorExpired(error.cursor);
  const other = new RuleCodeError(error.message, false, error.stack, at);
  other.name = error.name;
  return withDetail(other, error);
}

function withDetail(target: Error, error: ThrownError): Error {
  return error.detail === undefined ? target : Object.assign(target, { detail: error.detail });
}

/** Foreign errors may carry a `detail` of any kind, which must not prevent their report. */
function toJson(detail: unknown): Json | undefined {
  try {
    return readExactJson(writeRecordJson(detail)) as Json;
  } catch {
    return undefined;
  }
}
