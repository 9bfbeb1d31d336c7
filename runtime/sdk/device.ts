import type { Duration } from "./durations.ts";
import type { Json } from "../model/json.ts";
import type { ConfigSpec, InputValues } from "./fields.ts";
import type { TypeOnly } from "./event_data.ts";
import { CodeDefinition, DeviceDefinition } from "./source.ts";

/** Arguments of all functions of a platform. */
export interface DeviceScope<Data> {
  /** The device's item of the inventory. */
  device: Data;
  /** Its name. */
  name: string;
  /** Aborted by the time limit, when the device is removed, and when the program stops. */
  signal: AbortSignal;
  env: Readonly<Record<string, string | undefined>>;
  /** Reading a secret that is not set throws. */
  secrets: Readonly<Record<string, string>>;
}

/** Arguments of functions that need a session: the result of `init`, null without one. */
export interface SessionScope<Data, Session> extends DeviceScope<Data> {
  session: Session;
}

/** Arguments of the function of a task. */
export interface TaskScope<Data, Session, I> extends SessionScope<Data, Session> {
  inputs: InputValues<I>;
  /** The same on each attempt, so that a device can detect duplicates. */
  job: string;
}

/** The argument of `task()`. */
export interface TaskSpec<Data, Session, I extends ConfigSpec> {
  title?: string;
  help?: string;
  /** Its inputs, as fields: `{ register: { type: "integer" } }`. */
  inputs?: I;
  /** How many may run on one device at once. @default 1 */
  max?: number;
  /** @default "30s" */
  timeout?: Duration;
  /** Its result, as JSON, is `return` of the device's result. */
  run(scope: TaskScope<Data, Session, I>): unknown;
}

/** A task of a platform. */
export class TaskDefinition<in Data = never, in Session = never> {
  /** Never set; carries the types. */
  declare readonly types?: (item: Data, session: Session) => void;
  constructor(readonly spec: { run: (scope: never) => unknown }) {}
}

/** The argument of `device()`. Each function has a time limit and fails by throwing. */
export interface DeviceSpec<Data = Json, Session = unknown> {
  /** Names the type of an item of the inventory: `item: type<{ host: string }>()`; then the session's type is inferred, too. */
  item?: TypeOnly<Data>;
  /** Connects. Its result is the `session` of the other functions. Without it devices need no connection. */
  init?(scope: DeviceScope<Data>): Session | Promise<Session>;
  /** Whether the device answers. Without it the fleet's file says how to ping. */
  ping?(scope: SessionScope<Data, Session>): unknown;
  /** By name; each is made by {@link task}. */
  tasks?: Readonly<Record<string, TaskDefinition<Data, Session>>>;
  /** Disconnects, also after `init` has failed: then the session is null. */
  stop?(scope: SessionScope<Data, Session | null>): unknown;
  /** Details of the session for people: any JSON. */
  info?(scope: SessionScope<Data, Session>): unknown;
}

/**
 * Declares a platform: how its devices are initialized, pinged and stopped, and which tasks they execute. It is the default
 * export of the module that a file with `devices:` names under `device:`.
 */
// deno-lint-ignore no-explicit-any -- with `device<{ host: string }>({…})`, TypeScript does not infer the session
export function device<Data = Json, Session = any>(spec: DeviceSpec<Data, Session>): DeviceDefinition<Data> {
  return new DeviceDefinition<Data>(new CodeDefinition("device", spec));
}

/** Declares a task of a platform. `session` has its type if `run` says so: `run: ({ session }: { session: Client }) => …`. */
// deno-lint-ignore no-explicit-any -- TypeScript does not look at the functions beside `tasks` here
export function task<Data = any, Session = any, const I extends ConfigSpec = Record<never, Json>>(
  spec: TaskSpec<Data, Session, I>,
): TaskDefinition<Data, Session> {
  return new TaskDefinition<Data, Session>(spec);
}
