import { z } from "zod";
import { duration, expression, hasTemplate, json, template } from "../../language/arg_types.ts";
import { asIn } from "../../language/checker/sentences.ts";
import { evaluate } from "../../language/expressions/expression.ts";
import { recordExpression } from "../../language/expressions/recorded_args.ts";
import { A_MOMENT, isZone, later, parseDue, parseMoment } from "../../language/fields/moment.ts";
import { type Args, resolvedArgs } from "../../language/kind.ts";
import { exactDuration } from "../../model/duration.ts";
import { recordError, TerminalError } from "../../model/errors.ts";
import type { Json, JsonObject } from "../../model/json.ts";
import { isFinalStep, type StepRecord } from "../../model/run.ts";
import { describeWait } from "../../store/run_changes.ts";
import type { Wait } from "../../store/store.ts";
import { abandon, outcomeOf } from "../attempt.ts";
import type { StepOutcome, Suspended } from "../outcome.ts";
import { checkInput } from "../records.ts";
import { inScope, pathIn, type RunContext } from "../step_frame.ts";
import { type Control, defineControl, notTaken, resolveStepArgs, type StepArgs } from "./control.ts";

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

/** Ends a wait that nothing ended in time. If the store has recorded an end meanwhile, that one stays. */
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

const DUE = `a duration such as 1h, or ${A_MOMENT}`;
const notHere = notTaken("a wait step does not take this: it ends at its time; write until for the latest one");

const WAIT = {
  kind: "wait",
  main: template().describe("A duration such as 1h, a time, or the next 09:00"),
  options: {
    until: template().optional().describe("A time at which it ends at the latest"),
    timezone: template().optional().describe("The zone of a time such as 09:00; by default the variable TZ, else UTC"),
    timeout: notHere,
    retry: notHere,
    onTimeout: notHere,
  },
} as const;

/** Waits for a while, or until a time. */
export const wait: Control = defineControl({
  ...WAIT,
  summary: "Waits for a while, or until a time",
  controls: true,
  check(args, now) {
    const { wait, until, timezone } = args;
    const isWrong = (text: string | undefined, parse: (text: string, now: number) => unknown) =>
      text !== undefined && !hasTemplate(text) && parse(text, now) === undefined;
    return [
      ...isWrong(wait, parseDue) ? [`expected ${DUE}, got "${wait}"; write it as in wait: 1h or wait: "09:00"`] : [],
      ...isWrong(until, parseMoment) ? [`until: expected ${A_MOMENT}, got "${until}"; a duration goes in wait`] : [],
      ...isWrong(timezone, (name) => isZone(name) || undefined)
        ? [`timezone: there is no time zone "${timezone}"; write one such as Europe/Berlin`]
        : [],
    ];
  },
  execute(step, frame) {
    const args = () => resolveStepArgs(wait, step.args, frame);
    return runWaitUntil({ path: pathIn(frame, step.id), args }, frame.context, frame.signal);
  },
});

/** Waits for a while or until a time, of a YAML step or of `step.wait`. The result is null. */
export async function runWaitUntil(
  { args, ...step }: { path: string; after?: string; args(): Promise<StepArgs> },
  context: RunContext,
  signal: AbortSignal,
): Promise<StepOutcome> {
  const outcome = await runWait(context, {
    ...step,
    kind: wait.kind,
    begin: async () => {
      const { used, recorded } = await args();
      return {
        input: recorded,
        due: dueOf(resolvedArgs(WAIT, used), context.options.clock.now()),
        wait: { kind: "time" },
      };
    },
    describe: ({ path }) => `the time of step "${path}"`,
  }, signal);
  return outcome.kind === "result" ? { kind: "result", output: null } : outcome;
}

/** @throws TerminalError if a time or the zone cannot be read */
function dueOf({ wait, until, timezone }: Args<typeof WAIT>, now: number): number {
  const cannot = (what: string, text: string, expected: string) =>
    new TerminalError(`Cannot wait ${what} "${text}": expected ${expected}`);
  if (timezone !== undefined && !isZone(timezone)) {
    throw cannot("in the time zone", timezone, "one such as Europe/Berlin");
  }
  const due = parseDue(wait, now, timezone);
  if (due === undefined) throw cannot("for", wait, DUE);
  if (until === undefined) return due;
  const latest = parseMoment(until, now, timezone);
  if (latest === undefined) throw cannot("until", until, A_MOMENT);
  return Math.min(due, latest);
}

/** Parts of an event that `match` can read. */
const PARTS = ["id", "source", "type", "subject", "time", "data", "http", "files", "ce", "cause"];

const WAIT_FOR = {
  kind: "waitFor",
  main: z.union([template(), z.array(template()).min(1)]).describe("Its type, a pattern such as order.*, or a list"),
  options: {
    match: z.record(z.string(), expression(), asIn("match: { data.id: event.data.id }")).optional()
      .describe("The values that it must have, by path: { data.id: steps.order.body.id }"),
    timeout: duration().optional().describe("How long to wait; by default until it comes"),
    retry: notTaken("waitFor has one attempt, which lasts until its timeout"),
  },
} as const;

/** The same for a function, which gives the values of a `match` themselves. */
export const schemasOfCode = {
  ...WAIT_FOR,
  options: { ...WAIT_FOR.options, match: z.record(z.string(), json()).optional() },
} as const;

/** Waits for an event. */
export const waitFor: Control = defineControl({
  ...WAIT_FOR,
  summary: "Waits for an event, also for one accepted since the run began",
  controls: true,
  check({ match = {} }) {
    return Object.keys(match).filter((path) => !isEventPath(path)).map((path) => {
      return `match: "${path}" is not a part of an event; write a path such as data.id, which begins with one of ${
        PARTS.join(", ")
      }`;
    });
  },
  execute(step, frame) {
    const args = async () => {
      const { used, recorded } = await resolveStepArgs(waitFor, step.args, frame);
      const { match = {} } = step.args;
      const evaluated = await inScope(frame, (scope) => ({
        used: mapValues(match, (text) => evaluate(text, scope)),
        recorded: mapValues(match, (text) => recordExpression(text, scope, frame.unresolved)),
      }));
      return { used: { ...used, match: evaluated.used }, recorded: { ...recorded, match: evaluated.recorded } };
    };
    return runWaitFor({ path: pathIn(frame, step.id), args }, frame.context, frame.signal);
  },
});

/** Waits for an event, for a YAML step or `step.waitFor`. `match` contains the values themselves. */
export function runWaitFor(
  { args, ...step }: { path: string; after?: string; args(): Promise<StepArgs> },
  context: RunContext,
  signal: AbortSignal,
): Promise<StepOutcome> {
  return runWait(context, {
    ...step,
    kind: waitFor.kind,
    begin: async () => {
      const { used, recorded } = await args();
      const { waitFor: types, match = {}, timeout } = resolvedArgs(schemasOfCode, used);
      const input = { match: {}, ...recorded, ...(timeout !== undefined && { timeout: exactDuration(timeout) }) };
      const due = timeout === undefined ? {} : { due: later(context.options.clock.now(), timeout) };
      return { input, ...due, wait: { kind: "event", types: [types].flat(), match } };
    },
    describe: ({ path, input }) => {
      const { waitFor: types = path, match = {} } = input as Partial<Args<typeof schemasOfCode>>;
      return describeWait({ kind: "event", types: [types].flat(), match });
    },
  }, signal);
}

function mapValues(match: Record<string, string>, map: (text: string) => Json): JsonObject {
  return Object.fromEntries(Object.entries(match).map(([path, text]) => [path, map(text)]));
}

function isEventPath(path: string): boolean {
  const [part, ...keys] = path.split(".");
  return PARTS.includes(part) && keys.every((key) => key !== "");
}
