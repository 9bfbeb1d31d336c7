import { newId } from "../../model/id.ts";
import type { Retention } from "../store.ts";
import type { Database } from "./database.ts";

/** What every transition works with. */
export interface Context {
  database: Database;
  ids: Ids;
  /** What `retain` or `prune` was last told; until then the defaults. */
  retention: Retention;
  /**
   * How far the search for what is superfluous has come: behind which event, as all before are still needed, and at which rule's
   * verdicts; and whether it has found anything since it began.
   */
  sweep: { passed: number; rule: string; dropped: boolean };
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
