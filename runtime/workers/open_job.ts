import type { RecordedError } from "../model/errors.ts";
import type { Json } from "../model/json.ts";
import type { PerformStep, StepCall } from "./workers.ts";
import type { Job } from "./messages.ts";

/** One piece of work. */
export interface WorkOrder {
  work: Job;
  signal?: AbortSignal;
  /** For a rule: performs its steps on the main thread. */
  perform?: PerformStep;
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
  /** The worker has started it. */
  started: boolean;
  steps: Map<number, StepCall>;
  /** Calls that wait for an answer; abandoned ones stay here. */
  waiting: Set<number>;
  /** How many answers were sent. */
  answers: number;
  settle(outcome: { output: Json } | { error: unknown }): void;
}

/** The jobs that may be the reason for ending the worker; all of them if none is known to compute. */
export function suspectsOf(jobs: OpenJob[], cause: EndCause): Set<OpenJob> {
  if (cause.kind === "memory" || cause.kind === "crashed") return new Set(jobs);
  if (cause.kind !== "blocked") return new Set();
  const computing = jobs.filter(isComputing);
  return new Set(computing.length > 0 ? computing : jobs);
}

/** Whether the code is running, rather than waiting for answers. */
export function isComputing(job: OpenJob): boolean {
  return job.started && job.waiting.size === 0;
}
