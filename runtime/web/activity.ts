import type { Clock } from "../host/clock.ts";
import { isFinal, type Run } from "../model/run.ts";
import type { Store } from "../store/store.ts";

/** How a run ended. */
export interface Outcome {
  id: string;
  state: "succeeded" | "failed" | "cancelled";
  endedAt: number;
  /** The message of its error. */
  error?: string;
}

/** The last day in slots of 15 minutes, oldest first. */
export interface Day {
  slots: Slot[];
  /** Since when all runs are counted. Of earlier runs, only the last thousand and the failed ones are known. */
  completeFrom: number;
}

/** How many runs ended in a quarter of an hour. */
export interface Slot {
  /** Its start, milliseconds since the epoch. */
  from: number;
  succeeded: number;
  failed: number;
  cancelled: number;
}

const SLOT = 900_000;
const SLOTS = 96;
/** Outcomes kept for each rule. */
export const RECENT = 20;
/** How many runs from before the program's start are read for the day, and how many failed runs. */
const SEED = { day: 1_000, failed: 200 };

/**
 * Recently ended runs, for pages that show many rules: a query for each rule would be too slow. They are counted
 * in memory as runs end; those from before the program's start are read from the store when a page first needs them.
 */
export class Activity {
  readonly #slots = new Map<number, Slot>();
  readonly #recent = new Map<string, Outcome[]>();
  /** The rules whose earlier outcomes were read, or are being read. */
  readonly #seeded = new Map<string, Promise<void>>();
  #before: Promise<void> | undefined;
  readonly #startedAt: number;
  #completeFrom = 0;

  constructor(private readonly store: Pick<Store, "listRuns">, private readonly clock: Clock) {
    this.#startedAt = clock.now();
  }

  /** A run ended. */
  ended(run: Run): void {
    const outcome = outcomeOf(run);
    if (outcome === undefined) return;
    this.#count(outcome);
    this.#keep(run.rule, [outcome]);
  }

  async day(): Promise<Day> {
    await this.#seed();
    const last = Math.floor(this.clock.now() / SLOT);
    const slots = Array.from({ length: SLOTS }, (_, index) => {
      const slot = last - SLOTS + 1 + index;
      return this.#slots.get(slot) ?? emptySlot(slot);
    });
    return { slots, completeFrom: this.#completeFrom };
  }

  /** The last outcomes of these rules, oldest first. */
  async recent(rules: string[]): Promise<Map<string, Outcome[]>> {
    await Promise.all(rules.map((rule) => this.#seedRule(rule)));
    return new Map(rules.map((rule) => [rule, [...this.#recent.get(rule) ?? []]]));
  }

  /** The last outcome of each rule whose last run failed. */
  async failing(): Promise<Map<string, Outcome>> {
    await this.#seed();
    const last = [...this.#recent].map(([rule, outcomes]) => [rule, outcomes.at(-1)] as const);
    return new Map(last.filter((entry): entry is [string, Outcome] => entry[1]?.state === "failed"));
  }

  #seed(): Promise<void> {
    return this.#before ??= this.#readBefore().catch((error) => {
      // The next page tries again.
      this.#before = undefined;
      throw error;
    });
  }

  async #readBefore(): Promise<void> {
    const runs = await this.store.listRuns({ limit: SEED.day });
    const failed = await this.store.listRuns({ state: "failed", limit: SEED.failed });
    const outcomes = new Map([...runs, ...failed].map((run) => [run.id, outcomeOf(run)]));
    for (const outcome of outcomes.values()) {
      if (outcome !== undefined && outcome.endedAt < this.#startedAt) this.#count(outcome);
    }
    this.#completeFrom = runs.length < SEED.day ? 0 : Math.min(this.#startedAt, runs[runs.length - 1].createdAt);
    await this.recent([...new Set(failed.map(({ rule }) => rule))]);
  }

  #seedRule(rule: string): Promise<void> {
    const seeding = this.#seeded.get(rule) ?? this.#readRule(rule).catch((error) => {
      this.#seeded.delete(rule);
      throw error;
    });
    this.#seeded.set(rule, seeding);
    return seeding;
  }

  async #readRule(rule: string): Promise<void> {
    const runs = await this.store.listRuns({ rule, limit: RECENT });
    this.#keep(rule, runs.map(outcomeOf).filter((outcome) => outcome !== undefined));
  }

  #count({ state, endedAt }: Outcome): void {
    const at = Math.floor(endedAt / SLOT);
    let slot = this.#slots.get(at);
    if (slot === undefined) {
      this.#slots.set(at, slot = emptySlot(at));
      for (const old of this.#slots.keys()) if (old <= at - SLOTS) this.#slots.delete(old);
    }
    slot[state]++;
  }

  /** A run that was retried has a later outcome, which replaces the earlier one. */
  #keep(rule: string, outcomes: Outcome[]): void {
    const kept = this.#recent.get(rule) ?? [];
    this.#recent.set(rule, kept);
    for (const outcome of outcomes) {
      const known = kept.findIndex(({ id }) => id === outcome.id);
      if (known >= 0) {
        if (kept[known].endedAt > outcome.endedAt) continue;
        kept.splice(known, 1);
      }
      // Nearly always the last one.
      kept.splice(kept.findLastIndex(({ endedAt }) => endedAt <= outcome.endedAt) + 1, 0, outcome);
      if (kept.length > RECENT) kept.shift();
    }
  }
}

function outcomeOf({ id, state, createdAt, endedAt = createdAt, error }: Run): Outcome | undefined {
  if (!isFinal(state)) return undefined;
  return { id, state, endedAt, ...error && { error: error.message } };
}

function emptySlot(at: number): Slot {
  return { from: at * SLOT, succeeded: 0, failed: 0, cancelled: 0 };
}
