import type { PingSettings } from "../model/fleet.ts";
import type { Json } from "../model/json.ts";
import type { LogLevel } from "../workers/thread_messages.ts";

/** Data of a worker of a fleet at its start. */
export interface FleetSetup {
  fleet: string;
  /** The platform: its file, for messages, its bundle, and the name of the export. */
  platform?: { file: string; code: string; name: string };
  secrets: Record<string, string>;
  settings: SessionSettings;
}

/** Settings of sessions, which may change while they run. Times in milliseconds. */
export interface SessionSettings {
  ping?: Pick<PingSettings, "every" | "timeout" | "down"> & { by?: "tcp" | "http" | "run" };
  initTimeout: number;
  stopTimeout: number;
}

/** The target of a built-in ping: `host:port`, a URL, or a command; resolved for the device. */
export type PingTarget = string | string[];

/** A device as its worker gets it. `index` is its place in the worker, used until the session is `stopped`. */
export interface GivenDevice {
  index: number;
  name: string;
  data: Json;
  target?: PingTarget;
}

/** A task for one device. */
export interface GivenTask {
  id: number;
  index: number;
  task: string;
  inputs: Json;
  job: string;
  timeout: number;
}

/** From the main thread to a worker of a fleet. */
export type ToFleetThread =
  | { type: "settings"; settings: SessionSettings }
  /** Begins their inits. */
  | { type: "init"; devices: GivenDevice[] }
  /** Their items have changed. */
  | { type: "update"; devices: GivenDevice[] }
  /** Ends their sessions. */
  | { type: "stop"; indexes: number[] }
  | { type: "tasks"; tasks: GivenTask[] }
  /** Aborts tasks whose results are no longer needed. */
  | { type: "abort"; tasks: number[] }
  /** A program that pings has ended. */
  | { type: "ran"; run: number; error: string | null }
  | { type: "ask"; request: number; indexes: number[]; info: boolean }
  /** Is answered at once, unless the code blocks. */
  | { type: "alive" }
  /** Ends all sessions. */
  | { type: "close" };

/**
 * A change of a device.
 * - `reinit`: a field of its item that the platform uses has changed, so it needs a new session
 * - `stopped`: its session has ended; its index is free
 */
export type Edge = [
  kind:
    | "initialized"
    | "init.error"
    | "reachable"
    | "unreachable"
    | "dead"
    | "reinit"
    | "stop.error"
    | "stopped",
  index: number,
  error?: string,
];

/** The error of a task that was aborted. */
export const ABORTED = "aborted";

/** How a task ended. */
export interface TaskEnd {
  id: number;
  error: string | null;
  return: Json;
  /** When it began, in milliseconds since the epoch. */
  at: number;
  executionTime: number;
}

/** Details of a device beside its state. */
export interface SessionFacts {
  index: number;
  failures: number;
  lastPing?: number;
  info?: Json;
}

/** From a worker of a fleet to the main thread. */
export type FromFleetThread =
  /** Its platform is loaded. */
  | { type: "ready" }
  /** Its platform does not load. */
  | { type: "unusable"; error: string }
  | { type: "edges"; edges: Edge[] }
  | { type: "ended"; tasks: TaskEnd[] }
  /** Runs programs that ping, on the main thread: children of a worker would outlive it. */
  | { type: "run"; run: number; command: PingTarget; timeout: number }
  | { type: "facts"; request: number; devices: SessionFacts[] }
  | { type: "alive" }
  | { type: "closed" }
  /** Sent before the secret's value is handed out. */
  | { type: "secret"; name: string }
  | { type: "log"; level: LogLevel; message: string };
