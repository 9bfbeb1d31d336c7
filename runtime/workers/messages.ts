import type { Json } from "../model/json.ts";
import type { Seen } from "../model/test.ts";
import type { CodePlace, CodeScope, Computed, StepAnswer, StepCall, ThrownError } from "./workers.ts";

/** What a worker is started with. */
export interface WorkerSetup {
  file: string;
  code: string;
  secrets: Record<string, string>;
}

/** One piece of work for a worker. */
export type Job =
  | { kind: "describe" }
  | { kind: "condition"; scope: CodeScope }
  | { kind: "rule"; scope: CodeScope }
  | { kind: "function"; name: string; args: Json }
  /** Of a `*.test.ts` file: what its calls of `testRule` say, and one of them. */
  | { kind: "tests" }
  | { kind: "test"; index: number; seen: Seen };

/**
 * From the main side to a worker. `job` and `call` are numbers that the sender of the first message made up, `now` the time of a
 * simulated clock.
 */
export type ToWorker =
  | { type: "job"; job: number; work: Job; now?: number }
  | { type: "answer"; job: number; call: number; answer: StepAnswer; now?: number }
  /** Nobody waits for the job any more: its calls never settle. */
  | { type: "drop"; job: number }
  | { type: "ping" };

/** From a worker to the main side. */
export type FromWorker =
  /** The worker has started and listens. */
  | { type: "ready" }
  /** The module is evaluated. */
  | { type: "loaded" }
  /**
   * Sent before the code goes on with a job or with the answer to a call, so that the main side knows which jobs can be
   * the one that blocks.
   */
  | { type: "got"; job: number; call?: number }
  | { type: "call"; job: number; call: number; step: StepCall }
  /** Asks again for a call that was answered `compute`. */
  | { type: "computed"; job: number; call: number; computed: Computed }
  /** With so many answers the code has gone as far as it could: it waits for more, or for something of its own. */
  | { type: "quiet"; job: number; answers: number }
  | { type: "done"; job: number; output: Json }
  | { type: "failed"; job: number; error: ThrownError; at?: CodePlace; invalidEvent?: boolean }
  /** Sent before the secret's value is handed out. */
  | { type: "secret"; name: string }
  | { type: "log"; level: LogLevel; message: string; run?: string }
  /** `heap` is the worker's own, in bytes. */
  | { type: "pong"; heap: number }
  /** An error that no job awaits: an unhandled rejection, a throw in a timer. */
  | { type: "crashed"; error: ThrownError; at?: CodePlace };

export type LogLevel = "debug" | "info" | "warn" | "error";
