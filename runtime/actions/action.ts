import { createHash } from "node:crypto";
import type { z } from "zod";
import type { LiveOutput } from "../host/program_output.ts";
import type { ConnectionTokens } from "../connections/connection.ts";
import type { FileDraft, NewFile } from "../host/run_files.ts";
import type { runChild } from "../host/spawn.ts";
import type { Args, Kind, OptionSchemas, ReadArgs, Schemas } from "../language/kind.ts";
import type { Event, SavedFile } from "../model/event.ts";
import type { Fleets } from "../model/fleet.ts";
import type { Json, JsonObject } from "../model/json.ts";
import type { EventIdentity, ItemWrites, Receipt, StepEffects, TriggerKey } from "../store/store.ts";
import type { Target } from "../model/target.ts";
import type { Mail, SentMail } from "./mailer.ts";

/** An action: its schemas, and the function that executes a step of this kind. */
export interface Action extends Kind {
  /** The policy of steps that set none. */
  defaults: { timeout: number; attempts: number };
  /** Whether it shows nothing outside before its record is on disk. A run that begins with it need not wait until its event is on disk. */
  staysInside?: true;
  /** Whether a failure of this kind is worth another attempt when the policy has attempts left. */
  retries?(error: unknown): boolean;
  /**
   * Runs one attempt; returns no promise if there is nothing to wait for.
   * @param args as parsed by the schemas, with templates resolved
   * @throws TerminalError, RetryAfterError, TimeoutError, or anything else
   */
  execute(args: JsonObject, context: ActionContext): Outcome | Promise<Outcome>;
}

/** An action whose functions see the arguments with the types that its schemas give. */
interface ActionDefinition<S extends Schemas> extends Omit<Action, keyof Schemas | "check" | "address" | "execute"> {
  /** See {@link Kind.check}. */
  check?: (args: ReadArgs<S>, now: number) => string[];
  /** See {@link Action.execute}. */
  execute: (args: Args<S>, context: ActionContext<ReadArgs<S>>) => Outcome | Promise<Outcome>;
}

/** Defines an action; the types of its arguments follow from `main` and `options`. */
export function defineAction<const Name extends string, Main extends z.ZodType, Options extends OptionSchemas>(
  action: Schemas<Name, Main, Options> & ActionDefinition<Schemas<Name, Main, Options>>,
): Omit<Action, keyof Schemas> & Schemas<Name, Main, Options> {
  // Callers parse the arguments with these schemas.
  return action as Omit<Action, keyof Schemas> & Schemas<Name, Main, Options>;
}

export interface Outcome {
  output: Json;
  /** Stored together with the step's record. */
  effects?: StepEffects;
  /** Called when the record is on disk. After a crash in between it is not called again. */
  onRecorded?: () => void;
}

/** What an action can reach. */
export interface ActionContext<Recorded = JsonObject> {
  run: { id: string; rule: string; trigger: string; event: Event };
  /** The step's path in the run, with iterations. */
  path: string;
  /** The same, also for requests of its code, whose `path` is longer; absent outside a run. */
  step?: string;
  attempt: number;
  /**
   * The arguments as they are recorded, with expressions instead of secrets; absent if they are the same. Messages name
   * these, because messages are recorded, too.
   */
  recorded?: Recorded;
  /** Aborted by the step's timeout, by cancelling the run, and at shutdown. */
  signal: AbortSignal;
  /** The rules folder and the rule file's folder, absolute. */
  folder: string;
  ruleFolder: string;
  services: ActionServices;
  /** The parts of its result that the step records before it ends. */
  parts: StepParts;
  /** Whether the step continues after a part of it has failed: `onError: continue`. */
  continuesOnError?: boolean;
  /** The function of the rule that belongs to the step, if there is one. */
  compute?: (given: Json) => Promise<Json>;
}

/** Parts of a step's result, recorded as they come: a crash loses none of them. */
export interface StepParts {
  /** Those recorded so far, also by earlier attempts and executions of the run. */
  read(): { name: string; attempt: number; output: Json }[];
  /** @param name several may have the same one */
  add(name: string, output: Json): Promise<void>;
}

/** The part of the fleets that tasks need. */
export type TaskFleets = Pick<Fleets, "task">;

/** The services that the program offers to actions. */
export interface ActionServices {
  /** Sends an event on behalf of the run; its id is stable over attempts. */
  emit(
    event: { type: string; data: Json; subject?: string; id: string; trace?: string },
    run: ActionContext["run"],
  ): Promise<Receipt>;
  /** Writes a line to the program's log. */
  log(level: "debug" | "info" | "warn" | "error", message: string, details: JsonObject): void;
  /** The value of the signed causality header for outgoing requests. */
  causeHeader(run: ActionContext["run"]): string;
  /** The headers `traceparent` and `tracestate` of requests of a step. @returns undefined if no traces are sent */
  traceHeaders?(step: { run: ActionContext["run"]; step: string }): Record<string, string> | undefined;
  /** The environment of child processes: that of this process without secrets. */
  childEnv(): Record<string, string>;
  /** Reads memory across runs. */
  getState(key: string): Promise<Json | undefined>;
  /** Calls an exported function, or a function of a source or an action, of a bundled module in a worker. */
  callModule(call: ModuleCall, context: ActionContext<unknown>): Promise<Json>;
  /** The source of the poll that started the run. @throws TerminalError if no poll did */
  patched(context: ActionContext<unknown>): PatchedSource;
  /** Hands a mail to the SMTP server. */
  sendMail(mail: Mail, signal: AbortSignal): Promise<SentMail>;
  /** Whether a request still waits for the reply to an event, which a run answers. */
  awaitsReply(event: EventIdentity, run: ActionContext["run"]): boolean;
  /** The fleets of the program. */
  fleets(): TaskFleets;
  /** Waits until the destination's rate limit has room. */
  admitRequest(url: URL, signal: AbortSignal): Promise<void>;
  /** The tokens of connections. */
  connections: ConnectionTokens;
  /** Begins a file in the run's folder. */
  createFile(file: NewFile): Promise<FileDraft>;
  /** Reads a file that a run has saved or a sender has uploaded. @throws TerminalError if it is no such file */
  readFile(file: SavedFile): Promise<Uint8Array>;
  /** The folder of a run, absolute; it is made if it does not exist yet. */
  runFolder(run: string): Promise<string>;
  /** Makes files durable that a program has left in a run's folder. */
  keepFiles(files: SavedFile[]): Promise<void>;
  /** A new folder that only this user can read, for secrets. A killed program may leave it; the next start removes it. */
  privateFolder(): Promise<string>;
  /** Shows what a program prints on the run's page, until it is closed. @default it is not shown */
  showOutput?(run: string, step: string, charset: string | undefined): LiveOutput;
  /** The value of a secret, by name. */
  secretOf(name: string): string | undefined;
  /** Sends requests. @default the network */
  fetch?: typeof fetch;
  /** Starts commands. @default this machine */
  runChild?: typeof runChild;
}

/** The source of the poll that started a run, as `patch` writes to it. */
export interface PatchedSource {
  trigger: TriggerKey;
  /** For messages. */
  name: string;
  /** The same for all triggers that read it. */
  sourceKey: string;
  /** The item as it is now; null if it no longer exists. */
  one(key: string): Promise<Json>;
  /** Changes an item, and returns it as it is then. @param patch a merge patch */
  update(key: string, patch: JsonObject): Promise<Json>;
  /** What is known of the item: in the baseline, and of writes to it. */
  known(key: string): Promise<{ item?: Json; writes: ItemWrites }>;
  /** Stores the patch before it is sent. @returns all that this step may have sent, in earlier attempts too */
  begin(key: string, sent: JsonObject): Promise<JsonObject>;
}

/** A call of the code of a module. */
export interface ModuleCall extends Target {
  /** The values under `with`. */
  inputs: JsonObject;
  /** Which function of a source; an action has only one. */
  method?: "read" | "one" | "update" | "listen";
  /** What the function of a source gets besides the inputs: `cursor`, `key`, `patch`. */
  more?: JsonObject;
  /** The connection of its requests, unless a request names one. */
  auth?: { connection: string };
  /** Stores what `listen` emits. */
  emit?: (items: JsonObject) => Promise<void>;
}

/** What makes a request or a command part of the trace of its step: nothing outside a run, and if no traces are sent. */
export function traceHeadersOf({ run, step, services }: ActionContext<unknown>): Record<string, string> {
  return step === undefined ? {} : services.traceHeaders?.({ run, step }) ?? {};
}

/** A key of a step that is the same on each attempt, so that the receiver can recognise duplicates. */
export function attemptKey({ run, path }: Pick<ActionContext, "run" | "path">): string {
  // Hashed, because a path may contain characters that a header cannot.
  return createHash("sha256").update(`${run.id}/${path}`).digest("hex").slice(0, 32);
}

/**
 * Writes a file of a step, and leaves none if that fails.
 * @param what for messages: `the answer to GET https://example.org/`
 * @param fill writes the draft and keeps it
 */
export async function saving<T>(
  { run, path, services }: ActionContext<unknown>,
  { name, what }: { name: string; what: string },
  fill: (draft: FileDraft) => Promise<T>,
): Promise<T> {
  const draft = await services.createFile({ run: run.id, step: path, name, what });
  try {
    return await fill(draft);
  } catch (error) {
    await draft.discard();
    throw error;
  }
}
