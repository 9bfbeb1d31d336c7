import type { Outcome } from "../actions/action.ts";
import { ExpressionError } from "../language/expressions/expression.ts";
import { type RecordedError, recordError, RetryAfterError, StillRunningError, TerminalError } from "../model/errors.ts";
import type { Json } from "../model/json.ts";
import type { RetryPolicy } from "../model/rule.ts";
import { type StepRecord, withFailure } from "../model/run.ts";
import { type StepEffects, StoreFullError } from "../store/store.ts";
import { mayAct } from "./acting.ts";
import { Interruption, type StepFailure, type StepOutcome, type Stopped, type Suspended } from "./outcome.ts";
import { checkInput, checkSize } from "./records.ts";
import type { RunContext } from "./step_frame.ts";
import { plainArgs, type StepArgs } from "./steps/control.ts";
import { GRACE, withTimeout } from "./timeout.ts";

type Acted = Outcome | Suspended | Stopped | StepFailure;

/** One step that executes an action, either of a YAML list or a `step.*` call. */
export interface Task {
  path: string;
  kind: string;
  /** Milliseconds for one attempt; absent if only the run's timeout applies. */
  timeout?: number;
  retry: RetryPolicy;
  /** See {@link StepRecord.after}. */
  after?: string;
  /** When the step began, if it began before this call; milliseconds since the epoch. */
  begunAt?: number;
  /** If it succeeds, the run has nothing left to do. */
  isLast?: boolean;
  worthRetrying(error: unknown): boolean;
  /** Makes the arguments; null if there are none to record. A failure is never retried. */
  prepare(): Promise<StepArgs | null>;
  /**
   * Makes one attempt. A step with steps inside may also be suspended, be stopped or fail with one of them.
   * @param makeSignal see {@link withTimeout}
   */
  act(args: StepArgs, attempt: number, makeSignal: () => AbortSignal): Acted | Promise<Acted>;
}

/**
 * Runs a step; no action is executed in any other way. A recorded step is never executed twice. Otherwise it is
 * attempted, and its result or failure is on disk before this resolves. If the failure is worth a retry, the branch
 * waits until then.
 * @throws the signal's reason if the run is ended meanwhile
 */
export async function attemptStep(context: RunContext, task: Task, signal: AbortSignal): Promise<StepOutcome> {
  const { records, waiting, options: { clock } } = context;
  for (;;) {
    signal.throwIfAborted();
    const earlier = records.get(task.path);
    if (earlier !== undefined && earlier.state !== "retrying") return outcomeOf(earlier);
    if (earlier?.due === undefined || earlier.due <= clock.now()) {
      const outcome = await attemptOnce(context, task, begin(task, earlier, clock.now()), signal);
      if (outcome !== "again") return outcome;
    } else {
      const suspended = suspendedUntil(earlier);
      const { path } = task;
      if (!await waiting.wait(earlier.due, signal, { path, what: () => suspended.waitingFor })) return suspended;
    }
  }
}

async function attemptOnce(
  context: RunContext,
  task: Task,
  record: StepRecord,
  signal: AbortSignal,
): Promise<StepOutcome | "again"> {
  let args: StepArgs | null;
  try {
    args = await task.prepare();
    if (args !== null) checkInput(task.path, args.recorded);
  } catch (thrown) {
    return await end(context, record, { state: "failed", error: recordError(thrown) });
  }
  if (args !== null) record.input = args.recorded;
  return await attempt(context, task, record, args ?? plainArgs({}), signal);
}

/** Runs a step that only computes: one attempt, recorded like any other. */
export function computeStep(
  context: RunContext,
  step: { path: string; kind: string; after?: string },
  signal: AbortSignal,
  compute: () => Promise<Json>,
): Promise<StepOutcome> {
  return attemptStep(context, {
    ...step,
    retry: { attempts: 1, ...STANDARD_DELAYS },
    worthRetrying: () => false,
    prepare: () => Promise.resolve(null),
    act: async () => ({ output: await compute() }),
  }, signal);
}

/** The outcome of a record that has ended. */
export function outcomeOf(record: StepRecord): StepOutcome {
  if (record.state === "succeeded" || record.state === "skipped") {
    return { kind: "result", output: record.output ?? null };
  }
  const { step = record.path, ...error } = record.error ??
    { name: "Error", message: `Step "${record.path}" is ${record.state}` };
  return { kind: "failed", error, step };
}

async function attempt(
  context: RunContext,
  task: Task,
  record: StepRecord,
  args: StepArgs,
  signal: AbortSignal,
): Promise<StepOutcome | "again"> {
  let outcome: Acted;
  const held = mayAct(context.options, signal);
  if (held !== undefined) await held;
  try {
    const { clock } = context.options;
    outcome = await withTimeout(
      clock,
      { what: `Step "${task.path}"`, ms: task.timeout, grace: GRACE },
      signal,
      (makeSignal) => task.act(args, record.attempts, makeSignal),
    );
    if (!("kind" in outcome)) checkSize(task.path, outcome.output);
  } catch (thrown) {
    if (signal.aborted) {
      const left = thrown instanceof StillRunningError ? thrown : undefined;
      return await abandon(context, record, signal.reason, left);
    }
    // The run is not at fault: it is put back, and the step is attempted again.
    if (thrown instanceof StoreFullError || isShutdown(thrown)) throw thrown;
    return await fail(context, task, record, thrown, recordError(thrown));
  }
  if (!("kind" in outcome)) {
    const { output, effects, onRecorded } = outcome;
    const isEnd = task.isLast && context.records.unasked().length === 0;
    const all = isEnd ? { ...effects, end: context.end() } : effects;
    const ended = await end(context, record, { state: "succeeded", output }, all);
    onRecorded?.();
    return ended;
  }
  if (outcome.kind !== "failed") return outcome;
  return await fail(context, task, record, outcome, { ...outcome.error, step: outcome.step });
}

/** Records a failed attempt: `retrying` until the next one is due, or `failed` if there is none. */
async function fail(
  context: RunContext,
  task: Task,
  record: StepRecord,
  thrown: unknown,
  error: RecordedError,
): Promise<StepOutcome | "again"> {
  const { clock, random = Math.random } = context.options;
  const due = retryAt({
    error: thrown,
    attempts: record.attempts,
    policy: task.retry,
    worthwhile: task.worthRetrying(thrown),
    now: clock.now(),
    random,
  });
  if (due === undefined) return await end(context, record, { state: "failed", error });
  const failures = withFailure(record, error, clock.now());
  await context.records.write({ ...record, state: "retrying", error, due, failures });
  return "again";
}

/**
 * The run was ended from outside. A step that did not end is attempted again if the run continues later.
 * @param left names what still runs
 */
export async function abandon(
  context: RunContext,
  record: StepRecord,
  reason: unknown,
  left?: StillRunningError,
): Promise<never> {
  if (!isShutdown(reason)) {
    await end(context, record, { state: "cancelled", error: recordError(left ?? reason) });
  }
  throw reason;
}

function isShutdown(reason: unknown): boolean {
  return reason instanceof Interruption && reason.kind === "shutdown";
}

/** Only a step that is attempted again keeps more than one attempt: the usual one is recorded with nothing added. */
function begin(task: Task, earlier: StepRecord | undefined, now: number): StepRecord {
  return {
    path: task.path,
    kind: task.kind,
    state: "retrying",
    attempts: (earlier?.attempts ?? 0) + 1,
    startedAt: earlier?.startedAt ?? Math.min(task.begunAt ?? now, now),
    ...(earlier !== undefined && { attemptedAt: now }),
    ...(earlier?.failures !== undefined && { failures: earlier.failures }),
    ...(task.after !== undefined && { after: task.after }),
  };
}

async function end(
  context: RunContext,
  record: StepRecord,
  ending: { state: "succeeded"; output: Json } | { state: "failed" | "cancelled"; error: RecordedError },
  effects?: StepEffects,
): Promise<StepOutcome> {
  const written = context.records.write({ ...record, ...ending, endedAt: context.options.clock.now() }, effects);
  return outcomeOf(await (effects?.end ? context.leave(written) : written));
}

function suspendedUntil(record: StepRecord): Suspended {
  return { kind: "suspended", due: record.due, waitingFor: `attempt ${record.attempts + 1} of step "${record.path}"` };
}

/** Delays if neither the step nor its action says otherwise. */
export const STANDARD_DELAYS = { delay: 1_000, max: 60_000 };

/** A failed attempt, and what decides whether there is another one. */
export interface FailedAttempt {
  error: unknown;
  /** Attempts so far, this one included. */
  attempts: number;
  policy: RetryPolicy;
  /** Whether the action considers this kind of failure worth a retry. */
  worthwhile: boolean;
  now: number;
  /** From 0 up to 1. */
  random: () => number;
}

/**
 * When a failed step is attempted again: exponential backoff with full jitter, so that many runs that failed together
 * do not come back together (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/). A
 * RetryAfterError brings its own time. A TerminalError is never retried, nor is an expression error, which would only
 * repeat itself.
 * @returns milliseconds since the epoch, or undefined if the failure is final
 */
export function retryAt({ error, attempts, policy, worthwhile, now, random }: FailedAttempt): number | undefined {
  if (attempts >= policy.attempts || error instanceof TerminalError || error instanceof ExpressionError) {
    return undefined;
  }
  if (error instanceof RetryAfterError) return now + error.retryAfter;
  if (!worthwhile) return undefined;
  const ceiling = Math.min(policy.max, policy.delay * 2 ** (attempts - 1));
  return now + Math.round(random() * ceiling);
}
