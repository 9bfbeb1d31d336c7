import type { Json, JsonObject } from "./json.ts";
import type { Position } from "./problem.ts";
import type { Field, Rule } from "./rule.ts";

/**
 * - **fleet**: devices of one platform, declared by a file with `devices:`. Its id is the file's path without extension
 * - **inventory**: where its devices are listed: a list, a poll, watched files, a source
 * - **platform**: how a device is spoken to: a TypeScript module with `device({…})`, or pings and tasks of the file
 * - **device**: an item of the inventory, with its session. Its name is the value of `key`, unique in its fleet
 * - **task**: an order to a device, by hand or by a step, with typed inputs
 */

/** One checked fleet file. Plain data; only the loader creates it. */
export interface Fleet {
  id: string;
  /** Path relative to the rules folder, with forward slashes. */
  file: string;
  /** Of the value of `devices:`. */
  at: Position;
  name?: string;
  help?: string;
  /** Hash of everything below. */
  version: string;
  /** Hash of the platform's code, on which sessions depend. If it changes, all devices are initialized again. */
  platformVersion: string;
  /**
   * The inventory as a poll of a rule, which is not one of the folder's rules: its id is that of the fleet, and its trigger's id is `devices`. It has no
   * trigger if the file lists the devices itself. It also carries the code that the fleet calls.
   */
  inventory: Rule;
  /** The devices, if the file lists them itself. */
  list?: Json[];
  /** The files that list the devices, if there are any. */
  files?: FleetFiles;
  /** CEL over `item`: a device's name, and its tags. */
  key: string;
  tags?: string;
  /** The bundled platform module, and its file; absent if the fleet has built-in pings and tasks by `call` only. */
  platform?: {
    file: string; /** Which export of the module it is. */
    name: string;
    code: string;
    methods: PlatformMethod[];
  };
  /** Absent if neither the file nor the module says how to ping: then devices are never unreachable. */
  ping?: PingSettings;
  init: InitSettings;
  /** By name: those of the module and of the file. */
  tasks: Record<string, FleetTask>;
}

/** The files of an inventory: each holds a list of devices, or one device. */
export interface FleetFiles {
  /** A pattern, relative to the fleet file's folder. */
  watch: string;
  /** A value of the option `format` of a watch. */
  format: string | JsonObject;
  charset?: string;
  /** CEL over `body` and `name` of a file: where in it the list is. */
  items?: string;
  /** Files are read once they have not changed for so long; milliseconds. */
  settle: number;
  /** The most devices of all files together; more is an error. */
  max: number;
}

/** The functions that a platform module has. */
export const PLATFORM_METHODS = ["init", "ping", "stop", "info"] as const;

export type PlatformMethod = typeof PLATFORM_METHODS[number];

/** How a device is pinged. Times in milliseconds. */
export interface PingSettings {
  /** A built-in ping, with templates over `device`; absent if the module pings. */
  by?: { kind: "tcp" | "http"; target: string } | { kind: "run"; command: string | string[] };
  /** The next ping begins after a random time between these two. */
  every: [number, number];
  timeout: number;
  /** After this many failed pings in a row it is dead. */
  down: number;
}

/** How a device is initialized. Times in milliseconds. */
export interface InitSettings {
  timeout: number;
  /** The most inits at once, in the fleet. */
  max: number;
  /** How long a device that is dead, or could not be initialized, is left alone. */
  again: number;
}

/** A task of a fleet. */
export interface FleetTask {
  name: string;
  title?: string;
  help?: string;
  inputs: Record<string, Field>;
  /** How many may run on one device at once. */
  max: number;
  /** Milliseconds; an order may set another one. */
  timeout: number;
  /** People and groups who may send it by hand, beside operators; absent if the file does not say. */
  to?: string[];
  /** The action that it calls, if the file declares it; absent for a task of the module. Templates over `device` and `inputs`. */
  call?: { call: string; with?: JsonObject };
}

/**
 * - `distributing`: with several replicas, none of them has it yet, or it moves from one to another
 * - `waiting` for its turn to be initialized
 * - `initializing`
 * - `initialized`, and not pinged yet; stays so in a fleet without pings
 * - `reachable`: its last ping worked
 * - `unreachable`: its last ping failed
 * - `dead`: too many pings in a row failed; its session is stopped; initialized again after `again`
 * - `failed`: it could not be initialized; initialized again after `again`
 */
export const DEVICE_STATES = [
  "distributing",
  "waiting",
  "initializing",
  "initialized",
  "reachable",
  "unreachable",
  "dead",
  "failed",
] as const;

export type DeviceState = typeof DEVICE_STATES[number];

/** A device as people and rules see it. Times in milliseconds since the epoch. */
export interface DeviceView {
  fleet: string;
  /** Its name. */
  device: string;
  state: DeviceState;
  tags: string[];
  /** Its item of the inventory. */
  data: Json;
  /** The platform's `info` on its session; only if one device is asked for, and it has a session. */
  info?: Json;
  /** When it got its state. */
  since: number;
  /** Failed pings in a row. */
  failures: number;
  /** When its last ping ended; absent if it was not pinged since the program started. */
  lastPing?: number;
  /** Why it is unreachable, dead or failed. */
  error?: string;
  /** For a dead or failed device: when it is initialized again. */
  again?: number;
  /** The replica that looks after it, if several share the devices; absent while none does. */
  owner?: DeviceOwner;
}

/** A replica that looks after devices. */
export interface DeviceOwner {
  replica: string;
  host: string;
  /** Null until it listens. */
  address: string | null;
}

/** A fleet with its counts. */
export interface FleetSummary {
  fleet: Fleet;
  total: number;
  counts: Record<DeviceState, number>;
  /** Why its inventory cannot be read, or its worker does not start; null if all is well. */
  problem: string | null;
}

/** Which devices: a name, a list of names, those with any of some tags, or `all`. `[]` is none. */
export type Recipients = string | string[] | { tags: string[] };

/** A device's answer to a task. */
export type TaskResult<Return = Json> = {
  /** The id of the order: each attempt has the same. */
  job: string;
  device: string;
  /** The host that sent it. */
  worker: string;
  success: boolean;
  /** Null if it succeeded. */
  error: string | null;
  /** The task's return value; null if it failed. */
  return: Return;
  /** When it began, as ISO time. */
  at: string;
  /** Milliseconds. */
  executionTime: number;
};

/** The result of a task for several devices. */
export interface TaskResults {
  total: number;
  failed: number;
  /** Of all devices; if these are too large together, of those that failed. */
  results: TaskResult[];
}

/** A task for devices. */
export interface TaskOrder {
  fleet: string;
  task: string;
  to: Recipients;
  /** Checked against the task's `inputs`; defaults are added. */
  inputs: JsonObject;
  /** Given to the platform, which may use it as an idempotency key. */
  job: string;
  /** The most devices at once. @default 100 */
  max?: number;
  /** Milliseconds for one device, its wait for its own turn not counted. @default the task's own */
  timeout?: number;
  /** Names of devices that have a result of this job already: they are left out. */
  done?: ReadonlySet<string>;
  /** Aborted: devices that were not sent the task get no result; those under way are aborted. */
  signal?: AbortSignal;
}

/** Which devices to list. */
export interface DeviceSearch {
  states?: DeviceState[];
  /** Any of these tags. */
  tags?: string[];
  /** A part of the name. */
  name?: string;
  /** Devices after this name, in the order of names. */
  after?: string;
  /** @default 100 */
  max?: number;
}

/** The fleets of the program, as steps, commands, the API and pages use them. */
export interface Fleets {
  /** All fleets in order of their ids. */
  list(): FleetSummary[];
  get(fleet: string): FleetSummary | undefined;
  /** Devices in order of their names. @throws UsageError if there is no such fleet */
  devices(fleet: string, search?: DeviceSearch): Promise<{ devices: DeviceView[]; total: number }>;
  /** One device, with `info`. */
  device(fleet: string, name: string): Promise<DeviceView | undefined>;
  /**
   * The names that recipients stand for now, each once. A name that is not in the inventory stays, and gets a failure.
   * @throws UsageError if there is no such fleet, or they are no recipients (null)
   */
  recipients(fleet: string, to: Recipients): Promise<string[]>;
  /**
   * Sends a task. `onResults` is awaited before more devices are sent it, so that results can be stored as they come: in
   * slices, at least once a second. A device that is absent, has no session or dies meanwhile gets a failure; no failure of a device
   * throws.
   * @returns when all devices have a result
   * @throws UsageError for an unknown fleet or task and for wrong inputs; the reason of the signal
   */
  task(order: TaskOrder, onResults: (results: TaskResult[]) => void | Promise<void>): Promise<void>;
  /** Initializes a dead or failed device now. @returns false if it is neither */
  again(fleet: string, name: string): Promise<boolean>;
  /** Events of devices by type since the start, also those without a listener. */
  eventCounts(): Record<string, number>;
}
