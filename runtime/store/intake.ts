import type { Cause, DeliveryVerdict, Event, OwnEvent, OwnEventType, Repeatable, Verdict } from "../model/event.ts";
import type { Json, JsonObject } from "../model/json.ts";
import type { Run, StepRecord } from "../model/run.ts";
import type { DeviceReport, Holder, StoppedDevice } from "./places.ts";

export interface EventIdentity {
  source: string;
  id: string;
}

/** The ids of a trigger. Its cursors and timers belong to these ids, not to the content of a file. */
export interface TriggerKey {
  rule: string;
  trigger: string;
}

/** One delivery of an event, with all rules that listen to it. */
export interface Arrival {
  event: Event;
  candidates: Candidate[];
  /** Identity retention if a webhook sets `within`, in milliseconds. */
  within?: number;
  /** True for an own event; its id is that of its notice. */
  isOwn?: boolean;
}

/** A rule that listens to the event, and the outcome of ingest for it. */
export interface Candidate {
  rule: string;
  version: string;
  trigger: string;
  /** A final verdict (`condition`, `disabled`, `looped`, `error`), or the data to collect or to admit it. */
  outcome: Verdict | Collection | Admission;
}

/** The data to collect an event in the open batch of its trigger and key, or to open one. */
export interface Collection {
  kind: "collect";
  key: string | null;
  terms: BatchTerms;
}

/** When a batch closes: at the earliest of these times. In milliseconds. */
export interface BatchTerms {
  /** After its first event. */
  within?: number;
  /** After its last event. */
  quiet?: number;
  /** The next occurrence of a cron. */
  at?: number;
  /** It closes early with this number of events. */
  max: number;
  /** A batch is always open, and closes even without events. */
  empty: boolean;
  /** The trigger's options as text. A batch opened under other options never closes later than under those. */
  options: string;
}

/** A batch that is due. */
export interface DueBatch extends TriggerKey {
  id: string;
  closesAt: number;
}

/** How a batch closes, according to its rule at that time. */
export interface BatchClosing {
  batch: string;
  version: string;
  /** Its key is the batch's. */
  admission: Omit<Admission, "key">;
  /** The occurrence of a cron at which it closes. */
  scheduled?: number;
  /** The terms of the next batch, if one is always open. */
  next?: BatchTerms;
}

/** The data to admit a run: it starts, is delayed by the limit, is queued behind runs of its key, or is busy. */
export interface Admission {
  kind: "admit";
  mode: "parallel" | "queued" | "single" | "restart";
  key: string | null;
  max: number;
  limit: { count: number; per: number } | null;
  /** The values of the rule's inputs. */
  inputs?: JsonObject;
  /** True if a function `if` runs first; mode, key and limit then apply when it has answered. */
  asksFirst: boolean;
}

export interface Receipt {
  event: EventIdentity;
  delivery: DeliveryVerdict;
  verdicts: { rule: string; trigger: string; verdict: Verdict }[];
  /** Ids of the new runs, in the candidates' order. For a duplicate, those of the first delivery. */
  runs: string[];
  /** Running runs that mode `restart` replaces. The runner ends them, then the new run starts. */
  replaces: string[];
  /** Queued and waiting runs that mode `restart` replaced: they have ended. Absent if there are none. */
  replaced?: string[];
  /** Waiting or running runs with a wait that this event ended: the runner checks them again. */
  wakes: string[];
  /** Those of `runs` that were claimed at once, if a lease was given. */
  claimed?: ClaimedRun[];
  /** For a duplicate, the reply recorded so far. */
  reply?: Reply;
}

/** The owner that claims runs, and how many at most. */
export interface Lease {
  owner: string;
  max: number;
}

/** Whose running runs to queue again: those of all owners but these, or those of these. */
export type Reclaiming = { kept: string[] } | { of: string[] };

/** A claimed run: it is now `running`, leased to its owner. */
export interface ClaimedRun {
  run: Run;
  steps: StepRecord[];
  /** True if the function `if` must run first. */
  asksFirst: boolean;
  /** True if it was running before: it resumes after its last recorded step. */
  again: boolean;
  /** How often a watchdog ended its worker. If ever, the run is attempted alone. */
  alone: number;
}

/** When an item of a baseline last changed. */
export type ItemTime = [key: string, at: number];

/** A trigger's progress, written in the same transition as its events. */
export interface Progress extends TriggerKey {
  /** The new mark: a cron's last occurrence, a poll's cursor and validators. Null removes it. */
  mark?: Json;
  /** Changes of the baseline. `clear` empties it first. `times`: when items last changed; null after that was reported. */
  baseline?: {
    clear?: boolean;
    put: [key: string, item: Json][];
    remove: string[];
    times?: [key: string, at: number | null][];
  };
}

/** The answer of a webhook to its caller. */
export interface Reply {
  status: number;
  headers: Record<string, Repeatable>;
  /** Text, or base64 if `binary`. */
  body: string;
  binary?: boolean;
}

/** The listeners to the program's own events. */
export interface OwnListeners {
  hasListener: (type: OwnEventType) => boolean;
  /** Called when there are notices. */
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
  /** Its subject, by name: a rule and a trigger, a file. */
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

/** Changes of devices of one fleet. */
export interface DeviceChange {
  fleet: string;
  /** The inventory's own progress. */
  progress?: Progress;
  /** Devices that are stopped now, and (null) no longer. */
  stopped: [name: string, row: StoppedDevice | null][];
  /** Stored if a rule listens to them or a run waits for them. */
  events: OwnEvent[];
  /** With several replicas: items of the inventory that have changed, and those that are gone. */
  changed?: string[];
  removed?: string[];
  /** With several replicas: whose devices these are. What is said of a device that it no longer holds is left out. */
  holder?: Holder;
  /** With several replicas: what the holder says of devices. */
  reports?: [name: string, report: DeviceReport][];
}

/** The part of the store for the program's own events and the conditions that they report. */
export interface OwnStore {
  /** Sets the listeners; until then nobody listens. */
  listenToOwn(listening: OwnListeners): void;
  /** Whether an own event of a type would be stored: a rule listens to it, or a run waits for it. */
  isOwnWanted(type: OwnEventType): boolean;
  /** Up to `max` own events that are not accepted yet, oldest first. Accepting them removes them. */
  listNotices(max: number): Promise<Notice[]>;
  /** Begins or ends a condition and stores its event; does nothing if the condition has not changed. */
  changeCondition(change: ConditionChange, now: number): Promise<void>;
  /** Stores changes of devices, with their events. @returns how many own events are not accepted yet, all together */
  changeDevices(change: DeviceChange, now: number): Promise<number>;
  /** The stopped devices of a fleet, by name. */
  listStopped(fleet: string): Promise<Map<string, StoppedDevice>>;
  /** The fleets of which an inventory is stored, by the id of its trigger. Nothing of a removed fleet is left. */
  listInventories(trigger: string): Promise<string[]>;
  /** The conditions that hold. */
  listConditions(): Promise<Map<string, Condition>>;
}

/** A write to an item of a poll's source that a step is about to make. */
export interface Patching extends TriggerKey {
  /** Of the item. */
  key: string;
  run: string;
  path: string;
  /** A merge patch. */
  sent: JsonObject;
}

/** A write to an item, as in the record of the step that made it. */
export interface Patched extends TriggerKey {
  /** The name of the source, which other triggers may read, too. */
  source: string;
  key: string;
  sent: JsonObject;
  /** The item as the source answered. */
  answer: Json;
  cause: Cause;
}

/** The last writes of rules to an item. */
export interface WrittenItem extends TriggerKey {
  /** Milliseconds since the epoch. */
  at: number;
  /** All that was sent since the item was first written, and the values that it had then. */
  sent: JsonObject;
  values: JsonObject;
  cause: Cause;
}

/** The known writes to some items. */
export interface ItemWrites {
  /** The items that a step of this trigger's rule writes to at the moment. */
  busy: Set<string>;
  /** The last day's writes of all rules to this source. */
  written: Map<string, WrittenItem>;
}

/** The part of the store for writes to the items of polls. */
export interface PatchStore {
  /**
   * Stores that a step is about to write to an item. Until the step's record is final, polls of the trigger skip the item, also
   * after a crash.
   * @returns everything that this step may have sent, including by an earlier attempt
   */
  beginPatch(patching: Patching): Promise<JsonObject>;
  /** The known writes to these items. */
  getWrites(trigger: TriggerKey, source: string, keys: string[]): Promise<ItemWrites>;
}
