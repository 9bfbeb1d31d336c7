import { FolderLostError } from "../host/lock.ts";
import { messageOf } from "../model/errors.ts";
import type { Event } from "../model/event.ts";
import type { StepRecord } from "../model/run.ts";
import type { History } from "./history/history.ts";
import type { WaitRow } from "./ledger/tables.ts";
import type { Read } from "./reading.ts";
import { retryPause } from "./retry_pause.ts";
import { stepKey } from "./transitions/run_rows.ts";
import { isTaken, matches, needleOf, type Place, type Resolved, type Search } from "./transitions/waits.ts";

export interface SearchesOptions {
  /** As it is now: a program that begins to decide has another one than before. */
  history(): History;
  read: Read;
  /** Decides what follows from the outcome of a search. */
  decide(search: Search, now: number): Promise<Resolved>;
  onWarning: (message: string) => void;
}

/** Searches for the events of waits that came before their wait was registered. */
export class Searches {
  readonly #options: SearchesOptions;
  /** Called with the run of a repeated search that has ended its wait. */
  onFound: (run: string) => void = () => {};
  /** Settles with the searches that are repeated because the end of a program interrupted them. */
  #resumed: Promise<unknown> = Promise.resolve();
  /** Aborted when the store closes. */
  readonly #stop = new AbortController();

  constructor(options: SearchesOptions) {
    this.#options = options;
  }

  /**
   * Searches for the oldest event since a run began that matches one of its waits. The wait is already registered, so no event is
   * missed: the wait notes events that arrive during the search.
   * @returns the step's current record; undefined if it no longer waits
   */
  async search(place: Place, now: number): Promise<StepRecord | undefined> {
    const { history, read, decide } = this.#options;
    const started = await read((rows) => {
      const wait = rows.get("wait", stepKey(place.run, place.path));
      return wait?.searching && { wait, began: rows.get("run", place.run)!.began };
    });
    if (!started) return undefined;
    const searchAfter = async (after: number): Promise<Search> => {
      const found = await this.#patiently(() => this.#findAfter(after, started.wait));
      return { ...place, ...found && { found } };
    };
    for (let search = await searchAfter(started.began);;) {
      const resolved = await decide(search, now);
      if (resolved.kind === "record") return resolved.record;
      if (resolved.kind === "again") search = await searchAfter(resolved.after);
      else {
        const { key } = resolved;
        const record = await this.#patiently(() => history().getEvent(key));
        search = { ...place, ...record ? { found: { key, event: record.event } } : { gone: key } };
      }
    }
  }

  /** Repeats searches that were interrupted. Repeating one that is still in progress does no harm. */
  async resume(now: number): Promise<void> {
    const { read, onWarning } = this.#options;
    const places = await read((rows) => rows.range("wait", "searching", ""));
    const searches = Promise.all(places.map((place) => this.#repeat(place, now))).catch((error) => {
      // Closing interrupted the search; the next start repeats it.
      if (!this.#stop.signal.aborted) onWarning(`Cannot look for awaited events: ${messageOf(error)}`);
    });
    this.#resumed = Promise.all([this.#resumed, searches]).then(() => {});
  }

  async #repeat(place: Place, now: number): Promise<void> {
    const record = await this.search(place, now);
    if (record?.state === "succeeded") this.onFound(place.run);
  }

  /** The store closes: what cannot be read now is left to the next start. */
  close(): void {
    this.#stop.abort();
  }

  /** Resolves when no repeated search is in progress. */
  async ended(): Promise<void> {
    await this.#resumed;
  }

  /** The oldest matching event after a key that has not ended another wait of the run. */
  async #findAfter(after: number, wait: WaitRow): Promise<{ key: number; event: Event } | undefined> {
    const { history, read } = this.#options;
    const search = { types: wait.types!, after, needle: needleOf(wait) };
    for await (const { key, event } of history().findEvents(search)) {
      if (matches(event, wait) && !await read((rows) => isTaken(rows, wait.run, key))) return { key, event };
    }
    return undefined;
  }

  /** Repeats a look into history until it succeeds: a part of it may be in a database that cannot be reached for a while. */
  async #patiently<T>(look: () => Promise<T>): Promise<T> {
    const { signal } = this.#stop;
    for (let failures = 1;; failures++) {
      try {
        return await look();
      } catch (error) {
        if (signal.aborted || error instanceof FolderLostError) throw error;
        if (failures === 1) {
          this.#options.onWarning(`Cannot look for an awaited event: ${messageOf(error)}; it is tried again`);
        }
      }
      await retryPause(failures, signal);
    }
  }
}
