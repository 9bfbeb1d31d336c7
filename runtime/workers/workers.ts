import { type RecordedError, TerminalError } from "../model/errors.ts";
import type { Event } from "../model/event.ts";
import type { Json, JsonObject } from "../model/json.ts";
import type { Seen } from "../model/test.ts";

/**
 * The workers that rule code runs in. Rule code never runs on the main thread. Workers start lazily, hold one rule
 * version each, are bounded in number, and are discarded on reload, after a timeout and when idle.
 */
export interface Isolates {
  /** Evaluates a bundled module and reads its exports and, where its default export is a rule, the declaration. */
  describe(module: BundledModule): Promise<Description>;
  /**
   * Asks a TypeScript rule's function `if`.
   * @throws InvalidEventError where the event does not pass the validator given to `event(…)`: the verdict is `condition`
   */
  askCondition(module: BundledModule, scope: CodeScope, signal: AbortSignal): Promise<boolean>;
  /**
   * Runs a TypeScript rule's function `then`; every `step.*` call goes through `perform`. Where a call is answered with
   * `abandon`, the promise stays open until the function ends by other branches or the signal is aborted.
   * @param onQuiet called each time that the function, with all answers that it was given, has made all calls that it could
   * make at once: it waits for its steps, or for something of its own
   * @throws TerminalError, RetryAfterError, {@link RuleCodeError}, {@link InterruptedError}, or the signal's reason
   */
  runRule(
    module: BundledModule,
    scope: CodeScope,
    perform: PerformStep,
    signal: AbortSignal,
    onQuiet?: () => void,
  ): Promise<Json>;
  /**
   * Calls one exported function. `args` is its first argument; a `signal` is added to it.
   * @throws TerminalError, RetryAfterError, {@link RuleCodeError}, or the signal's reason
   */
  callFunction(module: BundledModule, name: string, args: Json, signal: AbortSignal): Promise<Json>;
  /** Evaluates a bundled `*.test.ts` and reads what its calls of `testRule` say. */
  describeTests(module: BundledModule): Promise<DefinedTest[]>;
  /**
   * Performs one of these tests, which begins with what is `seen`; every call of `t` goes through `perform`, which answers with
   * what is seen then.
   * @throws {@link RuleCodeError}, whose `detail` holds what is not as expected, or the signal's reason
   */
  runTest(
    module: BundledModule,
    test: { index: number; seen: Seen },
    perform: PerformStep,
    signal: AbortSignal,
  ): Promise<void>;
  /** The secrets that the code of a version has been handed while its worker lives: value to name. */
  handedSecrets(version: string): ReadonlyMap<string, string>;
  /** Ends the worker of a version, as after a reload: at once where it is idle, else when its work is done. */
  discard(version: string): Promise<void>;
  /** Resident workers, for metrics. */
  count(): number;
  close(): Promise<void>;
}

/** Bundled ESM. `whenthen` is external to it: the worker provides it by a versioned protocol. */
export interface BundledModule {
  /** Which worker it goes to: a rule version, or a hash of the code. */
  version: string;
  /** Relative to the rules folder, for messages. */
  file: string;
  code: string;
}

/** What evaluating a module tells of it. */
export interface Description {
  exports: string[];
  /** Absent where the default export is no rule. `at` is the `rule(` call. */
  rule?: { declaration: Declaration; at?: CodePlace };
}

/** A call of `testRule`. */
export interface DefinedTest {
  name: string;
  options: JsonObject;
  at: CodePlace;
  /** The file whose default export it was given, or an id. */
  rule: { file: string } | { id: string };
}

/** What a rule function sees beside `step`. */
export interface CodeScope {
  run: { id: string; attempt: number };
  rule: { id: string; file: string };
  event: Event;
  /** Which entry under `when` the event came by, from 0: its validator is asked. -1 where the rule has it no more. */
  trigger: number;
  config: JsonObject;
  inputs?: JsonObject;
  /** True where a watchdog ended it before: it gets a worker of its own. */
  alone: boolean;
}

/** What `rule({...})` was given, with functions replaced by `{ "function": true }`. Checked like a YAML file. */
export type Declaration = JsonObject;

/** One `step.*` call of a rule function. */
export interface StepCall {
  /** The step's name as given; a repeated one becomes `name#2` on the main side. */
  name: string;
  /** The path of the branch around it, as `branchPath` makes it: `both/crm`, `lines[3]`; empty where there is none. */
  scope: string;
  kind: string;
  /** The raw main argument (under the kind's name) and options, to be checked by the kind's schema. */
  args: JsonObject;
  /** How many calls the function had got answers to when it made this one: tells branches side by side from a sequence. */
  answered: number;
}

/**
 * The main side of a step call. Kinds `do`, `each`, `all` and `any` the worker computes: the first answer is either the
 * recorded result or `compute`; the worker then calls again, with the same `call` object, and `computed`. That is answered in
 * the same way: the result, the failure to throw, or `compute` for another attempt. Kind {@link ITEM} is no step.
 */
export type PerformStep = (call: StepCall, computed?: Computed) => Promise<StepAnswer>;

/** The kinds whose branches the function performs. */
export const BRANCHING: ReadonlySet<string> = new Set(["each", "all", "any"]);

/**
 * The kind of a call by which an `each` with a rate asks whether its next item may begin: answered with a result when it may.
 * Its name is the item's index, its scope the path of the each.
 */
export const ITEM = "item";

/**
 * What came of a step that the worker computed. `lost` are the paths of branches that are given up: the worker listens to no
 * answer for their steps any more.
 */
export type Computed = { output: Json; lost?: string[] } | { error: ThrownError; lost?: string[] };

/** An error as it crosses between worker and main side: `name` says whether it is a TerminalError or RetryAfterError. */
export interface ThrownError extends RecordedError {
  /** Milliseconds, of a RetryAfterError. */
  retryAfter?: number;
  /** The path of the step whose failure it is, or that caused it. */
  step?: string;
}

export type StepAnswer =
  | { kind: "result"; output: Json }
  | { kind: "failed"; error: ThrownError }
  /** `path` is the step's own. */
  | { kind: "compute"; attempt: number; path: string }
  /**
   * The function never hears from this call again: the run ends or is suspended here, or (`lost`) its branch was given up, and the
   * function goes on without it.
   */
  | { kind: "abandon"; lost?: true };

/**
 * Rule code threw, or its worker was ended. `name` is that of the error thrown. `blocked` where the worker stopped
 * answering, crashed or outgrew the memory while this work was among the suspects: it is attempted again alone.
 */
export class RuleCodeError extends Error {
  override name = "RuleCodeError";
  /** @param at where in the user's source, as far as it is known */
  constructor(message: string, readonly blocked: boolean, stack?: string, readonly at?: CodePlace) {
    super(message);
    if (stack !== undefined) this.stack = stack;
  }
}

/** A place in a file that was bundled, relative to the rules folder; line and column count from 1. */
export interface CodePlace {
  file: string;
  line: number;
  column: number;
}

/** The worker was ended because of something else that it did: the work is to be attempted again as if nothing happened. */
export class InterruptedError extends Error {
  override name = "InterruptedError";
}

/** The event's data does not pass the validator that the rule's trigger names. Never attempted again. */
export class InvalidEventError extends TerminalError {
  override name = "InvalidEventError";
}
