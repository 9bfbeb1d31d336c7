import type { RecordedError } from "../model/errors.ts";
import type { Json } from "../model/json.ts";
import type { PerformStep, StepCall } from "./workers.ts";
import type { Job } from "./messages.ts";

/** One piece of work. */
export interface WorkOrder {
  work: Job;
  signal?: AbortSignal;
  /** For a rule: the main side of its steps. */
  perform?: PerformStep;
  /** The rule's function waits for its steps, or for something of its own. */
  onQuiet?: () => void;
}

/** Why a worker is ended; decides what its jobs are told. */
export type EndCause =
  | { kind: "blocked" | "aborted" | "discarded" | "closed" }
  | { kind: "memory"; used: string }
  | { kind: "crashed"; error: RecordedError };

/** A job that the worker has not done yet. */
export interface OpenJob extends WorkOrder {
  /** The worker has begun with it. */
  started: boolean;
  steps: Map<number, StepCall>;
  /** Calls that the worker waits for. One that was abandoned stays here. */
  waiting: Set<number>;
  /** How many answers were sent. */
  answers: number;
  settle(outcome: { output: Json } | { error: unknown }): void;
}

/** Which jobs can be what the worker is ended for; all, where none is known to compute. */
export function suspectsOf(jobs: OpenJob[], cause: EndCause): Set<OpenJob> {
  if (cause.kind === "memory" || cause.kind === "crashed") return new Set(jobs);
  if (cause.kind !== "blocked") return new Set();
  const computing = jobs.filter(isComputing);
  return new Set(computing.length > 0 ? computing : jobs);
}

/** Whether the code is at work, rather than waiting for answers. */
export function isComputing(job: OpenJob): boolean {
  return job.started && job.waiting.size === 0;
}
