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
  /** When it is initialized again, if it is dead or failed. */
  again?: number;
  target?: PingTarget;
  /** The worker of its session, also while the session ends. */
  worker?: FleetWorker<Device>;
  index: number;
  /** Its state before its worker ended because of another device, so that no event is emitted twice. */
  before?: DeviceState;
  isQueued?: true;
  /** It was removed from the inventory; only its session still ends. */
  isRemoved?: true;
}

/** A device that waits for its init. Has all fields from the start: those added later would take twice the memory. */
export function newDevice(name: string, data: Json, tags: string[], since: number): Device {
  return {
    name,
    data,
    tags,
    state: "waiting",
    since,
    failures: 0,
    error: undefined,
    again: undefined,
    target: undefined,
    worker: undefined,
    index: -1,
    before: undefined,
    isQueued: undefined,
    isRemoved: undefined,
  };
}

/** A device as its worker gets it. */
export function givenOf({ index, name, data, target }: Device): GivenDevice {
  return { index, name, data, ...target !== undefined && { target } };
}

/** Groups devices, which all have a worker, by worker. */
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

/** The kinds of messages about a session that runs or begins. */
export type LiveEdge = Exclude<Edge[0], "stopped" | "stop.error">;

/** Whether a message about a session fits the state of its device. A late one, from before a change of state, does not. */
export function fits(kind: LiveEdge, state: DeviceState): boolean {
  if (kind === "initialized" || kind === "init.error") return state === "initializing";
  return isLive(state) || (kind === "reinit" && state === "initializing");
}
