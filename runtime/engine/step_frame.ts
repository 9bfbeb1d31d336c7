import type { ActionServices } from "../actions/action.ts";
import type { RecordedError } from "../model/errors.ts";
import type { Json, JsonObject } from "../model/json.ts";
import type { Rule, Step } from "../model/rule.ts";
import type { Run } from "../model/run.ts";
import { evaluate, type Scope, withState } from "../language/expressions/expression.ts";
import type { Unresolved } from "../language/expressions/recorded_args.ts";
import type { RunEnd } from "../store/store.ts";
import type { StepOutcome } from "./outcome.ts";
import type { Records } from "./records.ts";
import type { RunnerOptions } from "./runner_options.ts";
import type { Waiting } from "./waiting.ts";

/** What all executions of a rule version share. */
export interface RuleVersion {
  rule: Rule;
  services: ActionServices;
  /** The folder of the rule file, absolute. */
  ruleFolder: string;
}

/** One execution of a run, from claim to suspension or end. */
export interface RunContext extends RuleVersion {
  run: Run;
  records: Records;
  options: RunnerOptions;
  waiting: Waiting;
  /** How the run ends if a step now succeeds as its last one. */
  end(): RunEnd;
  /** Reports that the store has been asked to free the run's place. @returns its argument */
  leave<T>(written: Promise<T>): Promise<T>;
}

/** The results of steps, and the errors of those that failed and were handled, by id. */
interface Results {
  steps: Record<string, Json>;
  errors: Record<string, Json>;
}

/** The place of a list of steps in its run, and what its expressions see. */
export interface StepFrame extends Results {
  context: RunContext;
  /** Prefix of the paths of its steps: `""`, `check/then`. */
  path: string;
  /** Of the rule or the called action. */
  inputs?: JsonObject;
  /** In `onError` and `onTimeout`. */
  error?: Json;
  /** Names whose values hold secrets, and what is recorded instead of the values. */
  unresolved: Unresolved;
  /** Further names: `item` and `index` in an `each`, `form` in the steps of a form's notice. */
  names?: JsonObject;
  /** The folder of the rule file, or of the called action's file, absolute. */
  ruleFolder: string;
  signal: AbortSignal;
}

/** Runs a list of steps in order, up to the first one without a result. */
export type RunSteps = (steps: Step[], frame: StepFrame) => Promise<StepOutcome>;

/** The frame of a rule's own steps. */
export function rootFrame(context: RunContext, signal: AbortSignal): StepFrame {
  const { ruleFolder, run: { inputs } } = context;
  return { context, path: "", steps: {}, errors: {}, unresolved: {}, ruleFolder, signal, ...inputs && { inputs } };
}

/** The path of a step in its run. */
export function pathIn(frame: StepFrame, id: string): string {
  return frame.path === "" ? id : `${frame.path}/${id}`;
}

/**
 * The frame of steps inside a step. It has its own results; the steps outside see none of them before they are handed
 * over.
 * @param names further ones; they hide those of the frame
 * @param unresolved what is recorded instead of names that hold secrets
 */
export function innerFrame(
  frame: StepFrame,
  path: string,
  signal: AbortSignal,
  names: JsonObject = {},
  unresolved: Unresolved = {},
): StepFrame {
  const { steps, errors } = frame;
  const outer = Object.entries(frame.unresolved).filter(([name]) => !Object.hasOwn(names, name));
  return {
    ...frame,
    path,
    steps: { ...steps },
    errors: { ...errors },
    names: { ...frame.names, ...names },
    unresolved: { ...Object.fromEntries(outer), ...unresolved },
    signal,
  };
}

/** Makes the results of steps inside a step visible to the steps after it; null for those without a result. */
export function handOver(steps: Step[], inner: Results, frame: Results): void {
  for (const { id, children } of steps) {
    frame.steps[id] = inner.steps[id] ?? null;
    if (Object.hasOwn(inner.errors, id)) frame.errors[id] = inner.errors[id];
    handOver(Object.values(children).flat(), inner, frame);
  }
}

/** Gives steps that are not executed the result null. */
export function leaveOut(steps: Step[], frame: Results): void {
  handOver(steps, { steps: {}, errors: {} }, frame);
}

/** An error as expressions see it: `error.step`, `error.message`, `errors.tell.detail.status`. */
export function errorValue(error: RecordedError, step: string): JsonObject {
  const { name, message, detail } = error;
  return { step, name, message, ...(detail !== undefined && { detail }) };
}

/** Calls `use` with the scope of expressions in the frame. */
export function inScope<T>(frame: StepFrame, use: (scope: Scope) => T): Promise<T> {
  const { context: { run, rule, options }, steps, errors, inputs, error, names } = frame;
  const now = options.clock.now();
  const { createdAt } = run;
  const scope: Scope = {
    __proto__: null,
    ...options.surroundings(rule.id),
    event: run.event,
    steps,
    errors,
    config: rule.config,
    run: {
      id: run.id,
      // Few expressions read it.
      get createdAt() {
        return new Date(createdAt).toISOString();
      },
    },
    rule: { id: rule.id, name: rule.name ?? rule.id, file: rule.file },
    ...(inputs && { inputs }),
    ...(error !== undefined && { error }),
    ...names,
    $now: now,
    $hosts: rule.hosts,
    get state() {
      return state();
    },
  };
  let state: () => unknown;
  return withState((keys) => options.store.getState(keys, now), (view) => {
    state = view;
    return use(scope);
  });
}

/** Evaluates an expression in the frame. */
export function evaluateIn(frame: StepFrame, text: string): Promise<Json> {
  return inScope(frame, (scope) => evaluate(text, scope));
}
