import { dirname, join } from "node:path";
import type { ActionServices } from "../actions/action.ts";
import type { RecordedError } from "../model/errors.ts";
import type { Json, JsonObject } from "../model/json.ts";
import type { Rule, Step } from "../model/rule.ts";
import type { Run } from "../model/run.ts";
import { evaluate, type Scope } from "../language/expressions/expression.ts";
import type { Unresolved } from "../language/expressions/recorded_args.ts";
import { withState } from "../language/expressions/state_view.ts";
import type { RunEnd } from "../store/store.ts";
import type { StepOutcome } from "./outcome.ts";
import type { Records } from "./records.ts";
import type { RunnerOptions } from "./runner_options.ts";
import type { Waiting } from "./waiting.ts";

/** One life of a run: from being claimed until it is suspended or ended. */
export interface RunContext {
  run: Run;
  rule: Rule;
  records: Records;
  services: ActionServices;
  options: RunnerOptions;
  waiting: Waiting;
  /** How the run would end now, with a step that succeeds. */
  end(): RunEnd;
  /** Says that what frees the run's place for others has been asked of the store. @returns what was given */
  leave<T>(written: Promise<T>): Promise<T>;
}

/** What steps gave, and what those failed with that were answered, by id. */
export interface Results {
  steps: Record<string, Json>;
  errors: Record<string, Json>;
}

/** Where a list of steps stands in its run, and what its expressions see. */
export interface StepFrame extends Results {
  context: RunContext;
  /** What the paths of its steps begin with: `""`, `check/then`. */
  path: string;
  /** Of a called action. */
  inputs?: JsonObject;
  /** In `onError` and `onTimeout`. */
  error?: Json;
  /** Names whose values hold secrets, and what is recorded in the place of those. */
  unresolved: Unresolved;
  /** Further names: `item` and `index` in an `each`, `form` in what a form sends. */
  names?: JsonObject;
  /** The folder of the rule file, or of the called action's file, absolute. */
  ruleFolder: string;
  signal: AbortSignal;
}

/** Performs a list of steps in order, up to the first that does not end in a result. */
export type RunSteps = (steps: Step[], frame: StepFrame) => Promise<StepOutcome>;

/** The frame of a rule's own steps. */
export function rootFrame(context: RunContext, signal: AbortSignal): StepFrame {
  const ruleFolder = join(context.options.folder, dirname(context.rule.file));
  return { context, path: "", steps: {}, errors: {}, unresolved: {}, ruleFolder, signal };
}

/** The path of a step in its run. */
export function pathIn(frame: StepFrame, id: string): string {
  return frame.path === "" ? id : `${frame.path}/${id}`;
}

/**
 * The frame of steps inside a step, with results of their own: those outside see none of them before they are handed over.
 * @param names further ones; they hide those of the frame
 * @param unresolved what is recorded instead of those that hold secrets
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

/** Shows what steps inside a step gave to those behind it; null where they gave nothing. */
export function handOver(steps: Step[], inner: Results, frame: Results): void {
  for (const { id, children } of steps) {
    frame.steps[id] = inner.steps[id] ?? null;
    if (Object.hasOwn(inner.errors, id)) frame.errors[id] = inner.errors[id];
    handOver(Object.values(children).flat(), inner, frame);
  }
}

/** Steps that are not performed have the result null. */
export function leaveOut(steps: Step[], frame: Results): void {
  handOver(steps, { steps: {}, errors: {} }, frame);
}

/** An error as expressions see it: `error.step`, `error.message`, `errors.tell.detail.status`. */
export function errorValue(error: RecordedError, step: string): JsonObject {
  const { name, message, detail } = error;
  return { step, name, message, ...(detail !== undefined && { detail }) };
}

/** Calls `use` with what expressions in the frame see. */
export function inScope<T>(frame: StepFrame, use: (scope: Scope) => T): Promise<T> {
  const { context: { run, rule, options }, steps, errors, inputs, error, names } = frame;
  const now = options.clock.now();
  const scope: Scope = {
    ...options.surroundings(rule.id),
    event: run.event,
    steps,
    errors,
    config: rule.config,
    run: { id: run.id, createdAt: new Date(run.createdAt).toISOString() },
    rule: { id: rule.id, name: rule.name ?? rule.id, file: rule.file },
    ...(inputs && { inputs }),
    ...(error !== undefined && { error }),
    ...names,
    $now: now,
  };
  return withState((keys) => options.store.getState(keys, now), (state) => use(Object.assign(scope, { state })));
}

/** Evaluates an expression in the frame. */
export function evaluateIn(frame: StepFrame, text: string): Promise<Json> {
  return inScope(frame, (scope) => evaluate(text, scope));
}
