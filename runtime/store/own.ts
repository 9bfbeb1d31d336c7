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

/** The part of the store for the program's own events and the conditions that they report. */
export interface OwnStore {
  /** Sets which own events are emitted from now on, and what is called when there are any. */
  tellOwn(listening: OwnListening): void;
  /** Up to `max` own events that are not accepted yet, oldest first. They go when they are accepted. */
  listNotices(max: number): Promise<Notice[]>;
  /** Begins or ends a condition and puts its event, if one is told; nothing happens if it is as it was. */
  changeCondition(change: ConditionChange, now: number): Promise<void>;
  /** The conditions that hold. */
  listConditions(): Promise<Map<string, Condition>>;
}
