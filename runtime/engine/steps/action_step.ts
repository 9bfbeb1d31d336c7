import { dirname, join, posix, relative, resolve, sep } from "node:path";
import type { Action, StepParts } from "../../actions/action.ts";
import { checkCall, commandAction, relativeToRun } from "../../actions/call.ts";
import { actions } from "../../actions/index.ts";
import { TerminalError } from "../../model/errors.ts";
import { writeExactJson } from "../../formats/exact_json.ts";
import { isObject, type Json, type JsonObject } from "../../model/json.ts";
import type { CalledAction, Command, RetryPolicy, Step } from "../../model/rule.ts";
import { checkValues, readWritten, sayProblem } from "../../language/fields/check_values.ts";
import { attemptStep, STANDARD_DELAYS, type Task } from "../attempt.ts";
import { evaluateIn, type RunSteps, type StepFrame } from "../step_frame.ts";
import type { StepOutcome } from "../outcome.ts";
import type { StepArgs } from "./control.ts";

/** What a step of a YAML list and a `step.*` call have in common. */
export interface ActionStep {
  path: string;
  kind: string;
  timeout?: number;
  retry?: RetryPolicy;
  after?: string;
  args(): Promise<StepArgs>;
  /** The target of a `call`, which is known before the arguments are. */
  target?: string;
  /** See {@link Step.written}. */
  written?: Step["written"];
  /** See {@link Task.isLast}. */
  isLast?: boolean;
  /** See {@link ActionContext.continuesOnError}. */
  continuesOnError?: boolean;
  /** Has the rule's function compute what belongs to the step. */
  compute?: (attempt: number, signal: AbortSignal, given: Json) => Promise<Json>;
}

/** The target, if the arguments are those of a `call`. */
export function targetOf({ call }: JsonObject): string | undefined {
  return typeof call === "string" ? call : undefined;
}

/** Runs a step of a kind in `actions/`, or a call of a YAML action. */
export function runAction(step: ActionStep, frame: StepFrame, runSteps: RunSteps): Promise<StepOutcome> {
  const { context, signal } = frame;
  const command = findCalled(step, frame, context.rule.commands);
  const standIn = context.options.standIn?.({ ...step, ...command && { command } });
  const called = standIn ? undefined : calledAction(step, frame);
  const action = standIn ?? (command ? commandAction(command) : actions[step.kind]);
  const task: Task = {
    path: step.path,
    kind: step.kind,
    timeout: step.timeout ?? (called ? undefined : action.defaults.timeout),
    retry: step.retry ?? { attempts: action.defaults.attempts, ...STANDARD_DELAYS },
    after: step.after,
    isLast: step.isLast,
    ...(called ? calling(step, called, frame, runSteps) : executing(step, action, frame)),
    ...command && { prepare: () => prepareCommand(step, command, frame) },
  };
  return attemptStep(context, task, signal);
}

function executing(
  step: ActionStep,
  action: Action,
  frame: StepFrame,
): Pick<Task, "worthRetrying" | "prepare" | "act"> {
  const { run, rule, services, options } = frame.context;
  const { compute, continuesOnError } = step;
  return {
    worthRetrying: (error) => action.retries?.(error) ?? true,
    prepare: step.args,
    act: ({ used, recorded }, attempt, makeSignal) =>
      action.execute(used, {
        ...used !== recorded && { recorded },
        run: { id: run.id, rule: rule.id, trigger: run.trigger, event: run.event },
        path: step.path,
        step: step.path,
        attempt,
        get signal() {
          return makeSignal();
        },
        folder: options.folder,
        ruleFolder: frame.ruleFolder,
        services,
        get parts() {
          return partsOf(step, frame, attempt);
        },
        ...continuesOnError && { continuesOnError },
        ...compute && { compute: (given: Json) => compute(attempt, makeSignal(), given) },
      }),
  };
}

/** Parts are records of their own inside the step. */
function partsOf({ path, kind }: ActionStep, { context: { records, options } }: StepFrame, attempt: number): StepParts {
  const read = () =>
    records.below(path).flatMap((inside) => {
      const [, name] = /^\[([a-z]+)\d+\]$/.exec(inside.path.slice(path.length)) ?? [];
      if (name === undefined) return [];
      const { attempts, output = null } = records.get(inside.path)!;
      return [{ name, attempt: attempts, output }];
    });
  let count = read().length;
  return {
    read,
    async add(name, output) {
      const now = options.clock.now();
      const part = {
        path: `${path}[${name}${count++}]`,
        kind,
        attempts: attempt,
        startedAt: now,
        endedAt: now,
        output,
      };
      await records.write({ ...part, state: "succeeded" });
    },
  };
}

interface Called {
  action: CalledAction;
  /** Relative to the rules folder. */
  file: string;
}

function calledAction(step: ActionStep, frame: StepFrame): Called | undefined {
  const action = findCalled(step, frame, frame.context.rule.actions);
  return action === undefined ? undefined : { action, file: fileOf(step.target!, frame) };
}

function findCalled<T>({ target }: ActionStep, frame: StepFrame, files: Record<string, T> = {}): T | undefined {
  if (target === undefined) return undefined;
  const file = fileOf(target, frame);
  return Object.hasOwn(files, file) ? files[file] : undefined;
}

function fileOf(target: string, { ruleFolder, context }: StepFrame): string {
  return relative(context.options.folder, resolve(ruleFolder, target)).replaceAll(sep, posix.sep);
}

/** Reads and checks the values of a command; if some do not fit, the step fails before anything starts. */
async function prepareCommand(step: ActionStep, command: Command, { context }: StepFrame): Promise<StepArgs> {
  const args = await step.args();
  const byItself: JsonObject = context.rule.command === undefined ? {} : { with: context.run.event.data };
  const [used, recorded] = [{ ...args.used, ...byItself }, { ...args.recorded, ...byItself }];
  const folder = await context.services.runFolder(context.run.id);
  const read = (args: JsonObject) =>
    relativeToRun(command, readWritten(command.inputs, { values: givenIn(args), written: step.written }), folder);
  const [values, named] = [read(used), read(recorded)];
  checkCall(command, values, named, used);
  return { used: { ...used, with: values }, recorded: { ...recorded, with: named } };
}

/** A called action has its own scope, with its inputs and its own steps. A further attempt executes them anew. */
function calling(
  step: ActionStep,
  { action, file }: Called,
  frame: StepFrame,
  runSteps: RunSteps,
): Pick<Task, "worthRetrying" | "prepare" | "act"> {
  return {
    worthRetrying: () => true,
    prepare: async () => {
      const { used, recorded } = await step.args();
      const [given, shown] = [givenIn(used), givenIn(recorded)];
      const read = readWritten(action.inputs, { values: given, written: step.written });
      const { values, problems } = checkValues(action.inputs, read);
      if (problems.length === 0) {
        return {
          used: { ...used, with: values },
          recorded: { ...recorded, with: withSecretsNamed(values, given, shown) },
        };
      }
      const reasons = problems.map((problem) =>
        problem.kind !== "unfit" || isRecordedAsIs(given, shown, problem.key)
          ? sayProblem(problem)
          : `${problem.key}: its value ${JSON.stringify(shown[problem.key])} does not fit`
      ).join("; ");
      throw new TerminalError(`Cannot call ${file}: ${reasons}`);
    },
    act: async ({ used, recorded }, attempt, makeSignal) => {
      const inner: StepFrame = {
        context: frame.context,
        path: `${step.path}/${attempt === 1 ? "then" : `then@${attempt}`}`,
        steps: {},
        errors: {},
        inputs: givenIn(used),
        unresolved: used.with === recorded.with ? {} : { inputs: recorded.with },
        ruleFolder: join(frame.context.options.folder, dirname(file)),
        signal: makeSignal(),
      };
      const outcome = await frame.context.waiting.awake(() => runSteps(action.then, inner));
      if (outcome.kind !== "result") return outcome;
      return { output: action.output === undefined ? null : await evaluateIn(inner, action.output) };
    },
  };
}

/**
 * The inputs of a called action as they are recorded: their values, or the caller's expressions for those that hold
 * secrets.
 */
function withSecretsNamed(values: JsonObject, given: JsonObject, named: JsonObject): JsonObject {
  if (given === named) return values;
  return Object.fromEntries(
    Object.entries(values).map(([key, value]) => [key, isRecordedAsIs(given, named, key) ? value : named[key]]),
  );
}

/** The values under `with`. */
function givenIn({ with: given }: JsonObject): JsonObject {
  return isObject(given) ? given : {};
}

/** Whether an input holds no secret. */
function isRecordedAsIs(given: JsonObject, recorded: JsonObject, key: string): boolean {
  return writeExactJson(given[key]) === writeExactJson(recorded[key]);
}
