import { newId } from "../../model/id.ts";
import type { Retention } from "../store.ts";
import type { Database } from "./database.ts";

/** What every transition works with. */
export interface Context {
  database: Database;
  ids: Ids;
  /** What `retain` or `prune` was last told; until then the defaults. */
  retention: Retention;
  sweep: Sweep;
}

/** How far the search for what is superfluous has come. */
export interface Sweep {
  /** The events up to here are still needed, with all that their runs did. */
  passed: number;
  /** The rule whose verdicts are looked at, */
  rule: string;
  /** behind those on this event. */
  verdict: number;
  /** Verdicts that were passed over since the search began. */
  needed: number;
  /** Whether anything was found since then. */
  dropped: boolean;
  /** How many traces have to be dropped before it is worthwhile to look at verdicts again. */
  rest: number;
}

/** From now on that is kept. */
export function retain(context: Context, retention: Retention): void {
  if (retention.verdicts !== context.retention.verdicts) context.sweep = newSweep();
  context.retention = retention;
}

/** A search that has yet to begin. */
export function newSweep(): Sweep {
  return { passed: 0, rule: "", verdict: 0, needed: 0, dropped: false, rest: 0 };
}

/** 256 MB, 30 days, 1,000 verdicts a rule. */
export const DEFAULT_RETENTION: Retention = { bytes: 256 * 1024 * 1024, identities: 30 * 86_400_000, verdicts: 1_000 };

/** New keys and ids that sort behind all that are in the store, also when the clock went back since. */
export class Ids {
  #lastEvent: number;
  #lastRunTime: number;

  constructor(database: Database) {
    this.#lastEvent = database.value<number | null>("SELECT max(key) FROM events") ?? 0;
    const lastRun = database.value<string | null>("SELECT max(id) FROM runs");
    this.#lastRunTime = lastRun ? idTime(lastRun) + 1 : 0;
  }

  /** A whole number below 2^53: microseconds, as there may be many in a millisecond. */
  event(now: number): number {
    return this.#lastEvent = Math.max(this.#lastEvent + 1, Math.floor(now) * 1_000);
  }

  /** The key of the newest event. */
  get lastEvent(): number {
    return this.#lastEvent;
  }

  run(now: number): string {
    return newId(Math.max(now, this.#lastRunTime));
  }
}

/** The milliseconds in the first nine characters of an id. */
function idTime(id: string): number {
  return [...id.slice(0, 9)].reduce((time, digit) => time * 32 + "0123456789abcdefghjkmnpqrstvwxyz".indexOf(digit), 0);
}
