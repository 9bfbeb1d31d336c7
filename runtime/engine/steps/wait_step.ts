import { recordError } from "../../model/errors.ts";
import type { Json, JsonObject } from "../../model/json.ts";
import { isFinalStep, type StepRecord } from "../../model/run.ts";
import type { Wait } from "../../store/store.ts";
import { abandon, outcomeOf } from "../attempt.ts";
import type { RunContext } from "../step_frame.ts";
import type { StepOutcome, Suspended } from "../outcome.ts";
import { checkInput } from "../records.ts";

/** One step that waits, whether of a YAML list or a `step.*` call. */
export interface WaitTask {
  path: string;
  kind: string;
  /** See {@link StepRecord.after}. */
  after?: string;
  /** What it waits for; called once, when it begins. What this throws fails the step. */
  begin(): Promise<Beginning>;
  /** Its result if nothing ended it in time; by default null. What this throws fails the step. */
  onTimeout?(): Promise<Json>;
  /** What it waits for, in a few words, from its record: a later execution of the run has nothing else. */
  describe(record: StepRecord): string;
}

/** How a wait begins. */
export interface Beginning {
  /** What is recorded as the step's input. */
  input: JsonObject;
  /** When it ends at the latest; milliseconds since the epoch. */
  due?: number;
  wait: Wait;
}

/**
 * Runs a step that waits. The wait is on disk before this waits, and survives the program: an event, an answer or an
 * operator ends it in the store. If nothing ended a wait in time, its result is null, with `timedOut`.
 * @throws the signal's reason if the run is ended meanwhile
 */
export async function runWait(context: RunContext, task: WaitTask, signal: AbortSignal): Promise<StepOutcome> {
  const { records, waiting, options: { clock } } = context;
  signal.throwIfAborted();
  for (;;) {
    const record = await beginOnce(context, task);
    if (isFinalStep(record.state)) return endedBy(record);
    if (record.due !== undefined && record.due <= clock.now()) return endedBy(await onTimeout(context, task, record));
    try {
      const what = () => task.describe(records.get(task.path)!);
      if (!await waiting.wait(record.due, signal, { path: task.path, what })) {
        return suspended(task, records.get(task.path)!);
      }
    } catch (reason) {
      const { due: _due, ...rest } = record;
      return await abandon(context, rest, reason);
    }
  }
}

/**
 * Begins to wait, on disk. A step that was begun is not begun again, unless it failed and an operator had it retried, or
 * its end must be computed anew after a clock rollback.
 */
export async function beginOnce(context: RunContext, task: WaitTask): Promise<StepRecord> {
  const begun = context.records.get(task.path);
  return begun === undefined || begun.state === "retrying" ? await beginWait(context, task) : begun;
}

async function beginWait(context: RunContext, { path, kind, after, begin }: WaitTask): Promise<StepRecord> {
  const now = context.options.clock.now();
  const record = { path, kind, attempts: 1, startedAt: now, ...(after !== undefined && { after }) };
  let beginning: Beginning;
  try {
    beginning = await begin();
    checkInput(path, beginning.input);
  } catch (thrown) {
    return await context.records.write({ ...record, state: "failed", error: recordError(thrown), endedAt: now });
  }
  const { input, due, wait } = beginning;
  const waiting: StepRecord = { ...record, state: "waiting", input, ...(due !== undefined && { due }) };
  return await context.records.write(waiting, { wait });
}

/** Nothing came in time. If something came at the last moment, that stands. */
async function onTimeout(
  { records, options: { clock } }: RunContext,
  { onTimeout = () => Promise.resolve(null) }: WaitTask,
  waiting: StepRecord,
): Promise<StepRecord> {
  const { due: _due, ...record } = waiting;
  let ending: Pick<StepRecord, "state" | "output" | "error">;
  try {
    ending = { state: "succeeded", output: await onTimeout() };
  } catch (thrown) {
    ending = { state: "failed", error: recordError(thrown) };
  }
  return await records.write({ ...record, ...ending, endedAt: clock.now() });
}

function endedBy(record: StepRecord): StepOutcome {
  const outcome = outcomeOf(record);
  const timedOut = record.state === "succeeded" && record.output === null;
  return outcome.kind === "result" && timedOut ? { ...outcome, timedOut } : outcome;
}

function suspended({ describe }: WaitTask, record: StepRecord): Suspended {
  return { kind: "suspended", ...(record.due !== undefined && { due: record.due }), waitingFor: describe(record) };
}
