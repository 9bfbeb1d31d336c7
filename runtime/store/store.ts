import type { RecordedError } from "../model/errors.ts";
import type { Event } from "../model/event.ts";
import type { Form, FormAnswer, FormState } from "../model/form.ts";
import type { Json } from "../model/json.ts";
import type { Rule } from "../model/rule.ts";
import type { Run, RunState, StepRecord } from "../model/run.ts";
import type { DeliveryVerdict, Verdict, VerdictKind } from "../model/verdict.ts";
import type {
  Arrival,
  BatchClosing,
  BatchTerms,
  ClaimedRun,
  DueBatch,
  EventIdentity,
  Lease,
  Progress,
  Receipt,
  Reply,
  TriggerKey,
} from "./arrival.ts";

export type * from "./arrival.ts";

/**
 * Where all state lives. Each method is one whole transition; when its promise resolves, everything that it saw and
 * everything that it changed is on disk. Times are parameters (`now`, milliseconds since the epoch), never read here.
 *
 * @throws StoreFullError from transitions that take something new in, at the size cap or while the disk refuses writes
 */
export interface Store {
  // ── rules ──────────────────────────────────────────────────────────────────────────────────────────────────────
  /** Keeps the rules in force, all of them, so that runs can be pinned to their versions. Known versions cost nothing. */
  putVersions(rules: Rule[]): Promise<void>;
  /** The same after a reload: only those that are new or in another version, and the ids of those that are gone. */
  changeVersions(changed: Rule[], gone: string[]): Promise<void>;
  /** Those of the rules with these ids that were in force last, also before a restart. */
  getInForce(rules: string[]): Promise<Rule[]>;
  /** The rule as it was at that version, or undefined where no run that is kept needed it any more. */
  getVersion(version: string): Promise<Rule | undefined>;
  /**
   * Drops the versions that are not in `live` and that no run was on, be it live or in history. Of those that only history needs
   * 32 MB stay, the ones that were used last.
   */
  dropVersions(live: string[]): Promise<void>;

  // ── ingest ─────────────────────────────────────────────────────────────────────────────────────────────────────
  /**
   * Identity, events, verdicts, runs and the trigger's own progress in one transition. For each arrival whose identity
   * is new: the event is stored, each candidate is admitted (see {@link Candidate}) and gets a verdict. An arrival
   * whose identity is known within retention is a duplicate and changes nothing but the count of deliveries.
   * @param lease claims, in the same transition, runs that nothing keeps from going on at once
   * @returns one receipt for each arrival, in order
   */
  accept(arrivals: Arrival[], progress: Progress[], now: number, lease?: Lease): Promise<Receipt[]>;
  /** The answer recorded by a `reply` step for the event, if there is one by now. */
  getReply(event: EventIdentity): Promise<Reply | undefined>;

  // ── batches ────────────────────────────────────────────────────────────────────────────────────────────────────
  /**
   * Brings open batches in line with what their triggers say now: each closes at the earlier of its old and its new time.
   * Opens those that close without events, too.
   */
  adaptBatches(triggers: (TriggerKey & { terms: BatchTerms })[], now: number): Promise<void>;
  /** When the next batch of one of these rules closes. */
  nextBatchDue(rules: string[]): Promise<number | undefined>;
  /** Up to `max` batches of these rules that are due, oldest first. */
  dueBatches(rules: string[], max: number, now: number): Promise<DueBatch[]>;
  /**
   * The batch becomes one event, which is admitted, and is gone.
   * @returns undefined where it was gone before, or is empty and not to start a run
   */
  closeBatch(closing: BatchClosing, now: number): Promise<Receipt | undefined>;

  // ── triggers ───────────────────────────────────────────────────────────────────────────────────────────────────
  getMark(trigger: TriggerKey): Promise<Json | undefined>;
  /** Up to `max` items of a poll's or watch's baseline, by key, in order: the first ones, or those behind a key. */
  getBaseline(trigger: TriggerKey, max: number, after?: string): Promise<Map<string, Json>>;

  // ── runs ───────────────────────────────────────────────────────────────────────────────────────────────────────
  /**
   * Takes up to `max` runs that are due and whose rule, key and mode have room, oldest first, and leases them to
   * `owner`: they are `running` from here on. A run that waits for its condition to be answered is claimed in event
   * order per rule, one at a time.
   */
  claimRuns(owner: string, max: number, now: number): Promise<ClaimedRun[]>;
  /**
   * The clock was set back by so many milliseconds: what was to happen a while after its old time happens that while after
   * `now`.
   */
  rollBackClock(by: number, now: number): Promise<void>;
  /** When the next queued or waiting run becomes due, or undefined where none has a time. */
  nextDue(): Promise<number | undefined>;
  /**
   * The answer of a function `if`, recorded as step `if`. The lease ends with it: after a yes the run is admitted like
   * a candidate, and where that starts or holds it, it is `queued` to be claimed again; anything else ends it. A run
   * that a no (or `busy`) ends is no longer listed, only its verdict is; `getRun` still shows its trace.
   */
  answerCondition(run: string, record: StepRecord, verdict: "yes" | Verdict, now: number): Promise<Answered>;
  /** Writes one step's record (replacing an earlier one of the same path) with the effects that belong to it. */
  recordStep(run: string, record: StepRecord, effects: StepEffects, now: number): Promise<StepResult>;
  /** `running` → `waiting` (or `queued`, to be attempted again) until `due`; the lease ends. */
  suspendRun(run: string, suspension: Suspension, now: number): Promise<void>;
  /** Ends a run and frees its slot. */
  finishRun(run: string, end: RunEnd, now: number): Promise<void>;
  /**
   * Queued or waiting runs end at once. A running one is left to its runner, which ends it with `finishRun`.
   * @returns the state that it is in now (`running`: tell the runner), or undefined where there is no such run
   */
  cancelRun(run: string, reason: string, now: number): Promise<RunState | undefined>;
  /**
   * A new run of the same event and of the rule's version given, or of the old one's where that is undefined. It is
   * not limited and never `busy`, but takes its turn behind the runs of its key; a function `if` is asked again.
   * @param by who asked for it, for the notes
   * @returns its id, or undefined where the run, its event's body or the version is no longer there
   */
  replayRun(run: string, version: string | undefined, by: string, now: number): Promise<string | undefined>;
  /**
   * A failed run goes on behind its last good step: the step that failed it is attempted again, and so are those around it, whose
   * records are `retrying` until then. What was cancelled because of the failure has no record any more.
   * @param by who asked for it, for the notes
   */
  retryRun(run: string, by: string, now: number): Promise<Operated | undefined>;
  /** Ends a wait of a run as `skipped`, with the result null: that of the step, or its only one where none is named. */
  skipWait(run: string, step: string | undefined, by: string, now: number): Promise<Operated | undefined>;
  /** A queued or waiting run goes on by another version of its rule. It fails where that asks for other steps. */
  moveRun(run: string, version: string, by: string, now: number): Promise<Operated | undefined>;
  /** After a start: runs that another owner left `running` are queued again. Returns how many. */
  reclaimRuns(owner: string, now: number): Promise<number>;

  // ── people ─────────────────────────────────────────────────────────────────────────────────────────────────────
  /** Ends the wait for an open form: its step has succeeded and its run is woken. What is not open stays as it is. */
  answerForm(form: string, answer: FormAnswer): Promise<AnsweredForm | undefined>;
  getForm(form: string): Promise<Form | undefined>;
  /** Oldest first. `to`: those for one of these (a person's id, groups and e-mail address). */
  listForms(
    filter: { state?: FormState; to?: string[]; run?: string; limit: number; after?: string },
  ): Promise<Form[]>;

  // ── memory across runs ─────────────────────────────────────────────────────────────────────────────────────────
  getState(keys: string[], now: number): Promise<Record<string, Json>>;

  // ── operators ──────────────────────────────────────────────────────────────────────────────────────────────────
  /** `paused` rules keep their triggers but every verdict is `disabled`; set by an operator or the watchdog. */
  setPaused(rule: string, paused: string | null): Promise<void>;
  listPaused(): Promise<Record<string, string>>;

  // ── reading ────────────────────────────────────────────────────────────────────────────────────────────────────
  getRun(id: string): Promise<Trace | undefined>;
  listRuns(
    filter: {
      rule?: string;
      state?: RunState;
      event?: EventIdentity;
      /** Only those with waits, each in {@link Run.waits}. */
      waiting?: boolean;
      limit: number;
      before?: string;
    },
  ): Promise<Run[]>;
  listEvents(filter: { type?: string; rule?: string; limit: number; before?: string }): Promise<EventRecord[]>;
  countVerdicts(): Promise<Record<string, Partial<Record<VerdictKind, number>>>>;
  /** Live runs as they are now; ended ones since the first day. */
  countRuns(): Promise<Record<RunState, number>>;
  stats(): Promise<StoreStats>;
  /** Why nothing new is accepted at the moment: writes to the disk fail. */
  refusal(): string | undefined;
  /** Bytes of the live database, as it is in memory now. */
  bytes(): number;

  // ── upkeep ─────────────────────────────────────────────────────────────────────────────────────────────────────
  /** What is kept from here on: what intake makes room by, and how long it knows an identity. */
  retain(retention: Retention): void;
  /**
   * One slice (under 5 ms) of retention. True while there is more to drop. An event stays while a live run that began before it may
   * still wait for it, where the run's version says for which types: YAML does, a TypeScript function or an expression does not.
   */
  prune(retention: Retention, now: number): Promise<boolean>;
  /** Writes a checkpoint off the main thread and drops what it makes superfluous. */
  checkpoint(): Promise<void>;
  close(): Promise<void>;
}

/** What changes together with a step's record. */
export interface StepEffects {
  /** Sets memory across runs; the previous value becomes the record's output. */
  state?: { key: string; value: Json; ttl?: number };
  reply?: Reply;
  /** Of a record that is `waiting`: what ends it beside its `due`. Replaces what it waited for before. */
  wait?: Wait;
  /**
   * Paths of branches that lost against this one: what is below them and has not ended becomes `cancelled`, and nothing
   * waits there any more. A result from there that comes later is dropped: its record is `cancelled`, too.
   */
  cancels?: string[];
  /** The run ends with this record, as by `finishRun`. */
  end?: RunEnd;
}

/**
 * What a waiting step waits for. An event wait also looks at the events accepted since its run began, oldest first, each once
 * for each run; where one matches, the record that comes back has succeeded with it. `match`: paths in the event
 * (`data.id`) and the values that must stand there. Types may be patterns: `order.*`. A form expires at its own `due`, an answer
 * that comes later is not accepted; that of the record is when the step looks again, as for a reminder.
 */
export type Wait =
  | { kind: "time" }
  | { kind: "event"; types: string[]; match: Record<string, Json> }
  | { kind: "form"; form: Pick<Form, "id" | "title" | "to" | "fields" | "due"> };

/** What became of what an operator asked for: done, and to which step, or a sentence that says why not. */
export type Operated = { kind: "done"; step?: string } | { kind: "refused"; reason: string };

/** The form as it is now; `accepted` where this answer ended it, else it was not open any more. */
export interface AnsweredForm {
  form: Form;
  accepted: boolean;
}

/** What an answered condition came to. */
export interface Answered {
  verdict: Verdict;
  /** As in {@link Receipt}: running runs that mode `restart` replaces. */
  replaces: string[];
}

export interface StepResult {
  /**
   * The record as stored. A wait that had been ended meanwhile, by an event, an answer or an operator, stands as it was, and so
   * does what a branch that lost was cancelled with.
   */
  record: StepRecord;
  /** True where the run had ended before: a late result is dropped with its effects. */
  dropped?: boolean;
  /** False where a reply had been recorded for the event before: the first one stands. */
  replied?: boolean;
  /** True where the run ended with it; it does not where another record stands, or another reply. */
  ended?: boolean;
}

export interface Suspension {
  state: "waiting" | "queued";
  waitingFor: string;
  due?: number;
  /** Milliseconds it has been running in all. */
  spent: number;
  /** Set where a watchdog ended it: the next attempt is alone. */
  alone?: number;
}

export interface RunEnd {
  state: "succeeded" | "failed" | "cancelled";
  error?: RecordedError;
  output?: Json;
  /** The path of the step that failed it; absent where it was none, as with a throw between two steps. */
  failedStep?: string;
  spent: number;
}

export interface Trace {
  run: Run;
  steps: StepRecord[];
  /** Other things that happened to it: held, replayed, cancelled by whom. */
  notes: { at: number; text: string }[];
}

export interface EventRecord {
  /** Sorts by arrival; what `before` takes. */
  key: string;
  /** Once retention has dropped its body, `data` is null and `http` absent. */
  event: Event;
  receivedAt: number;
  deliveries: number;
  delivery: DeliveryVerdict;
  verdicts: { rule: string; trigger: string; verdict: Verdict }[];
  /** The waits of runs that it ended, as far as these are kept. */
  ended: { rule: string; run: string; step: string }[];
}

export interface StoreStats {
  events: number;
  identities: number;
  runs: number;
  /** Bytes of live state. */
  bytes: number;
  /** Bytes of history on disk. */
  historyBytes: number;
  /** Bytes of the log that are not folded yet. */
  journalBytes: number;
}

export interface Retention {
  /** Bytes that history may take on disk; the oldest part goes first. */
  bytes: number;
  /** Milliseconds an identity is known. */
  identities: number;
  /** Bytes that live state may take; above it nothing new is taken in. */
  live: number;
}

/** Nothing new is taken in: the store is at its cap, or the disk refuses writes. HTTP answers 503 with `Retry-After`. */
export class StoreFullError extends Error {
  override name = "StoreFullError";
  /** @param retryAfter seconds after which another attempt makes sense */
  constructor(message: string, readonly retryAfter: number) {
    super(message);
  }
}
