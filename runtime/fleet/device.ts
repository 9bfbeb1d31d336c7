import type { DeviceState } from "../model/fleet.ts";
import type { Json } from "../model/json.ts";
import type { FleetWorker } from "./fleet_workers.ts";
import type { Edge, GivenDevice, PingTarget } from "./messages.ts";

/** A device of the inventory. */
export interface Device {
  readonly name: string;
  data: Json;
  tags: string[];
  state: DeviceState;
  /** When it got its state, in milliseconds since the epoch. */
  since: number;
  failures: number;
  error?: string;
  /** For one that is dead or failed: when it is initialized again. */
  again?: number;
  target?: PingTarget;
  /** Where its session is, also while that ends. */
  worker?: FleetWorker<Device>;
  index: number;
  /** Its state before its session was lost by another's fault, so that no event is emitted twice. */
  before?: DeviceState;
  isQueued?: true;
  /** It is gone from the inventory; only its session still ends. */
  isRemoved?: true;
}

/** A device as its worker gets it. */
export function givenOf({ index, name, data, target }: Device): GivenDevice {
  return { index, name, data, ...target !== undefined && { target } };
}

/** Devices that have a worker, by it. */
export function byWorker(devices: Device[]): Map<FleetWorker<Device>, Device[]> {
  return Map.groupBy(devices, ({ worker }) => worker!);
}

/** Whether a device in this state has a session. */
export function isLive(state: DeviceState): boolean {
  return state === "initialized" || state === "reachable" || state === "unreachable";
}

/** Whether a device in this state waits for its session. */
export function isComing(state: DeviceState): boolean {
  return state === "waiting" || state === "initializing";
}

/** Messages about a session that lives or begins. */
export type LiveEdge = Exclude<Edge[0], "stopped" | "stop.error">;

/** Whether a session's message fits the state of its device: it may be late, from before the device was given up. */
export function fits(kind: LiveEdge, state: DeviceState): boolean {
  if (kind === "initialized" || kind === "init.error") return state === "initializing";
  return isLive(state) || (kind === "reinit" && state === "initializing");
}
