import type { Progress } from "./arrival.ts";
import type { OwnEvent, OwnEventType } from "../model/own_events.ts";

/** Who listens to the program's own events. */
export interface OwnListening {
  isHeard: (type: OwnEventType) => boolean;
  /** There are notices. */
  onNotice: () => void;
}

/** An own event that is not accepted yet. */
export interface Notice extends OwnEvent {
  id: string;
  /** Milliseconds since the epoch. */
  at: number;
}

/** A fault in the program's surroundings, such as a failing poll; reported when it begins, not again while it lasts. */
export interface Condition {
  /** Milliseconds since the epoch. */
  since: number;
  /** What it is about, by name: a rule and a trigger, a file. */
  about: Record<string, string>;
  reason: string;
}

/** A change of a condition. */
export interface ConditionChange extends Pick<Condition, "about"> {
  condition: string;
  /** Why it holds; null if it is over. */
  reason: string | null;
  /** The event to emit if it changes. */
  event?: OwnEvent;
}

/** A device that is left alone for a while, although the inventory lists it. Times in milliseconds since the epoch. */
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

/** What happened to devices of one fleet. */
export interface DeviceChange {
  fleet: string;
  /** The inventory's own progress. */
  progress?: Progress;
  /** Devices that are stopped now, and (null) no longer. */
  stopped: [name: string, row: StoppedDevice | null][];
  /** Those of these that a rule listens to are told. */
  events: OwnEvent[];
}

/** The part of the store for the program's own events and the conditions that they report. */
export interface OwnStore {
  /** Sets which own events are emitted from now on, and what is called when there are any. */
  tellOwn(listening: OwnListening): void;
  /** Whether an own event of a type would be stored: a rule listens to it, or a run waits for it. */
  isTold(type: OwnEventType): boolean;
  /** Up to `max` own events that are not accepted yet, oldest first. They go when they are accepted. */
  listNotices(max: number): Promise<Notice[]>;
  /** Begins or ends a condition and puts its event, if one is told; nothing happens if it is as it was. */
  changeCondition(change: ConditionChange, now: number): Promise<void>;
  /** Stores what happened to devices, with its events. @returns how many own events are not accepted yet, all together */
  changeDevices(change: DeviceChange, now: number): Promise<number>;
  /** The stopped devices of a fleet, by name. */
  listStopped(fleet: string): Promise<Map<string, StoppedDevice>>;
  /** The conditions that hold. */
  listConditions(): Promise<Map<string, Condition>>;
}
