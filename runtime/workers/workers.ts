import { type RecordedError, TerminalError } from "../model/errors.ts";
import type { Event } from "../model/event.ts";
import type { PlatformMethod } from "../model/fleet.ts";
import type { Json, JsonObject } from "../model/json.ts";
import type { Definition } from "../model/rule.ts";
import type { Seen } from "../model/test.ts";

/**
 * The workers that rule code runs in. Rule code never runs on the main thread. Workers start lazily, hold one rule
 * version each, are bounded in number, and are discarded on reload, after a timeout and when idle.
 */
export interface Isolates {
  /** Evaluates a bundled module and reads its exports and, if its default export is a rule, the declaration. */
  describe(module: BundledModule): Promise<Description>;
  /**
   * Calls a TypeScript rule's function `if`.
   * @throws InvalidEventError if the event does not pass the validator given to `event(…)`: the verdict is `condition`
   */
  askCondition(module: BundledModule, scope: CodeScope, signal: AbortSignal): Promise<boolean>;
  /**
   * Runs a TypeScript rule's function `then`; every `step.*` call goes through `execute`. If a call is answered with
   * `abandon`, its promise stays open until the function ends through other branches or the signal is aborted.
   * @param onQuiet called each time the function has made all calls that its answers so far allow: it waits for its steps,
   * or for something of its own
   * @throws TerminalError, RetryAfterError, {@link RuleCodeError}, {@link InterruptedError}, or the signal's reason
   */
  runRule(
    module: BundledModule,
    scope: CodeScope,
    execute: ExecuteStep,
    signal: AbortSignal,
    onQuiet?: () => void,
  ): Promise<Json>;
  /**
   * Calls one exported function. `args` is its first argument; a `signal` and an `http` are added to it.
   * @param begin called whenever the function begins, also again because other work has ended its worker; sends its requests
   * @throws TerminalError, RetryAfterError, {@link RuleCodeError}, or the signal's reason
   */
  callFunction(
    module: BundledModule,
    name: string,
    args: Json,
    signal: AbortSignal,
    begin?: () => ExecuteStep,
  ): Promise<Json>;
  /**
   * Calls a function of a source or an action.
   * @param begin as for `callFunction`; what it returns sends requests (kind `http`) and stores what is emitted (kind {@link EMIT})
   * @throws CursorExpired, and what `callFunction` throws
   */
  callDefinition(
    module: BundledModule,
    call: SourceCall,
    begin: () => ExecuteStep,
    signal: AbortSignal,
  ): Promise<Json>;
  /** Evaluates a bundled `*.test.ts` and reads its `testRule` calls. */
  describeTests(module: BundledModule): Promise<DefinedTest[]>;
  /**
   * Runs one of these tests, starting with `seen`; every call of `t` goes through `execute`, which returns the new
   * state that the test sees.
   * @throws {@link RuleCodeError}, whose `detail` holds the failed expectations, or the signal's reason
   */
  runTest(
    module: BundledModule,
    test: { index: number; seen: Seen },
    execute: ExecuteStep,
    signal: AbortSignal,
  ): Promise<void>;
  /** The secrets that the code of a version has received while its worker lives, by value: their names. */
  handedSecrets(version: string): ReadonlyMap<string, string>;
  /** Ends the worker of a version, as after a reload: at once if idle, else when its work is done. */
  discard(version: string): Promise<void>;
  /** Resident workers, for metrics. */
  count(): number;
  close(): Promise<void>;
}

/** Bundled ESM. `whenthen` is external to it: the worker provides it through a versioned protocol. */
export interface BundledModule {
  /** Selects the worker: a rule version, or a hash of the code. */
  version: string;
  /** Relative to the rules folder, for messages. */
  file: string;
  code: string;
}

/** What evaluating a module reveals. */
export interface Description {
  exports: string[];
  /** Absent if the default export is no rule. `at` is the `rule(` call. */
  rule?: { declaration: Declaration; at?: CodePlace };
  /** Without such an export: the `rule(` call in this file that is not the default export. */
  unexported?: CodePlace;
  /** Its sources, actions and platforms: exported ones by name, and all that its code makes by target. Absent if there are none. */
  definitions?: Record<string, Described>;
}

/** The functions that a source or an action can have. */
type SourceMethod = Exclude<Definition["methods"][number], PlatformMethod>;

/** A source, an action or a platform as its code declares it. */
export interface Described {
  kind: "source" | "action" | "device";
  /** As written. */
  inputs: JsonObject;
  /** Of a platform: its tasks as written, without their functions. */
  tasks?: Record<string, JsonObject>;
  key?: string;
  ignore?: string[];
  at?: string;
  max?: number;
  methods: Definition["methods"];
}

/** A call of one function of a source or an action. */
export interface SourceCall {
  /** The export, or the target of a definition of the module. */
  name: string;
  method: SourceMethod;
  inputs: JsonObject;
  /** `cursor`, `key` and `patch`, as the function takes them. */
  more: JsonObject;
}

/** A call of `testRule`. */
export interface DefinedTest {
  name: string;
  options: JsonObject;
  at: CodePlace;
  /** The file that default-exports the rule under test, or the rule's id. */
  rule: { file: string } | { id: string };
}

/** What a rule's function sees besides `step`. */
export interface CodeScope {
  run: { id: string; attempt: number };
  rule: { id: string; file: string };
  event: Event;
  /** The index of the entry under `when` that received the event; its validator is used. -1 if the rule no longer has it. */
  trigger: number;
  config: JsonObject;
  inputs?: JsonObject;
  /** True if a watchdog ended it before: it gets a worker of its own. */
  alone: boolean;
  /**
   * Whether it may compute a `do` as soon as it calls it: nothing of its run is recorded that could be the result, no test replaces steps,
   * and there are no other replicas, which could have taken over the run.
   */
  ahead: boolean;
}

/** The argument of `rule({...})`, with functions replaced by `{ "function": true }`. Checked like a YAML file. */
export type Declaration = JsonObject;

/** One `step.*` call of a rule function. */
export interface StepCall {
  /** The step's name as given; a repeated one becomes `name#2` on the main thread. */
  name: string;
  /** The path of the branch around it, as `branchPath` makes it: `both/crm`, `lines[3]`; empty if there is none. */
  scope: string;
  kind: string;
  /** The raw main argument (under the kind's name) and options, to be checked by the kind's schema. */
  args: JsonObject;
  /** How many answers the function had when it made this call: tells branches side by side from a sequence. */
  answered: number;
  /** Milliseconds since the epoch: the function began to compute it then, without being asked. */
  begunAt?: number;
}

/**
 * Handles a step call on the main thread. The worker computes the kinds `do`, `each`, `all` and `any`: the first answer is
 * either the recorded result or `compute`; the worker then calls again, with the same `call` object, and `computed`. That
 * call is answered in the same way: with the result, the failure to throw, or `compute` for another attempt. A call with
 * `begunAt` is not answered, only its result. Kind {@link ITEM} is no step.
 */
export type ExecuteStep = (call: StepCall, computed?: Computed) => Promise<StepAnswer | undefined>;

/** The kinds whose branches the function executes. */
export const BRANCHING: ReadonlySet<string> = new Set(["each", "all", "any"]);

/**
 * The kind of a call by which an `each` with a rate asks whether its next item may begin; the answer comes when it may. Its
 * name is the item's index, its scope the path of the each.
 */
export const ITEM = "item";

/** The kind of a call by which `listen` of a source emits items. */
export const EMIT = "emitItems";

/**
 * The outcome of a step that the worker computed. `lost` holds the paths of branches that are given up: the worker ignores
 * answers for their steps.
 */
export type Computed = { output: Json; lost?: string[] } | { error: ThrownError; lost?: string[] };

/** An error as it is sent between worker and main thread: `name` tells whether it is a TerminalError or RetryAfterError. */
export interface ThrownError extends RecordedError {
  /** Milliseconds, of a RetryAfterError. */
  retryAfter?: number;
  /** Of a CursorExpired. */
  cursor?: Json;
  /** The path of the step that failed with this error, or whose failure caused it. */
  step?: string;
}

export type StepAnswer =
  | { kind: "result"; output: Json }
  | { kind: "failed"; error: ThrownError }
  /** `path` is the step's own. */
  | { kind: "compute"; attempt: number; path: string; given?: Json }
  /**
   * The function never gets an answer to this call: the run ends or is suspended here, or (`lost`) its branch was given up,
   * and the function continues without it.
   */
  | { kind: "abandon"; lost?: true };

/**
 * Rule code threw, or its worker was ended. `name` is that of the error thrown. `blocked` if the worker stopped answering,
 * crashed or exceeded the memory limit while this work was among the suspects: the work is attempted again in a worker of
 * its own.
 */
export class RuleCodeError extends Error {
  override name = "RuleCodeError";
  /** @param at the place in the user's source, if known */
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

/** The worker was ended because of other work in it: this work is repeated as if nothing had happened. */
export class InterruptedError extends Error {
  override name = "InterruptedError";
}

/** The event's data does not pass the validator of the rule's trigger. Never attempted again. */
export class InvalidEventError extends TerminalError {
  override name = "InvalidEventError";
}

/**
 * The path of a step that was called in a branch (`""` if in none). The encoding ensures that two steps never share a path.
 */
export function stepPath(scope: string, name: string): string {
  // A step named `lines[3]` must not be taken for an item of the each `lines`.
  const own = escape(name).replace(/\[(?=\d+\]$)/, "%5B");
  return scope === "" ? own : `${scope}/${own}`;
}

/** The path of a branch of a step: `both/crm`, or `lines[3]` for an item. */
export function branchPath(step: string, branch: string | number): string {
  return typeof branch === "number" ? `${step}[${branch}]` : `${step}/${escape(branch)}`;
}

/** Whether a path is below another one: a step in a branch, or in a branch of a step. */
export function isBelow(path: string, above: string): boolean {
  return path.startsWith(above) && (path[above.length] === "/" || path[above.length] === "[");
}

function escape(name: string): string {
  return name.replaceAll("%", "%25").replaceAll("/", "%2F");
}
