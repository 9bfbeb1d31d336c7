import type { DeviceState, TaskResult } from "../model/fleet.ts";
import type { JsonObject } from "../model/json.ts";

/** A device that gets no work for a while, although the inventory lists it. Times in milliseconds since the epoch. */
export interface StoppedDevice {
  /** Its pings failed, or its init. */
  state: "dead" | "failed";
  since: number;
  /** When it is initialized again. */
  again: number;
  /** Failed pings in a row. */
  failures: number;
  error: string;
}

/** What the replica that looks after a device says of it. Times in milliseconds since the epoch. */
export interface DeviceReport {
  state: DeviceState;
  /** When it got its state. */
  since: number;
  /** Failed pings in a row; absent if there are none. */
  failures?: number;
  error?: string;
}

/**
 * Which of the replicas that share the store looks after a device. A device moves in two steps: it is wanted elsewhere, its owner
 * ends its session and releases it, and then the one that is to have it takes it.
 */
export interface PlaceRow extends DeviceReport {
  fleet: string;
  /** The replica that is to look after it. */
  wanted: string;
  /** When `wanted` was set. */
  wantedAt: number;
  /** The replica that does; absent while none does. */
  owner?: string;
  /** Grows with each owner: what a former owner still writes is refused. */
  epoch: number;
  /** What has happened to its item of the inventory, which the owner does not know yet. */
  news?: "changed" | "removed";
}

/** A device as its owner names it, with the epoch that it was given. */
export type HeldPlace = [name: string, epoch: number];

/** Devices that a replica holds, for writes of that replica. */
export interface Holder {
  replica: string;
  held: HeldPlace[];
}

/** A place with the name of its device. */
export type NamedPlace = PlaceRow & {
  name: string;
  /** When it is initialized again, if it is dead or failed. */
  again?: number;
};

/** A device that was taken, with what its former owner left. */
export interface TakenPlace extends DeviceReport {
  name: string;
  epoch: number;
  stopped?: StoppedDevice;
}

/** What one replica has another one do with devices that the other one holds. */
export interface DeviceOrder {
  from: string;
  to: string;
  fleet: string;
  names: string[];
  /** Absent: dead and failed devices are initialized now. */
  task?: string;
  inputs: JsonObject;
  job: string;
  max?: number;
  timeout?: number;
}

/** An order in the store. */
export interface OrderRow extends DeviceOrder {
  id: string;
  /** Its replica does no more for it: devices without a result are no longer held there. */
  isDone?: true;
  /** Why it could not be executed at all. */
  error?: string;
}

/** What has become of an order so far. */
export interface OrderProgress {
  results: TaskResult[];
  /** The number of the last slice of results. */
  last: number;
  isDone: boolean;
  error?: string;
}

/** The part of the store for devices that several replicas share. Without replicas it is empty. */
export interface PlaceStore {
  /**
   * Sets which replica is to look after devices. Only who decides does this.
   * @param inventory the id of the trigger whose items the devices are
   * @returns the names of those that are in the inventory; the others get no place
   */
  wantPlaces(
    inventory: string,
    fleet: string,
    wanted: [name: string, replica: string][],
    now: number,
  ): Promise<string[]>;
  /** Takes devices that a replica is to look after and that nobody holds. @returns those that it has now */
  takePlaces(replica: string, fleet: string, names: string[]): Promise<TakenPlace[]>;
  /** Gives devices up whose sessions have ended. Those with another epoch stay as they are. */
  releasePlaces(replica: string, fleet: string, held: HeldPlace[]): Promise<void>;
  /** The owner is about to read the items of these devices: later changes are news again. */
  noteNews(replica: string, fleet: string, held: HeldPlace[]): Promise<void>;
  /** Nobody holds the devices of a replica any more, which has ended or was fenced. It executes no orders, and waits for none. */
  freePlaces(replica: string): Promise<void>;
  /** Stores which fleets a replica has, with their versions: all of them, by id. */
  setCarried(replica: string, versions: Record<string, string>): Promise<void>;
  /** The versions of each fleet, by fleet and replica. */
  listCarried(): Promise<Map<string, Map<string, string>>>;
  /** Places of which a replica has something to do, in order of fleet and name, after a place of such a listing. */
  listDuePlaces(replica: string, max: number, after?: NamedPlace): Promise<NamedPlace[]>;
  /** The places of a fleet, in order of their names, after a name. */
  listPlaces(fleet: string, max: number, after?: string): Promise<NamedPlace[]>;
  /** Those of these devices that have a place. */
  getPlaces(fleet: string, names: string[]): Promise<NamedPlace[]>;
  /** How many devices of a fleet have a place, by their states. As of now. */
  countPlaces(fleet: string): Record<DeviceState, number>;
  /** Orders something of another replica. */
  putOrder(id: string, order: DeviceOrder): Promise<void>;
  /** The orders to a replica that it has not done yet, oldest first. */
  listOrders(to: string): Promise<OrderRow[]>;
  /** Stores a slice of results of an order. @returns whether somebody still waits for them */
  addResults(id: string, results: TaskResult[]): Promise<boolean>;
  /** The replica does no more for an order. @param error why it could not be executed */
  endOrder(id: string, error?: string): Promise<void>;
  /** What has become of an order after a slice of its results; undefined if it is forgotten. */
  getOrder(id: string, after: number): Promise<OrderProgress | undefined>;
  /** Forgets an order: it is aborted if it is under way. */
  dropOrder(id: string): Promise<void>;
}

/** Whether a place is as it is wanted, and its owner reports its state. */
export function isSettled({ wanted, owner }: PlaceRow): boolean {
  return wanted === owner;
}
