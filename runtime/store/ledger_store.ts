import type { Run, StepRecord } from "../model/run.ts";
import type { Background, storeTasks } from "./background.ts";
import type { Deciding, StoreSettings } from "./decider.ts";
import type { Folding } from "./folding.ts";
import type { History } from "./history/history.ts";
import { findOutlived } from "./history/trim.ts";
import type { Rows } from "./ledger/rows.ts";
import { type Read, Reading } from "./reading.ts";
import { RunActions } from "./run_actions.ts";
import { Searches } from "./searches.ts";
import type {
  Arrival,
  ClaimedRun,
  EventRecord,
  EventSearch,
  Lease,
  OwnListeners,
  Progress,
  Receipt,
  Reclaiming,
  Retention,
  RunSearch,
  StepEffects,
  StepResult,
  Store,
  StoreStats,
} from "./store.ts";
import { accept, expireIdentities, noteExpired } from "./transitions/accept.ts";
import { answerCondition } from "./transitions/admission.ts";
import { adaptBatches, dueBatches, nextBatchDue } from "./transitions/batch_rows.ts";
import { finishRun } from "./transitions/end_run.ts";
import { claimRuns, reclaimRuns, suspendRun } from "./transitions/claim_runs.ts";
import { rollBackClock } from "./transitions/clock_rollback.ts";
import { closeBatch } from "./transitions/close_batch.ts";
import {
  changeVersions,
  countEnds,
  countRuns,
  countVerdicts,
  dropVersions,
  getInForce,
  getSourced,
  getVersion,
  keepSourced,
  listConfig,
  listPaused,
  listUnused,
  listVersions,
  putVersions,
  setConfig,
  setPaused,
} from "./transitions/rule_rows.ts";
import { findIdentity } from "./transitions/event_rows.ts";
import { answerForm, resolveSearch } from "./transitions/waits.ts";
import { listForms, readForm } from "./transitions/form_rows.ts";
import {
  changeCondition,
  changeDevices,
  isWanted,
  listConditions,
  listInventories,
  listNotices,
  listStopped,
} from "./transitions/notices.ts";
import { addResults, dropOrder, endOrder, getOrder, listOrders, putOrder } from "./transitions/orders.ts";
import {
  countPlaces,
  freePlaces,
  getPlaces,
  listCarried,
  listDuePlaces,
  listPlaces,
  noteNews,
  releasePlaces,
  setCarried,
  takePlaces,
  wantPlaces,
} from "./transitions/places.ts";
import {
  beginPatch,
  getBaseline,
  getItems,
  getMark,
  getStagnant,
  getState,
  getWrites,
  prune,
} from "./transitions/progress.ts";
import { recordStep } from "./transitions/record_step.ts";
import type { Transition } from "./transitions/transition.ts";

/** The parts of the store; see `open_store.ts`. */
export interface LedgerStoreParts {
  rows: Rows;
  deciding: Deciding;
  history: History;
  /** Absent in a program that follows another one. */
  folding?: Folding;
  /** Reads parts of history. */
  reads: Background<typeof storeTasks>;
  settings: StoreSettings;
  onWarning: (message: string) => void;
  /** This replica, if several share the store. */
  replica?: string;
}

/** The store over live rows and history: every method is a transition, or reads. */
export class LedgerStore implements Store {
  readonly #reading: Reading;
  readonly #searches: Searches;
  readonly #actions = new RunActions({
    change: (transition, input, now) => this.#change(transition, input, now),
    traceOf: (run) => this.#reading.findTrace(run),
    eventOf: (key) => this.#reading.findEvent(key),
    replica: () => this.parts.replica,
  });

  /** @param parts replaced when a program that follows begins to decide */
  constructor(protected parts: LedgerStoreParts) {
    const history = () => this.parts.history;
    const read: Read = (work) => this.#read(work);
    this.#reading = new Reading(history, read);
    this.#searches = new Searches({
      history,
      read,
      decide: (search, now) => this.#change(resolveSearch, search, now),
      onWarning: parts.onWarning,
    });
  }

  // ── rules ──────────────────────────────────────────────────────────────────────────────────────────────────────

  putVersions: Store["putVersions"] = (rules) => this.#change(putVersions, rules);
  changeVersions: Store["changeVersions"] = (changed, gone) => this.#change(changeVersions, { changed, gone });
  getInForce: Store["getInForce"] = (rules) => this.#read((rows) => getInForce(rows, rules));
  getVersion: Store["getVersion"] = (version) => this.#read((rows) => getVersion(rows, version));
  listVersions: Store["listVersions"] = (rule) => this.#read((rows) => listVersions(rows, rule));

  async dropVersions(live: string[]): Promise<void> {
    const { history } = this.parts;
    // Runs that have ended by then are in history when this resolves.
    const unused = await this.#read((rows) => listUnused(rows, live));
    const outlived = findOutlived(unused, (version) => history.lastUseOf(version));
    if (outlived.length > 0) await this.#change(dropVersions, outlived);
  }

  setPaused: Store["setPaused"] = (rule, paused) => this.#change(setPaused, { rule, paused });
  listPaused: Store["listPaused"] = () => this.#read(listPaused);
  setConfig: Store["setConfig"] = (change, now) => this.#change(setConfig, change, now);
  listConfig: Store["listConfig"] = (rule) => this.#read((rows) => listConfig(rows, rule));
  keepSourced: Store["keepSourced"] = (values) => this.#change(keepSourced, values);
  getSourced: Store["getSourced"] = () => this.#read(getSourced);

  // ── ingest ─────────────────────────────────────────────────────────────────────────────────────────────────────

  async accept(
    arrivals: Arrival[],
    progress: Progress[],
    now: number,
    lease?: Lease,
    onClaimed?: (claimed: ClaimedRun[]) => boolean,
  ): Promise<Receipt[]> {
    const { deciding } = this.parts;
    const onDecided = onClaimed &&
      ((receipts: Receipt[]) => onClaimed(receipts.flatMap(({ claimed = [] }) => claimed)));
    const input = { arrivals, progress, ...lease && { lease } };
    const receipts = await deciding.decide("intake", accept, input, now, onDecided);
    for (const receipt of receipts) if (receipt.delivery === "duplicate") await this.#addVerdicts(receipt);
    return receipts;
  }

  getReply: Store["getReply"] = (event) => this.#reading.getReply(event);
  beginPatch: Store["beginPatch"] = (patching) => this.#change(beginPatch, patching);
  getWrites: Store["getWrites"] = (trigger, source, keys) =>
    this.#read((rows) => getWrites(rows, { trigger, source, keys }));

  adaptBatches: Store["adaptBatches"] = (triggers, now) => this.#change(adaptBatches, triggers, now);
  nextBatchDue: Store["nextBatchDue"] = (rules) => this.#read((rows) => nextBatchDue(rows, rules));
  dueBatches: Store["dueBatches"] = (rules, max, now) => this.#read((rows) => dueBatches(rows, rules, max, now));

  listenToOwn(listening: OwnListeners): void {
    this.parts.settings.own = listening;
  }

  listNotices: Store["listNotices"] = (max) => this.#read((rows) => listNotices(rows, max));
  changeCondition: Store["changeCondition"] = (change, now) => this.#change(changeCondition, change, now);
  listConditions: Store["listConditions"] = () => this.#read(listConditions);
  isOwnWanted: Store["isOwnWanted"] = (type) => isWanted(this.parts.rows, type, this.parts.settings.own);
  changeDevices: Store["changeDevices"] = (change, now) => this.#change(changeDevices, change, now);
  listInventories: Store["listInventories"] = (trigger) => this.#read((rows) => listInventories(rows, trigger));
  listStopped: Store["listStopped"] = (fleet) => this.#read((rows) => listStopped(rows, fleet));

  // ── places of devices ──────────────────────────────────────────────────────────────────────────────────────────

  wantPlaces: Store["wantPlaces"] = (inventory, fleet, wanted, now) =>
    this.#change(wantPlaces, { inventory, fleet, wanted }, now);
  takePlaces: Store["takePlaces"] = (replica, fleet, names) => this.#change(takePlaces, { replica, fleet, names });
  releasePlaces: Store["releasePlaces"] = (replica, fleet, held) =>
    this.#change(releasePlaces, { fleet, replica, held });
  noteNews: Store["noteNews"] = (replica, fleet, held) => this.#change(noteNews, { fleet, replica, held });
  setCarried: Store["setCarried"] = (replica, versions) => this.#change(setCarried, { replica, versions });
  listCarried: Store["listCarried"] = () => this.#read(listCarried);
  listDuePlaces: Store["listDuePlaces"] = (...asked) => this.#read((rows) => listDuePlaces(rows, ...asked));
  listPlaces: Store["listPlaces"] = (...asked) => this.#read((rows) => listPlaces(rows, ...asked));
  getPlaces: Store["getPlaces"] = (...asked) => this.#read((rows) => getPlaces(rows, ...asked));
  putOrder: Store["putOrder"] = (id, order) => this.#change(putOrder, { id, order });
  listOrders: Store["listOrders"] = (to) => this.#read((rows) => listOrders(rows, to));
  addResults: Store["addResults"] = (id, results) => this.#change(addResults, { id, results });
  endOrder: Store["endOrder"] = (id, error) => this.#change(endOrder, { id, ...error !== undefined && { error } });
  getOrder: Store["getOrder"] = (id, after) => this.#read((rows) => getOrder(rows, id, after));
  dropOrder: Store["dropOrder"] = (id) => this.#change(dropOrder, { id });
  countPlaces: Store["countPlaces"] = (fleet) => countPlaces(this.parts.rows, fleet);

  async freePlaces(replica: string): Promise<void> {
    while (await this.#change(freePlaces, { replica }));
  }

  closeBatch: Store["closeBatch"] = (closing, now) => this.#change(closeBatch, closing, now);
  getMark: Store["getMark"] = (trigger) => this.#read((rows) => getMark(rows, trigger));
  getItems: Store["getItems"] = (trigger, keys) => this.#read((rows) => getItems(rows, trigger, keys));
  getStagnant: Store["getStagnant"] = (...asked) => this.#read((rows) => getStagnant(rows, ...asked));
  getBaseline: Store["getBaseline"] = (trigger, max, after) =>
    this.#read((rows) => getBaseline(rows, trigger, max, after));

  // ── runs ───────────────────────────────────────────────────────────────────────────────────────────────────────

  claimRuns: Store["claimRuns"] = (owner, max, now) => this.#change(claimRuns, { owner, max }, now);
  rollBackClock: Store["rollBackClock"] = (by, now) => this.#change(rollBackClock, by, now);
  nextDue: Store["nextDue"] = () => this.#read((rows) => rows.first("lane", "next", "")?.nextAt);
  answerCondition: Store["answerCondition"] = (run, record, answer, now) =>
    this.#change(answerCondition, { run, record, answer }, now);

  async recordStep(run: string, record: StepRecord, effects: StepEffects, now: number): Promise<StepResult> {
    const result = await this.#change(recordStep, { run, record, effects }, now);
    if (effects.wait?.kind !== "event" || result.dropped || result.record.state !== "waiting") return result;
    return { record: await this.#searches.search({ run, path: record.path }, now) ?? result.record };
  }

  suspendRun: Store["suspendRun"] = (run, suspension, now) => this.#change(suspendRun, { run, suspension }, now);
  finishRun: Store["finishRun"] = (run, end, now) => this.#change(finishRun, { run, end }, now);

  // What people do to runs.
  readonly cancelRun = this.#actions.cancel.bind(this.#actions);
  readonly replayRun = this.#actions.replay.bind(this.#actions);
  readonly retryRun = this.#actions.retry.bind(this.#actions);
  readonly skipWait = this.#actions.skip.bind(this.#actions);
  readonly moveRun = this.#actions.move.bind(this.#actions);

  async reclaimRuns(whose: Reclaiming, now: number): Promise<number> {
    const newest = await this.#read((rows) => rows.fact("last")?.receivedAt ?? 0);
    // The clock was rolled back while the program was down.
    if (newest > now) await this.rollBackClock(newest - now, now);
    let reclaimed = 0;
    for (let more = true; more;) {
      const slice = await this.#change(reclaimRuns, whose, now);
      reclaimed += slice.queued;
      more = slice.more;
    }
    await this.resumeSearches(now);
    return reclaimed;
  }

  onFound(listener: (run: string) => void): void {
    this.#searches.onFound = listener;
  }

  /** See {@link Searches.resume}. */
  protected async resumeSearches(now: number): Promise<void> {
    await this.#searches.resume(now);
  }

  answerForm: Store["answerForm"] = (form, answer) => this.#change(answerForm, { form, answer });
  getForm: Store["getForm"] = (form) => this.#read((rows) => readForm(rows, form));
  listForms: Store["listForms"] = (filter) => this.#read((rows) => listForms(rows, filter));
  getState: Store["getState"] = (keys, now) => this.#read((rows) => getState(rows, keys, now));

  // ── reading ────────────────────────────────────────────────────────────────────────────────────────────────────

  getRun: Store["getRun"] = (id) => this.#reading.getRun(id);
  getLiveRuns: Store["getLiveRuns"] = (ids) => this.#reading.getLiveRuns(ids);
  getEvent: Store["getEvent"] = (id) => this.#reading.getEvent(id);
  hasEvent: Store["hasEvent"] = (key) => this.#reading.hasEvent(Number(key));
  hasRun: Store["hasRun"] = (id) => this.#reading.hasRun(id);
  findEventKey: Store["findEventKey"] = (event) => this.#reading.findEventKey(event);
  searchRuns: Store["searchRuns"] = (search) => this.#reading.searchRuns(search);
  searchRunHeads: Store["searchRunHeads"] = (search) => this.#reading.searchRunHeads(search);

  async listRuns(filter: Omit<RunSearch, "parts">): Promise<Run[]> {
    return (await this.searchRuns(filter)).rows;
  }

  searchEvents: Store["searchEvents"] = (search) => this.#reading.searchEvents(search);

  async listEvents(filter: Omit<EventSearch, "parts">): Promise<EventRecord[]> {
    return (await this.searchEvents(filter)).rows;
  }

  changes: Store["changes"] = () => this.parts.history.newest();
  countVerdicts: Store["countVerdicts"] = () => this.#read(countVerdicts);
  countEnds: Store["countEnds"] = () => this.#read(countEnds);
  countRuns: Store["countRuns"] = () => this.#read(countRuns);

  stats(): Promise<StoreStats> {
    const { history, folding } = this.parts;
    return this.#read((rows) => {
      const ended = history.counts();
      return {
        events: ended.events,
        identities: rows.identities.size,
        runs: ended.runs + rows.size("run"),
        bytes: this.bytes(),
        historyBytes: history.bytes(),
        journalBytes: folding?.logBytes ?? 0,
      };
    });
  }

  refusal: Store["refusal"] = () => this.parts.deciding.refusal;
  bytes: Store["bytes"] = () => this.parts.rows.bytes + this.parts.rows.identities.bytes;

  // ── upkeep ─────────────────────────────────────────────────────────────────────────────────────────────────────

  retain(retention: Retention): void {
    this.parts.settings.retention = retention;
  }

  async prune(retention: Retention, now: number): Promise<boolean> {
    this.retain(retention);
    const folding = this.#folding();
    const more = await this.#change(prune, undefined, now);
    if (expireIdentities(this.parts.rows, { now, retention })) await this.#change(noteExpired, undefined, now);
    [folding.now, folding.retention] = [now, retention];
    return await folding.trim(retention) || more;
  }

  async checkpoint(): Promise<void> {
    // Takes its turn, so that everything requested before is included.
    await this.#read(() => {});
    await this.#folding().foldAll();
  }

  /** Finishes waiting work. Folds the log if a start would take long to replay it. */
  async close(): Promise<void> {
    this.#searches.close();
    await this.parts.deciding.close();
    await this.#searches.ended();
    await this.parts.folding?.close();
    await this.parts.reads.close();
    this.parts.rows.close();
  }

  // ── how ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** @param now 0 if the transition does not use the time */
  #change<I, R>(transition: Transition<I, R>, input: I, now = 0): Promise<R> {
    return this.parts.deciding.decide("change", transition, input, now);
  }

  /** Reads in its turn; resolves when everything that it saw is durable. */
  #read<T>(work: (rows: Rows) => T): Promise<T> {
    return this.parts.deciding.read(work);
  }

  /** @throws Error if this program follows another one */
  #folding(): Folding {
    const { folding } = this.parts;
    if (folding === undefined) throw new Error("Cannot change the files of the store: another program decides");
    return folding;
  }

  /** Adds the verdicts on the first delivery, if history still has them and can be read: the receipt counts without them, too. */
  async #addVerdicts(receipt: Receipt): Promise<void> {
    const { rows, history } = this.parts;
    const identity = findIdentity(rows, receipt.event);
    const first = identity && await history.getEvent(identity.key).catch(() => undefined);
    if (first) receipt.verdicts = first.verdicts;
  }
}
