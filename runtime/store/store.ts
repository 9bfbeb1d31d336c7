import type { UpperValue } from "../model/config.ts";
import type { Verdict, VerdictKind } from "../model/event.ts";
import type { Form, FormAnswer, FormState } from "../model/form.ts";
import type { Json } from "../model/json.ts";
import type { Rule } from "../model/rule.ts";
import type { Run, RunState, StepRecord } from "../model/run.ts";
import type {
  Arrival,
  BatchClosing,
  BatchTerms,
  ClaimedRun,
  DueBatch,
  EventIdentity,
  ItemTime,
  Lease,
  OwnStore,
  PatchStore,
  Progress,
  Receipt,
  Reclaiming,
  Reply,
  TriggerKey,
} from "./intake.ts";
import type { PlaceStore } from "./places.ts";
import type { EventRecord, EventSearch, Found, RuleEnds, RunHead, RunSearch, StoreStats, Trace } from "./listing.ts";
import type {
  Answered,
  AnsweredForm,
  By,
  Cancelled,
  Operated,
  Refused,
  RunEnd,
  Seen,
  StepEffects,
  StepResult,
  Suspension,
} from "./run_changes.ts";

export type * from "./intake.ts";
export type * from "./run_changes.ts";
export type * from "./listing.ts";
export type * from "./places.ts";

/**
 * The store of all state. Each method is one transition. When its promise resolves, everything that it read or changed is on
 * disk. Times are parameters (`now`, milliseconds since the epoch); the store never reads the clock.
 *
 * @throws StoreFullError from transitions that accept new events, at the size cap or while writes fail
 */
export interface Store extends OwnStore, PlaceStore, ConfigStore, PatchStore {
  // ── rules ──────────────────────────────────────────────────────────────────────────────────────────────────────
  /** Stores all rules in force, so that runs can be pinned to their versions. Known versions cost nothing. */
  putVersions(rules: Rule[]): Promise<void>;
  /** The same after a reload, with only the new and changed rules, and the ids of removed ones. */
  changeVersions(changed: Rule[], gone: string[]): Promise<void>;
  /** Those of these rules that were last in force, also before a restart. */
  getInForce(rules: string[]): Promise<Rule[]>;
  /** The rule at that version, or undefined if it was dropped because no kept run needs it. */
  getVersion(version: string): Promise<Rule | undefined>;
  /** The versions of a rule that were in force, oldest first, at most the last hundred; empty if it had only one. */
  listVersions(rule: string): Promise<string[]>;
  /**
   * Drops the versions that are not in `live` and that no run uses, live or in history. Of the versions that only history uses,
   * the most recently used 32 MB stay.
   */
  dropVersions(live: string[]): Promise<void>;

  // ── ingest ─────────────────────────────────────────────────────────────────────────────────────────────────────
  /**
   * Identity, events, verdicts, runs and the trigger's own progress in one transition. For each arrival whose identity
   * is new: the event is stored, each candidate is admitted (see {@link Candidate}) and gets a verdict. An arrival
   * whose identity is known within retention is a duplicate and changes nothing but the count of deliveries.
   * @param lease claims, in the same transition, runs that may start at once
   * @param onClaimed called once with the claimed runs, before they are on disk; if `accept` rejects after that, this program does not have
   * them. It returns whether the first records of such runs follow at once: then the store waits for them, to write all together. Not called
   * if another program decides
   * @returns one receipt for each arrival, in order
   */
  accept(
    arrivals: Arrival[],
    progress: Progress[],
    now: number,
    lease?: Lease,
    onClaimed?: (claimed: ClaimedRun[]) => boolean,
  ): Promise<Receipt[]>;
  /** The answer that a `reply` step has recorded for the event, if any. */
  getReply(event: EventIdentity): Promise<Reply | undefined>;

  // ── batches ────────────────────────────────────────────────────────────────────────────────────────────────────
  /**
   * Applies the current options of triggers to their open batches: each closes at the earlier of its old and its new time.
   * Also opens batches that close without events.
   */
  adaptBatches(triggers: (TriggerKey & { terms: BatchTerms })[], now: number): Promise<void>;
  /** When the next batch of one of these rules closes. */
  nextBatchDue(rules: string[]): Promise<number | undefined>;
  /** Up to `max` batches of these rules that are due, oldest first. */
  dueBatches(rules: string[], max: number, now: number): Promise<DueBatch[]>;
  /**
   * Turns the batch into one event, which is admitted, and removes the batch.
   * @returns undefined if it was already closed, or is empty and must not start a run
   */
  closeBatch(closing: BatchClosing, now: number): Promise<Receipt | undefined>;

  // ── triggers ───────────────────────────────────────────────────────────────────────────────────────────────────
  getMark(trigger: TriggerKey): Promise<Json | undefined>;
  /** Those of these items of a poll's baseline that it has, by key. */
  getItems(trigger: TriggerKey, keys: string[]): Promise<Map<string, Json>>;
  /** Unreported items that last changed at `before` or earlier, oldest first, after an entry. */
  getStagnant(trigger: TriggerKey, before: number, max: number, after?: ItemTime): Promise<ItemTime[]>;
  /** Up to `max` items of a poll's or watch's baseline, by key, in order: the first ones, or those after a key. */
  getBaseline(trigger: TriggerKey, max: number, after?: string): Promise<Map<string, Json>>;

  // ── runs ───────────────────────────────────────────────────────────────────────────────────────────────────────
  /**
   * Leases up to `max` due runs with a free slot in their concurrency group to `owner`, oldest first; they are then `running`.
   * Runs whose condition is not answered yet are claimed in event order per rule, one at a time.
   */
  claimRuns(owner: string, max: number, now: number): Promise<ClaimedRun[]>;
  /**
   * Adapts to a clock rollback by this many milliseconds: what was due an hour after the old time becomes due an hour after `now`.
   */
  rollBackClock(by: number, now: number): Promise<void>;
  /** When the next queued or waiting run becomes due, or undefined if none has a time. */
  nextDue(): Promise<number | undefined>;
  /**
   * Records the answer of a function `if` as step `if`, and ends the lease. After a yes the run is admitted like a candidate. If
   * it may start now or later, it is `queued` to be claimed again; any other outcome ends it. A run that ended with a no (or
   * `busy`) is not listed, only its verdict is; `getRun` still shows its trace.
   */
  answerCondition(run: string, record: StepRecord, verdict: "yes" | Verdict, now: number): Promise<Answered>;
  /** Writes a step's record (replacing an earlier one of the same path) together with its effects. */
  recordStep(run: string, record: StepRecord, effects: StepEffects, now: number): Promise<StepResult>;
  /** `running` → `waiting` (or `queued`, to be attempted again) until `due`; the lease ends. */
  suspendRun(run: string, suspension: Suspension, now: number): Promise<void>;
  /** Ends a run and frees its slot. */
  finishRun(run: string, end: RunEnd, now: number): Promise<void>;
  /**
   * Ends a queued or waiting run at once. A running one is ended by its runner, with `finishRun`. If that is in another replica,
   * that one is asked to end it (see `SharedStore.watch`), and the run ends at the latest when it is suspended.
   * @param by who ends it, for the notes; absent if the program does
   * @returns undefined if there is no such run
   */
  cancelRun(
    run: string,
    reason: string,
    now: number,
    by?: By,
    seen?: Seen,
  ): Promise<Cancelled | Refused | undefined>;
  /**
   * Makes a new run of the same event, with the given version of the rule, or the old run's version if that is undefined. The
   * new run is not limited and never `busy`, but queues behind the runs of its key. A function `if` runs again.
   * @param by who requested it, for the notes
   * @returns its id, or undefined if the run, its event's body or the version is no longer stored
   */
  replayRun(
    run: string,
    version: string | undefined,
    by: By,
    now: number,
    seen?: Seen,
  ): Promise<string | Refused | undefined>;
  /**
   * Resumes a failed run after its last good step. The failed step and the steps around it are attempted again; their records are
   * `retrying` until then. The records of steps that were cancelled because of the failure are removed.
   * @param by who requested it, for the notes
   */
  retryRun(run: string, by: By, now: number, seen?: Seen): Promise<Operated | undefined>;
  /** Ends a wait of a run as `skipped`, with the result null: the wait of `step`, or the only wait if `step` is undefined. */
  skipWait(run: string, step: string | undefined, by: By, now: number, seen?: Seen): Promise<Operated | undefined>;
  /** Moves a queued or waiting run to another version of its rule. The run fails if that version has other steps. */
  moveRun(run: string, version: string, by: By, now: number, seen?: Seen): Promise<Operated | undefined>;
  /** After a start: queues runs again that these owners left `running`. Returns how many. */
  reclaimRuns(whose: Reclaiming, now: number): Promise<number>;
  /**
   * Calls the listener with each run that waited for an event which was found only now: after a start, or the end of another replica,
   * interrupted searches are repeated. The run may be claimed.
   */
  onFound(listener: (run: string) => void): void;

  // ── people ─────────────────────────────────────────────────────────────────────────────────────────────────────
  /** Ends the wait for an open form: its step succeeds and its run wakes. A form that is not open stays unchanged. */
  answerForm(form: string, answer: FormAnswer): Promise<AnsweredForm | undefined>;
  getForm(form: string): Promise<Form | undefined>;
  /** Oldest first. `to`: only forms for one of these (a person's id, groups and e-mail address). */
  listForms(
    filter: { state?: FormState; to?: string[]; run?: string; limit: number; after?: string },
  ): Promise<Form[]>;

  // ── memory across runs ─────────────────────────────────────────────────────────────────────────────────────────
  getState(keys: string[], now: number): Promise<Record<string, Json>>;

  // ── operators ──────────────────────────────────────────────────────────────────────────────────────────────────
  /** Pauses a rule, by an operator or the watchdog: it keeps its triggers, but every verdict is `disabled`. */
  setPaused(rule: string, paused: string | null): Promise<void>;
  listPaused(): Promise<Record<string, string>>;

  // ── reading ────────────────────────────────────────────────────────────────────────────────────────────────────
  getRun(id: string): Promise<Trace | undefined>;
  /** Those of these runs that have not ended. */
  getLiveRuns(ids: string[]): Promise<Run[]>;
  /** An event by its key, or that of a run by the run's id; undefined if it is no longer in history. */
  getEvent(id: string): Promise<EventRecord | undefined>;
  /** Whether a live run needs the event with this key, or history still has it, or may have it in a part that cannot be read. */
  hasEvent(key: string): Promise<boolean>;
  /** Whether the run is live or in history, or may be in a part that cannot be read. */
  hasRun(id: string): Promise<boolean>;
  /** The key of an event whose identity is still known. */
  findEventKey(event: EventIdentity): Promise<string | undefined>;
  /** Runs, newest first. A cursor stays valid while there are new runs. */
  searchRuns(search: RunSearch): Promise<Found<Run>>;
  /** The same with only the heads of the runs, which cost much less to read. */
  searchRunHeads(search: RunSearch): Promise<Found<RunHead>>;
  /** The same without a limit of work, which finds all up to the limit. */
  listRuns(filter: Omit<RunSearch, "parts">): Promise<Run[]>;
  /** Events, newest first. A cursor stays valid while there are new events. */
  searchEvents(search: EventSearch): Promise<Found<EventRecord>>;
  /** The same without a limit of work, which finds all up to the limit. */
  listEvents(filter: Omit<EventSearch, "parts">): Promise<EventRecord[]>;
  countVerdicts(): Promise<Record<string, Partial<Record<VerdictKind, number>>>>;
  /** How the runs of each rule ended, since the store was created. */
  countEnds(): Promise<Map<string, RuleEnds>>;
  /** Live runs by current state; ended ones since the store was created. */
  countRuns(): Promise<Record<RunState, number>>;
  stats(): Promise<StoreStats>;
  /** Grows with each durable change, so that readers know whether to read again. */
  changes(): number;
  /** Why no new events are accepted at the moment: writes to the disk fail. */
  refusal(): string | undefined;
  /** Bytes of live state, as of now. */
  bytes(): number;

  // ── upkeep ─────────────────────────────────────────────────────────────────────────────────────────────────────
  /** Sets the retention: the size cap of intake, and how long it knows an identity. */
  retain(retention: Retention): void;
  /**
   * One slice (under 5 ms) of retention. True while there is more to drop. An event stays while a live run that began before it
   * may still wait for it, if the run's version says for which types: YAML does, a TypeScript function or an expression does not.
   */
  prune(retention: Retention, now: number): Promise<boolean>;
  /** Writes a checkpoint off the main thread and drops the files that it replaces. */
  checkpoint(): Promise<void>;
  close(): Promise<void>;
}

export interface Retention {
  /** Bytes that history may use on disk; the oldest part is removed first. */
  bytes: number;
  /** Milliseconds an identity is known. */
  identities: number;
  /** Bytes that live state may use; above it no new events are accepted. */
  live: number;
}

/** No new events are accepted: the store is at its size cap, or writes fail. HTTP answers 503 with `Retry-After`. */
export class StoreFullError extends Error {
  override name = "StoreFullError";
  /** @param retryAfter seconds after which another attempt makes sense */
  constructor(message: string, readonly retryAfter: number) {
    super(message);
  }
}

/** The same for an event that was handed in and not decided in time: it may still be decided, and its redelivery is then a duplicate. */
export class UndecidedError extends StoreFullError {}

/** A value that somebody set on the page of a rule's config; null if they removed it. */
export interface SetValue {
  value: Json;
  by: string;
  /** Milliseconds since the epoch. */
  at: number;
}

/** The last value that was set for a key of a rule's config, and those before it. */
export interface PageValue extends SetValue {
  rule: string;
  key: string;
  /** The last {@link MOST_EARLIER}, newest first. */
  earlier: SetValue[];
}

/** How many earlier values of a key are kept. */
export const MOST_EARLIER = 20;

/** Values to set for one rule, all or none. */
export interface ConfigChange {
  rule: string;
  /** Null removes a value. */
  set: Record<string, Json>;
  by: string;
  /** When the last change was made that its author knew of; without it, nothing is too late. */
  seen?: number;
}

/** The outcome of a change; `stale` if somebody has changed one of its keys meanwhile, and then nothing is set. */
export type ConfigChanged =
  | { kind: "changed"; at: number }
  | { kind: "stale"; key: string; by: string; at: number };

/** The part of the store for config that is not in files. */
export interface ConfigStore {
  /** Sets or removes values, as a person does on a page. */
  setConfig(change: ConfigChange, now: number): Promise<ConfigChanged>;
  /** The values that were set on pages: of all rules, or of one. */
  listConfig(rule?: string): Promise<PageValue[]>;
  /** Keeps the values that the source of the config last gave. */
  keepSourced(values: UpperValue[]): Promise<void>;
  getSourced(): Promise<UpperValue[]>;
}
