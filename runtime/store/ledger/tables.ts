import { writeRecordJson } from "../../formats/exact_json.ts";
import { sourceOf } from "../../formats/lazy_json.ts";
import type { UpperValue } from "../../model/config.ts";
import type { RecordedError } from "../../model/errors.ts";
import type { DeliveryVerdict, Event, Verdict, VerdictKind } from "../../model/event.ts";
import type { TaskResult } from "../../model/fleet.ts";
import type { Form } from "../../model/form.ts";
import type { Json, JsonObject } from "../../model/json.ts";
import type { RunState, StepRecord, StepWait } from "../../model/run.ts";
import type {
  Admission,
  Condition,
  Note,
  Notice,
  PageValue,
  Patching,
  Reply,
  RunEnd,
  StoppedDevice,
  WrittenItem,
} from "../store.ts";
import type { FoldOrder } from "../fold_order.ts";
import { isSettled, type OrderRow, type PlaceRow } from "../places.ts";
import type { Catalogue } from "./catalogue.ts";
import { join, ordered, SEPARATOR } from "./keys.ts";

export type { Catalogue, Counts } from "./catalogue.ts";

/** Data about a rule that is never dropped. */
export interface RuleRow {
  id: string;
  /** The version in force; absent after the rule was removed from the folder. */
  version?: string;
  /** Why it is paused. */
  paused?: string;
  /** The theoretical arrival time of its `limit`. */
  arrival: number;
  counts: Partial<Record<VerdictKind | RunEnd["state"], number>>;
  /** How many failed runs were retried. Their failures are no longer in `counts`, but metrics never count down. */
  retried?: number;
  /** When a listed run of it last succeeded; milliseconds since the epoch. Absent before the first one. */
  succeededAt?: number;
  /** Its listed run that ended last, with its event: history always keeps both. */
  lastRun?: { id: string; event: number };
  /** Its newest event with each kind of verdict; history always keeps these, too. */
  lastVerdicts?: Partial<Record<VerdictKind, number>>;
}

/** An event that a live run or an open batch needs. Its text is also its record in history, so it never changes. */
export interface EventRow {
  key: number;
  receivedAt: number;
  delivery: Exclude<DeliveryVerdict, "duplicate">;
  verdicts: { rule: string; trigger: string; verdict: Verdict }[];
  event: Event;
}

/** A run that has not ended. */
export interface RunRow {
  id: string;
  rule: string;
  version: string;
  trigger: string;
  event: number;
  /** The newest event when the run was created. */
  began: number;
  state: RunState;
  waitingFor?: string;
  due?: number;
  key: string | null;
  /** The concurrency group that it counts in; see `transitions/lanes.ts`. */
  lane: string;
  /** When it may be claimed; absent while it runs, or waits for anything other than a time. */
  readyAt?: number;
  /** The runner that holds its lease. */
  owner?: string;
  /** How to admit it after its function `if` has answered. */
  admission?: Admission;
  createdAt: number;
  startedAt?: number;
  endedAt?: number;
  spent: number;
  /** How often a watchdog ended its worker. */
  alone: number;
  /** One of its waits ended while it was running: it is claimed again after it is suspended. */
  woken?: true;
  /** Set while it is running: another replica has asked its owner to end it. */
  ending?: Ending;
  error?: RecordedError;
  failedStep?: string;
  output?: Json;
  inputs?: JsonObject;
  replayOf?: string;
}

/** Why a run is to be ended, and by whom; without `by` the program does it. */
export interface Ending {
  reason: string;
  by?: string;
}

/** A run that has ended, as in history: with its event, without the body, which may be in an older part of history. */
export type EndedRunRow = RunRow & { head: Omit<Event, "data" | "http"> };

/** One step's record. */
export interface StepRow {
  run: string;
  /** Its position among the steps of its run, by first record. */
  position: number;
  record: StepRecord;
  /** The store ended it: later records are dropped. */
  settled?: true;
}

/** The live runs of one rule that count together for `mode`. */
export interface LaneRow {
  rule: string;
  lane: string;
  /** Whether only the oldest live run may run. */
  inOrder: boolean;
  /** How many may run at once. */
  room: number;
  /** When its next run may be claimed; absent while it has no free slot, or nothing is ready by time. */
  nextAt?: number;
}

/** A step that waits. */
export interface WaitRow {
  run: string;
  path: string;
  /** Ascending: waits that began earlier have smaller ones. */
  position: number;
  kind: StepWait["kind"];
  /** A description for people. */
  what: string;
  form?: string;
  since: number;
  until?: number;
  /** For an event wait: the types, and the values (as JSON text) required at the paths (as JSON text). */
  types?: string[];
  paths?: string;
  values?: string;
  /** The search of the events since its run began is not finished; `seen` is the first match that arrived meanwhile. */
  searching?: true;
  seen?: number;
}

/** An open batch. */
export interface BatchRow {
  id: string;
  rule: string;
  trigger: string;
  key: string | null;
  options: string;
  openedAt: number;
  lastAt: number;
  closesAt: number;
  count: number;
  bytes: number;
}

/** The newest batch of calls of a replica that was decided. Its frame has what was decided and this, so neither is there alone. */
export interface ReplicaRow {
  id: string;
  seq: number;
  /** In the order of the calls; empty if the batch could not be read. */
  answers: Answer[];
}

/** The answer to a call of a replica: what the transition returned (absent if that is undefined) or threw. */
export type Answer = { result?: unknown } | { error: AnsweredError };

/** An error that a transition threw. */
export interface AnsweredError {
  name: string;
  message: string;
  code?: string;
  /** Of a {@link StoreFullError}. */
  retryAfter?: number;
}

/** How many versions of a rule keep their place in its succession. */
export const MOST_VERSIONS = 100;

/** The rows of each table. A row is never changed in place: a change puts a new row. */
export interface Tables {
  /** By id. */
  rule: RuleRow;
  /** By version: the rule, as JSON text. */
  version: string;
  /** By rule: the versions that were in force, oldest first, without those before the last {@link MOST_VERSIONS}. */
  succession: string[];
  event: EventRow;
  reply: Reply;
  run: RunRow;
  step: StepRow;
  note: Note & { run: string };
  lane: LaneRow;
  wait: WaitRow;
  /** An event that ended a wait of a run: it cannot end another wait of that run. */
  taken: { run: string; event: number; path: string };
  form: Form;
  batch: BatchRow;
  /** The events of an open batch, in order. */
  collected: { batch: string; event: number };
  /** By rule and trigger. */
  mark: Json;
  /** By rule, trigger and the item's key as JSON: the item, as JSON text. */
  baseline: string;
  /** As for the baseline: when the item last changed; absent after it was reported as unchanged for long. */
  changed: number;
  state: { key: string; value: Json; expiresAt?: number };
  /** By trigger, item, run and step: a write to a poll's source that is not recorded yet. */
  patching: Patching;
  /** By source and item: what rules wrote to it last. */
  written: WrittenItem;
  /** By condition: a condition that holds. */
  condition: Condition;
  /** By fleet and name: a device that gets no work for a while. */
  stopped: StoppedDevice;
  /** By fleet and name: which replica looks after a device. Empty without replicas. */
  place: PlaceRow;
  /** By fleet and replica: the version of the fleet that the replica has. */
  carried: string;
  /** By id: what one replica has another one do with devices. */
  order: OrderRow;
  /** By order and number: a slice of its results. */
  result: TaskResult[];
  /** By event id: an event of the program itself that is not accepted yet. */
  notice: Omit<Notice, "id">;
  /** By rule and key: what people set on its page. */
  config: PageValue;
  /** By id: what was last decided for a replica, of a store that several share. */
  replica: ReplicaRow;
  /** The catalogue of a part of history, by its first frame. */
  part: Catalogue;
  /** Facts of the store itself: see {@link Facts}. */
  fact: Facts[keyof Facts];
}

export type TableName = keyof Tables;

export function isTableName(name: string): name is TableName {
  return Object.hasOwn(TABLES, name);
}

/** The indexes and counts of a table. */
export interface Definition<R> {
  /** Whether rows are already JSON text. */
  text?: true;
  /** Encodes a row. @default {@link toJson} */
  write?: (row: R) => string;
  /** The fields that indexes and counts need come before this one: a row read from disk is parsed up to here. */
  before?: string;
  /** The fields that indexes and counts need, if most rows have none of them: such a row is not parsed when it is read from disk. */
  rare?: string[];
  /** Index keys of a row: its own key, or none, one or several per index. */
  indexes?: Record<string, "key" | ((row: R, key: string) => string | string[] | undefined)>;
  /** Groups that rows are counted in. */
  counts?: Record<string, (row: R) => string | number | undefined>;
}

/** An addressee, normalized for comparison: e-mail addresses are case-insensitive. */
export function addresseeOf(name: string): string {
  return name.includes("@") ? name.toLowerCase() : name;
}

/** The declared indexes and counts of all tables. */
export const TABLES: { [T in TableName]: Definition<Tables[T]> } = {
  rule: {},
  version: { text: true, write: (text) => text },
  succession: {},
  event: { write: eventToJson },
  reply: {},
  run: {
    indexes: {
      id: "key",
      owned: ({ owner }, key) => owner && key,
      lane: ({ rule, lane, id }) => join(rule, lane, id),
      ready: ({ rule, lane, readyAt, id }) =>
        readyAt === undefined ? undefined : join(rule, lane, ordered(readyAt), id),
    },
    counts: {
      state: ({ state }) => state,
      running: ({ rule, lane, owner }) => owner === undefined ? undefined : join(rule, lane),
      event: ({ event }) => event,
      version: ({ version }) => version,
    },
  },
  step: { before: "record", indexes: { run: ({ run, position }) => join(run, ordered(position)) } },
  note: { indexes: { run: "key" } },
  lane: {
    indexes: { next: ({ nextAt, rule, lane }) => nextAt === undefined ? undefined : join(ordered(nextAt), rule, lane) },
  },
  wait: {
    rare: ["types", "searching"],
    indexes: {
      run: "key",
      event: ({ types, paths, values, position, run, path }) =>
        types?.map((type) => join(type, paths!, values!, ordered(position), run, path)),
      searching: ({ searching, run, path }) => searching && join(run, path),
    },
  },
  taken: { indexes: { run: "key" } },
  form: {
    indexes: {
      age: ({ createdAt, id }) => join(ordered(createdAt), id),
      state: ({ state, createdAt, id }) => join(state, ordered(createdAt), id),
      run: ({ run, createdAt, id }) => join(run, ordered(createdAt), id),
      to: ({ to, state, createdAt, id }) =>
        [...new Set(to.map(addresseeOf))].map((who) => join(who, state, ordered(createdAt), id)),
    },
  },
  batch: {
    indexes: {
      key: ({ rule, trigger, key, closesAt, id }) => join(rule, trigger, JSON.stringify(key), ordered(closesAt), id),
      due: ({ rule, closesAt, id }) => join(rule, ordered(closesAt), id),
    },
  },
  collected: { indexes: { batch: "key" }, counts: { event: ({ event }) => event } },
  mark: {},
  baseline: { text: true, write: (text) => text, indexes: { key: "key" } },
  changed: { indexes: { at: (at, key) => placeAt(at, key), place: "key" } },
  state: {
    indexes: { end: ({ expiresAt, key }) => expiresAt === undefined ? undefined : join(ordered(expiresAt), key) },
  },
  patching: { indexes: { key: "key", run: ({ run, path }, key) => join(run, path, key) } },
  written: { indexes: { age: ({ at }, key) => join(ordered(at), key) } },
  condition: {},
  stopped: { indexes: { fleet: "key" } },
  place: {
    indexes: {
      fleet: "key",
      owner: ({ owner }, key) => owner && join(owner, key),
      due: (row, key) => isSettled(row) && row.news === undefined ? undefined : join(row.owner ?? row.wanted, key),
    },
    counts: { state: (row) => join(row.fleet, isSettled(row) ? row.state : "distributing") },
  },
  carried: {},
  order: { indexes: { open: ({ to, isDone }, id) => isDone ? undefined : join(to, id) } },
  result: { indexes: { order: "key" } },
  notice: { indexes: { id: "key" } },
  config: { indexes: { rule: "key" } },
  replica: {},
  part: {},
  fact: {},
};

/** The key of a baseline's item with its time in front of the item. */
function placeAt(at: number, key: string): string {
  const item = key.lastIndexOf(SEPARATOR);
  return join(key.slice(0, item), ordered(at), key.slice(item + 1));
}

/** Facts about the store itself, in the table `fact`. */
export interface Facts {
  /** The newest event key. */
  last: { key: number; receivedAt: number };
  /** The key of the identities' hash and of run ids: 32 hex digits. */
  secret: string;
  /** After a clock rollback: identities of events up to `key` count as received at `at` at the latest. */
  rollback: { key: number; at: number };
  /** The last time that identities were expired: by which time, and with which retention in ms. Followers expire the same ones. */
  expired: { at: number; after: number };
  /** The fold or merge that a replica is to do, in a store that several share. */
  fold: FoldOrder;
  /** The values that the source of the config last gave. */
  sourced: UpperValue[];
}

/**
 * A value as JSON text for a line.
 * @throws if JSON cannot represent it
 */
export function toJson(value: unknown): string {
  const text = writeRecordJson(value);
  if (text === undefined) throw new TypeError(`Cannot store ${typeof value}: expected a value that JSON can represent`);
  return text;
}

/** An event's row as {@link toJson} writes it, but with the text that its data were read from, if there is one. */
export function eventToJson(row: EventRow): string {
  const { data, ...event } = row.event;
  const source = sourceOf(data);
  if (source === undefined) return toJson(row);
  // An event is never empty, and stands last.
  return `${toJson({ ...row, event }).slice(0, -2)},"data":${source}}}`;
}
