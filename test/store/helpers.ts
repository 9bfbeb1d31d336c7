import type { StepRecord } from "../../runtime/model/run.ts";
import type { Rule } from "../../runtime/model/rule.ts";
import type { Json } from "../../runtime/model/json.ts";
import type { Admission, Arrival, Candidate, Receipt, Retention, Store, Wait } from "../../runtime/store/store.ts";
import { turn } from "../../runtime/host/large_work.ts";
import { openStore, type StoreOptions } from "../../runtime/store/open_store.ts";
import { FaultyDisk } from "../faults/faulty_disk.ts";
import { plainRule } from "../model/plain_rule.ts";

export const FOLDER = "/data";
export const NOW = Date.UTC(2026, 0, 5, 12);
export const DAY = 86_400_000;
/** A clock that never advances. */
export const RETENTION: Retention = { bytes: 1e12, identities: 30 * DAY, live: 256 * 1024 * 1024 };

/** Opens a store on a disk in memory; unexpected warnings are errors. */
export function open(options: Partial<StoreOptions> = {}): Promise<Store> {
  return openStore({
    folder: FOLDER,
    disk: new FaultyDisk(),
    now: NOW,
    onWarning: (message) => {
      throw new Error(message);
    },
    ...options,
  });
}

/** Runs everything that can run before the disk's next response. */
export async function settle(): Promise<void> {
  for (let turns = 0; turns < 20; turns++) await turn();
}

let openForTest = (): Promise<Store> => open();

/** From now on {@link storeTest} opens its stores in this way, to show the same behaviour elsewhere. */
export function openStoresWith(openOne: () => Promise<Store>): void {
  openForTest = openOne;
}

/** A test with a store of its own, closed at the end. */
export function storeTest(name: string, work: (store: Store) => Promise<void>): void {
  Deno.test(name, async () => {
    const store = await openForTest();
    try {
      await work(store);
    } finally {
      await store.close();
    }
  });
}

export const admission: Admission = {
  kind: "admit",
  mode: "parallel",
  key: null,
  max: 10,
  limit: null,
  asksFirst: false,
};

/** A candidate of the rule "shop/pay". */
export function candidate(admit: Partial<Admission> = {}, rule = "shop/pay"): Candidate {
  return { rule, version: "v1", trigger: "webhook /pay", outcome: { ...admission, ...admit } };
}

/** One delivery of the event with an id. */
export function arrival(id: string, candidates: Candidate[] = [candidate()], within?: number): Arrival {
  return {
    event: { id, source: "/hooks/pay", type: "paid", time: new Date(NOW).toISOString(), data: { id } },
    candidates,
    ...(within !== undefined && { within }),
  };
}

/** Accepts one event. @returns the receipt */
export async function send(store: Store, id: string, admit: Partial<Admission> = {}, now = NOW): Promise<Receipt> {
  return (await store.accept([arrival(id, [candidate(admit)])], [], now))[0];
}

/** Claims as the owner "me". @returns the events' ids */
export async function claimIds(store: Store, max = 100, now = NOW): Promise<string[]> {
  return (await store.claimRuns("me", max, now)).map(({ run }) => run.event.id);
}

export function step(path: string, record: Partial<StepRecord> = {}): StepRecord {
  return { path, kind: "http", state: "succeeded", attempts: 1, startedAt: NOW, ...record };
}

/** Accepts one event that no rule listens to. */
export async function publish(store: Store, id: string, type: string, data: Json, now = NOW): Promise<Receipt> {
  const event = { id, source: "/shop", type, time: new Date(now).toISOString(), data };
  return (await store.accept([{ event, candidates: [] }], [], now))[0];
}

/** Accepts an event and claims its run. @returns the run's id */
export async function startRun(store: Store, id: string, admit: Partial<Admission> = {}, now = NOW): Promise<string> {
  const { runs: [run] } = await send(store, id, admit, now);
  await store.claimRuns("me", 1, now);
  return run;
}

/** Begins a wait of a step. @returns its record as stored */
export async function beginWait(
  store: Store,
  run: string,
  path: string,
  wait: Wait,
  record: Partial<StepRecord> = {},
): Promise<StepRecord> {
  const waiting = step(path, { kind: wait.kind, state: "waiting", ...record });
  return (await store.recordStep(run, waiting, { wait }, NOW)).record;
}

export function suspend(store: Store, run: string, due?: number, now = NOW): Promise<void> {
  return store.suspendRun(run, { state: "waiting", waitingFor: "a wait", spent: 1, ...(due && { due }) }, now);
}

/** Prunes until there is nothing left to remove. */
export async function pruneAll(store: Store, changes: Partial<Retention> = {}, now = NOW): Promise<void> {
  while (await store.prune({ ...RETENTION, ...changes }, now));
}

/** Makes another event and run the last ones of the rule "shop/pay", because history keeps the last ones for ever. @returns the run */
export async function supersede(store: Store, now = NOW, id = "newest"): Promise<string> {
  const { runs: [run] } = await send(store, id, {}, now);
  await store.cancelRun(run, "by anna", now);
  return run;
}

/** Folds everything and removes all of history but each rule's last run and verdicts. */
export async function dropHistory(store: Store, now = NOW): Promise<void> {
  await store.checkpoint();
  await pruneAll(store, { bytes: 0 }, now);
}

/** The record of one step of a run. */
export async function stepOf(store: Store, run: string, path: string): Promise<StepRecord | undefined> {
  return (await store.getRun(run))!.steps.find((step) => step.path === path);
}

export function rule(version: string, changes: Partial<Rule> = {}): Rule {
  return plainRule({ id: "shop/pay", version, ...changes });
}
