import type { Form, FormAnswer } from "../../model/form.ts";
import type { Json } from "../../model/json.ts";
import type { Rule } from "../../model/rule.ts";
import type { RunState, StepRecord } from "../../model/run.ts";
import type { Verdict } from "../../model/verdict.ts";
import {
  type Answered,
  type AnsweredForm,
  type Arrival,
  type BatchClosing,
  type ClaimedRun,
  type EventIdentity,
  type Lease,
  type Operated,
  type Park,
  type Progress,
  type Receipt,
  type Retention,
  type RunEnd,
  type StepEffects,
  type StepResult,
  type Store,
  StoreFullError,
  type StoreStats,
  type TriggerKey,
} from "../store.ts";
import { accept } from "./accept.ts";
import { adaptBatches } from "./adapt_batches.ts";
import { answerCondition } from "./answer_condition.ts";
import { answerForm } from "./answer_form.ts";
import { cancelRun } from "./cancel_run.ts";
import type { Checkpointer } from "./checkpoint.ts";
import { claimRuns } from "./claim_runs.ts";
import { closeBatch } from "./close_batch.ts";
import { type Context, retain } from "./context.ts";
import { countRuns, countVerdicts } from "./counters.ts";
import { dueBatches, nextBatchDue } from "./due_batches.ts";
import { finishRun } from "./finish_run.ts";
import { listForms, readForm } from "./forms.ts";
import type { Journal } from "./journal.ts";
import { listEvents } from "./list_events.ts";
import { getRun, listRuns } from "./list_runs.ts";
import { moveRun } from "./move_run.ts";
import { parkRun } from "./park_run.ts";
import { listPaused, setPaused } from "./paused.ts";
import { getBaseline, getMark } from "./progress.ts";
import { prune } from "./prune.ts";
import type { CommitQueue } from "./queue.ts";
import { reclaimRuns } from "./reclaim_runs.ts";
import { recordStep } from "./record_step.ts";
import { replayRun } from "./replay_run.ts";
import { eventKey, readReply } from "./replies.ts";
import { retryRun } from "./retry_run.ts";
import { skipWait } from "./skip_wait.ts";
import { readState } from "./state.ts";
import { countRows } from "./stats.ts";
import { turnBack } from "./turn_back.ts";
import { changeVersions, dropVersions, getInForce, getVersion, putVersions } from "./versions.ts";

/** What the store is put together of; see `open.ts`. */
export interface Parts {
  context: Context;
  queue: CommitQueue;
  journal: Journal;
  checkpointer: Checkpointer;
  onWarning: (message: string) => void;
  /** Nothing is kept: no checkpoint is written at the end. */
  volatile: boolean;
}

/** Milliseconds that closing spends on a checkpoint: the program has 25 s to stop, and the journal is enough. */
const CLOSING_CHECKPOINT = 10_000;

/** The embedded store: every method is one transition in a file of its own, done in its turn in one queue. */
export class SqliteStore implements Store {
  readonly #context: Context;
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#context = parts.context;
    this.#parts = parts;
  }

  putVersions(rules: Rule[]): Promise<void> {
    return this.#change((context) => putVersions(context.database, rules));
  }

  changeVersions(changed: Rule[], gone: string[]): Promise<void> {
    return this.#change((context) => changeVersions(context.database, changed, gone));
  }

  getInForce(rules: string[]): Promise<Rule[]> {
    return this.#read((context) => getInForce(context.database, rules));
  }

  getVersion(version: string): Promise<Rule | undefined> {
    return this.#read((context) => getVersion(context.database, version));
  }

  dropVersions(live: string[]): Promise<void> {
    return this.#change((context) => dropVersions(context.database, live));
  }

  async accept(arrivals: Arrival[], progress: Progress[], now: number, lease?: Lease): Promise<Receipt[]> {
    const taken = await this.#parts.queue.add(
      "intake",
      () => accept(this.#context, arrivals, progress, now, lease),
    );
    if (taken instanceof StoreFullError) throw taken;
    return taken;
  }

  getReply(event: EventIdentity): Promise<ReturnType<typeof readReply>> {
    return this.#read(({ database }) => {
      const key = eventKey(database, event);
      return key === undefined ? undefined : readReply(database, key);
    });
  }

  adaptBatches(triggers: Parameters<Store["adaptBatches"]>[0], now: number): Promise<void> {
    return this.#change((context) => adaptBatches(context, triggers, now));
  }

  nextBatchDue(rules: string[]): Promise<number | undefined> {
    return this.#read(({ database }) => nextBatchDue(database, rules));
  }

  dueBatches(rules: string[], max: number, now: number): ReturnType<Store["dueBatches"]> {
    return this.#read(({ database }) => dueBatches(database, rules, max, now));
  }

  closeBatch(closing: BatchClosing, now: number): Promise<Receipt | undefined> {
    return this.#change((context) => closeBatch(context, closing, now));
  }

  getMark(trigger: TriggerKey): Promise<Json | undefined> {
    return this.#read((context) => getMark(context.database, trigger));
  }

  getBaseline(trigger: TriggerKey, max: number, after?: string): Promise<Map<string, Json>> {
    return this.#read((context) => getBaseline(context.database, trigger, max, after));
  }

  claimRuns(owner: string, max: number, now: number): Promise<ClaimedRun[]> {
    return this.#change((context) => claimRuns(context, owner, max, now));
  }

  turnBack(by: number, now: number): Promise<void> {
    return this.#change((context) => turnBack(context, by, now));
  }

  nextDue(): Promise<number | undefined> {
    return this.#read(({ database }) =>
      database.value<number>("SELECT next_at FROM lanes WHERE next_at IS NOT NULL ORDER BY next_at LIMIT 1")
    );
  }

  answerCondition(run: string, record: StepRecord, verdict: "yes" | Verdict, now: number): Promise<Answered> {
    return this.#change((context) => answerCondition(context, run, record, verdict, now));
  }

  recordStep(run: string, record: StepRecord, effects: StepEffects, now: number): Promise<StepResult> {
    return this.#change((context) => recordStep(context, run, record, effects, now));
  }

  parkRun(run: string, park: Park, now: number): Promise<void> {
    return this.#change((context) => parkRun(context, run, park, now));
  }

  finishRun(run: string, end: RunEnd, now: number): Promise<void> {
    return this.#change((context) => finishRun(context, run, end, now));
  }

  cancelRun(run: string, reason: string, now: number): Promise<RunState | undefined> {
    return this.#change((context) => cancelRun(context, run, reason, now));
  }

  replayRun(run: string, version: string | undefined, by: string, now: number): Promise<string | undefined> {
    return this.#change((context) => replayRun(context, run, version, by, now));
  }

  retryRun(run: string, by: string, now: number): Promise<Operated | undefined> {
    return this.#change((context) => retryRun(context, run, by, now));
  }

  skipWait(run: string, step: string | undefined, by: string, now: number): Promise<Operated | undefined> {
    return this.#change((context) => skipWait(context, run, step, by, now));
  }

  moveRun(run: string, version: string, by: string, now: number): Promise<Operated | undefined> {
    return this.#change((context) => moveRun(context, run, version, by, now));
  }

  answerForm(form: string, answer: FormAnswer): Promise<AnsweredForm | undefined> {
    return this.#change((context) => answerForm(context, form, answer));
  }

  getForm(form: string): Promise<Form | undefined> {
    return this.#read((context) => readForm(context.database, form));
  }

  listForms(filter: Parameters<Store["listForms"]>[0]): Promise<Form[]> {
    return this.#read((context) => listForms(context.database, filter));
  }

  reclaimRuns(owner: string, now: number): Promise<number> {
    return this.#change((context) => reclaimRuns(context, owner, now));
  }

  getState(keys: string[], now: number): Promise<Record<string, Json>> {
    return this.#read((context) => readState(context.database, keys, now));
  }

  setPaused(rule: string, paused: string | null): Promise<void> {
    return this.#change((context) => setPaused(context.database, rule, paused));
  }

  listPaused(): Promise<Record<string, string>> {
    return this.#read((context) => listPaused(context.database));
  }

  getRun(id: string): ReturnType<Store["getRun"]> {
    return this.#read((context) => getRun(context.database, id));
  }

  listRuns(filter: Parameters<Store["listRuns"]>[0]): ReturnType<Store["listRuns"]> {
    return this.#read((context) => listRuns(context.database, filter));
  }

  listEvents(filter: Parameters<Store["listEvents"]>[0]): ReturnType<Store["listEvents"]> {
    return this.#read((context) => listEvents(context.database, filter));
  }

  countVerdicts(): ReturnType<Store["countVerdicts"]> {
    return this.#read((context) => countVerdicts(context.database));
  }

  countRuns(): ReturnType<Store["countRuns"]> {
    return this.#read((context) => countRuns(context.database));
  }

  stats(): Promise<StoreStats> {
    return this.#read((context) => ({
      ...countRows(context.database),
      journalBytes: this.#parts.checkpointer.journalBytes,
    }));
  }

  bytes(): number {
    return this.#context.database.bytes();
  }

  retain(retention: Retention): void {
    retain(this.#context, retention);
  }

  prune(retention: Retention, now: number): Promise<boolean> {
    return this.#change((context) => prune(context, retention, now));
  }

  async checkpoint(): Promise<void> {
    // In its turn, so that all that was asked for before is in it.
    await this.#change(() => {});
    await this.#parts.checkpointer.make();
  }

  /** Finishes what waits, then writes a checkpoint; one that fails is only warned of, as the journal is whole. */
  async close(): Promise<void> {
    const { queue, journal, checkpointer, onWarning, volatile } = this.#parts;
    await queue.close();
    try {
      if (!volatile) await checkpointer.make(AbortSignal.timeout(CLOSING_CHECKPOINT));
    } catch (error) {
      onWarning(
        `Cannot write a checkpoint while closing: ${(error as Error).message}; the next start replays the journal`,
      );
    }
    await journal.seal();
    this.#context.database.close();
  }

  #change<T>(work: (context: Context) => T): Promise<T> {
    return this.#parts.queue.add("change", () => work(this.#context));
  }

  #read<T>(work: (context: Context) => T): Promise<T> {
    return this.#parts.queue.add("read", () => work(this.#context));
  }
}
