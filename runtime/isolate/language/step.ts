import type { Event } from "../../model/event.ts";
import type { Json } from "../../model/json.ts";
import type { Format } from "./triggers.ts";

/** What every step takes. */
export interface StepOptions {
  /** For one attempt: `30s`. */
  timeout?: string;
  /** Attempts in all, or the whole policy. */
  retry?: number | { attempts: number; delay?: string; max?: string };
}

export interface HttpOptions extends StepOptions {
  json?: unknown;
  form?: Record<string, unknown>;
  body?: string;
  headers?: Record<string, string>;
  query?: Record<string, unknown>;
  auth?: { bearer: string } | { basic: string };
  format?: Format;
  /** Statuses that count as success beside 2xx. */
  ok?: readonly number[];
}

export interface HttpResult<Body> {
  status: number;
  /** Names in lower case. */
  headers: Record<string, string>;
  body: Body;
}

export interface RunOptions extends StepOptions {
  /** Text as it is, anything else as JSON. */
  stdin?: unknown;
  env?: Record<string, string>;
  cwd?: string;
  format?: Format;
  /** Exit codes that count as success. */
  ok?: readonly number[];
}

export interface RunResult<Output> {
  code: number;
  stdout: string;
  stderr: string;
  /** What stdout says where it is JSON, else null. */
  json: Output | null;
  /** Bytes of long output that are missing. */
  dropped?: { stdout: number; stderr: number };
}

export interface CallOptions extends StepOptions {
  /** What the function or action is given. */
  with?: Record<string, unknown>;
}

export interface EmitOptions {
  data?: unknown;
  subject?: string;
  id?: string;
}

export interface LogOptions {
  /** @default "info" */
  level?: "debug" | "info" | "warn" | "error";
  data?: unknown;
}

export interface StateOptions {
  value?: unknown;
  /** How long it is kept: `7d`. */
  ttl?: string;
}

export interface ReplyOptions {
  json?: unknown;
  body?: string;
  headers?: Record<string, string>;
}

export interface ReplyResult {
  status: number;
  /** False where nobody waits for an answer. */
  sent: boolean;
  reason?: string;
}

/**
 * All effects of a rule function. Each call is a step with the name given first: recorded, and not done again when the
 * run is attempted again. A name used again becomes `name#2`.
 */
export interface Step {
  /** Any code of one's own. What it returns is recorded and must be JSON. Throw TerminalError or RetryAfterError to decide retry. */
  do<T>(name: string, fn: (attempt: { attempt: number }) => T, options?: StepOptions): Promise<Recorded<Awaited<T>>>;
  /** `step.http("tell", "POST https://…", { json })` */
  http<Body = Json>(name: string, request: string, options?: HttpOptions): Promise<HttpResult<Body>>;
  /** Runs a command: `step.run("disks", ["df", "-h"])`, or a string for the shell. */
  run<Output = Json>(
    name: string,
    command: string | readonly string[],
    options?: RunOptions,
  ): Promise<RunResult<Output>>;
  /** Calls `./x.ts#fn` or the action `./lib/tell.yaml`. */
  call<T = Json>(name: string, target: string, options?: CallOptions): Promise<T>;
  emit(name: string, type: string, options?: EmitOptions): Promise<Omit<Event, "time">>;
  log(name: string, text: string, options?: LogOptions): Promise<null>;
  /** Memory across runs: sets it and gives the previous value; without `value` reads it. */
  state<T = Json>(name: string, key: string, options?: StateOptions): Promise<T | null>;
  /** Answers the waiting webhook. */
  reply(name: string, status: number, options?: ReplyOptions): Promise<ReplyResult>;
  /** Ends the run here. */
  stop(name: string, reason: string, options?: { as?: "succeeded" | "failed" }): Promise<never>;
}

/** What a value is after it was recorded: properties that hold undefined are gone, no value is null. */
export type Recorded<T> = T extends undefined | void ? null : T;
