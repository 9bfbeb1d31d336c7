import type { Due, Duration, Rate } from "./durations.ts";
import type { Event, SavedFile } from "../model/event.ts";
import type { TaskResult } from "../model/fleet.ts";
import type { Json } from "../model/json.ts";
import type { TypedEvent } from "./event_data.ts";
import type { FormFields, FormOptions, FormResult, GivenInputs } from "./fields.ts";
import type {
  ActionCalls,
  CallOptions,
  EmitOptions,
  HttpOptions,
  LogOptions,
  MailOptions,
  PatchOptions,
  ReplyOptions,
  RunOptions,
  StateOptions,
  StepOptions,
  TaskOptions,
} from "./generated/options.ts";
import type { ActionDefinition, HttpResult } from "./source.ts";
import type { TriggerDefinition } from "./trigger_definition.ts";
import type { EventOf } from "./triggers.ts";

/** The type of a value after it was recorded: properties with the value undefined are left out, and no value becomes null. */
type Recorded<T> = T extends undefined | void ? null : T;

export interface RunResult<Output, Stdout = string> {
  code: number;
  stdout: Stdout;
  stderr: string;
  /** Stdout as JSON; null if it is no JSON. */
  json: Output | null;
  /** With `keep: "tail"`: the bytes that are missing in front of each. */
  dropped?: { stdout: number; stderr: number };
}

export interface PatchResult<Item> {
  key: string;
  /** The merge patch that was sent; empty if nothing differed. */
  sent: Record<string, Json>;
  /** The item as it is then. */
  item: Item;
  /** With `ifChanged: "skip"`: the fields that somebody had changed, so that nothing was sent. */
  skipped?: string[];
}

/** A name of a device, a list of names, devices by tags, or `all`. */
type TaskRecipients = string | readonly string[] | { tags: readonly string[] };

/** The answers of several devices, in the order of their names in `to`. */
export interface TaskResults<Return = Json> {
  total: number;
  failed: number;
  results: TaskResult<Return>[];
}

/** The mail server's response. */
export interface MailResult {
  messageId: string;
  /** Recipients that it accepted, and those that it rejected. */
  accepted: string[];
  rejected: string[];
}

export interface ReplyResult {
  status: number;
  /** False if no request waits for an answer (any more). */
  sent: boolean;
  reason?: string;
}

/**
 * All effects of a rule function. Each call is a step; its name is the first argument. A recorded step is not executed
 * again when the run resumes. A repeated name becomes `name#2`.
 */
export interface Step extends ActionCalls {
  /**
   * Any code. Its return value is recorded and must be JSON. Throw TerminalError or RetryAfterError to decide about
   * retries.
   */
  do<T>(name: string, fn: (attempt: { attempt: number }) => T, options?: StepOptions): Promise<Recorded<Awaited<T>>>;
  /** `step.http("tell", "POST https://…", { json })` */
  http(name: string, request: string, options: HttpOptions & { save: string }): Promise<HttpResult<SavedFile>>;
  http<Body = Json>(name: string, request: string, options?: HttpOptions): Promise<HttpResult<Body>>;
  /** Runs a command: `step.run("disks", ["df", "-h"])`, or a string for the shell. */
  run(
    name: string,
    command: string | readonly string[],
    options: RunOptions & { save: string },
  ): Promise<RunResult<null, SavedFile>>;
  run<Output = Json>(
    name: string,
    command: string | readonly string[],
    options?: RunOptions,
  ): Promise<RunResult<Output>>;
  /**
   * Calls `./x.ts#fn`, the action `./lib/tell.yaml`, or the command `./commands/curl.yaml`, whose result is that of `run` with
   * `argv` and `files`; or the action of a package: `step.call(comment, "say", { text })`. Only a command takes `stdin`,
   * `save`, `format`, `charset`, `keep` and `ok`.
   */
  call<I, Output>(
    action: ActionDefinition<I, Output>,
    name: string,
    inputs: GivenInputs<I>,
    options?: StepOptions & { auth?: { connection: string } },
  ): Promise<Recorded<Output>>;
  call<T = Json>(name: string, target: string, options?: CallOptions): Promise<T>;
  /**
   * Changes the item of a poll's event at its source: with a merge patch, or a function that makes the changed item of the item as it
   * is now. Only what differs is sent, and no event of this trigger reports that.
   * @example await step.patch("stamp", { notes: "Seen" })
   */
  patch<Item = Json>(
    name: string,
    change: Record<string, unknown> | ((item: Item) => unknown),
    options?: PatchOptions,
  ): Promise<PatchResult<Item>>;
  /**
   * Sends a task to devices of a fleet. Its `timeout` is one of each device.
   * @example await step.task("reboot it", "reboot", { fleet: "plant/plc", to: "press-1" })
   */
  task<Return = Json, const To extends TaskRecipients = string>(
    name: string,
    task: string,
    options: TaskOptions & { to: To },
  ): Promise<
    To extends "all" | readonly string[] | { tags: readonly string[] } ? TaskResults<Return> : TaskResult<Return>
  >;
  emit(name: string, type: string, options?: EmitOptions): Promise<Omit<Event, "time">>;
  log(name: string, text: string, options?: LogOptions): Promise<null>;
  /** Memory across runs: sets a key and returns the previous value; without `value` it reads the key. */
  state<T = Json>(name: string, key: string, options?: StateOptions): Promise<T | null>;
  /** Answers the waiting webhook. */
  reply(name: string, status: number, options?: ReplyOptions): Promise<ReplyResult>;
  mail(name: string, to: string | readonly string[], options: MailOptions): Promise<MailResult>;
  /** Waits for some time (`1h`), or until a time: in RFC 3339, or the next `09:00`. */
  wait<const Text extends string>(name: string, until: Due<Text>, options?: WaitOptions): Promise<null>;
  /**
   * Waits for an event, including one that came since the run began. Null if none came within `timeout`, or if an operator
   * ended the wait.
   * @example const paid = await step.waitFor<Payment>("paid", "payment.received", { match: { "data.id": id }, timeout: "3d" })
   */
  waitFor<Data = Json, const Type extends string = string>(
    name: string,
    type: Type | readonly Type[],
    options?: WaitForOptions,
  ): Promise<EventOf<Type, Data> | null>;
  /**
   * For an event that is defined in one place: `const payment = event("payment.received", type<Payment>())` above the rule,
   * and `step.waitFor("paid", payment)`. Its validator, if any, checks the event that came.
   */
  waitFor<E extends TypedEvent<string, unknown>>(
    name: string,
    event: TriggerDefinition<E>,
    options?: WaitForOptions,
  ): Promise<E | null>;
  /**
   * Asks people. With a `timeout` the result is null if nobody answered in time, or if an operator ended the wait.
   * @example const { decision, by } = await step.form("ok", "Refund?", { to: "finance", fields: { decision: { type: "choice", choices: ["yes", "no"] } } })
   */
  form<const Fields extends FormFields = Record<never, never>>(
    name: string,
    title: string,
    options: FormOptions<Fields> & { timeout: Duration },
  ): Promise<FormResult<Fields> | null>;
  form<const Fields extends FormFields = Record<never, never>>(
    name: string,
    title: string,
    options: FormOptions<Fields> & { timeout?: undefined },
  ): Promise<FormResult<Fields>>;
  /**
   * Runs a function for each item. The first failure cancels the others and is thrown; with `onError: "continue"` all
   * items are executed, and the result lists the failed ones.
   * @example await step.each("lines", order.lines, async (line) => { await step.http("save", "POST …", { json: line }) }, { max: 5 })
   */
  each<Item, Result>(
    name: string,
    items: readonly Item[],
    fn: (item: Item, index: number) => Result,
    options?: EachOptions & { onError?: "stop" },
  ): Promise<EachResult<Recorded<Awaited<Result>>>>;
  each<Item, Result>(
    name: string,
    items: readonly Item[],
    fn: (item: Item, index: number) => Result,
    options: EachOptions & { onError: "continue" },
  ): Promise<EachResult<Recorded<Awaited<Result>> | null>>;
  /**
   * Runs branches concurrently, and returns the result of each. The first failure cancels the others and is thrown.
   * With `join: 2` the first two that succeed are enough, and the others are cancelled.
   * @example const { crm, mail } = await step.all("both", { crm: () => step.http("post", …), mail: () => step.mail("tell", …) })
   */
  all<B extends Branches>(name: string, branches: B, options?: { join?: undefined }): Promise<AllResult<B>>;
  all<B extends Branches>(name: string, branches: B, options: { join: number }): Promise<SomeResult<B>>;
  /** Runs branches concurrently; the first that succeeds wins, and the others are cancelled. */
  any<B extends Branches>(name: string, branches: B): Promise<AnyResult<B>>;
  /** Ends the run here. */
  stop(name: string, reason: string, options?: { as?: "succeeded" | "failed" }): Promise<never>;
}

export interface WaitOptions {
  /** A time at which it ends at the latest. */
  until?: string;
  /** Time zone of a time such as `09:00`. @default the variable TZ, else UTC */
  timezone?: string;
}

export interface WaitForOptions {
  /** Values that the event must have, by path: `{ "data.id": order.id }`. */
  match?: { readonly [path: string]: Json | readonly Json[] };
  /** How long to wait: `3d`. Without it the run waits until the event comes. */
  timeout?: Duration;
}

/** Branches by name. Steps in them are called on the same `step`; their paths begin with the path of the branch. */
export type Branches = { readonly [name: string]: () => unknown };

/** The result of a branch. */
type BranchResult<Branch> = Branch extends () => infer Result ? Recorded<Awaited<Result>> : never;

/** The results of all branches. */
export type AllResult<B extends Branches> = { -readonly [Name in keyof B]: BranchResult<B[Name]> };

/** The results of the branches that succeeded first; null for those that failed or were cancelled. */
export type SomeResult<B extends Branches> = { -readonly [Name in keyof B]: BranchResult<B[Name]> | null };

/** The branch that succeeded first, with its result. `winner` is its name, so that `result` has that branch's type. */
export type AnyResult<B extends Branches> = {
  [Name in keyof B & string]: { winner: Name; result: BranchResult<B[Name]> };
}[keyof B & string];

export interface EachOptions {
  /** How many items at once. @default 1 */
  max?: number;
  /** How fast items may begin: `10/s`. */
  rate?: Rate;
}

/** The result of an `each`. */
export interface EachResult<Result> {
  total: number;
  failed: number;
  /** By item. */
  results: Result[];
  errors: EachError[];
}

/** An item that failed. */
export interface EachError {
  index: number;
  /** The path of the step that failed; if no step failed, that of the item. */
  step: string;
  message: string;
}
