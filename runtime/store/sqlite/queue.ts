import { setImmediate } from "node:timers";
import { StoreFullError } from "../store.ts";
import type { Database } from "./database.ts";
import type { Journal } from "./journal.ts";

/** A group ends after this long, so that no burst holds the event loop. */
const GROUP_MS = 5;

/** Seconds after which a refused arrival may try again. */
const RETRY_AFTER = 5;

/** `intake` is refused while the disk is; everything else waits for it. */
export type JobKind = "intake" | "change" | "read";

interface Job {
  kind: JobKind;
  work: () => unknown;
  resolve: (result: never) => void;
  reject: (error: unknown) => void;
}

/**
 * The one queue that transitions and reads wait in. All that wait together are one transaction and one frame of the
 * journal; their promises settle once it is on disk, and only then the next group is looked at. So nobody, reader or
 * duplicate, is ever shown what a power cut could still take back.
 */
export class CommitQueue {
  readonly #database: Database;
  readonly #journal: Journal;
  readonly #onCommitted: () => void;
  #waiting: Job[] = [];
  #running: Promise<void> | undefined;
  #closed = false;

  /** @param onCommitted called after each group */
  constructor(database: Database, journal: Journal, onCommitted: () => void) {
    this.#database = database;
    this.#journal = journal;
    this.#onCommitted = onCommitted;
  }

  /** Does `work` in its turn; what it throws undoes it and rejects only this promise. */
  add<T>(kind: JobKind, work: () => T): Promise<T> {
    if (this.#closed) return Promise.reject(new Error("The store is closed"));
    if (kind === "intake" && this.#journal.refusal) return Promise.reject(this.#refusal());
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push({ kind, work, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /** Sends away what wants in; called when the disk begins to refuse. */
  refuseIntake(): void {
    const refused = this.#waiting.filter((job) => job.kind === "intake");
    this.#waiting = this.#waiting.filter((job) => job.kind !== "intake");
    for (const job of refused) job.reject(this.#refusal());
  }

  /** Takes nothing more; resolves when what waited is done, or has failed with a disk that refuses. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#journal.stop();
    await this.#running;
  }

  async #run(): Promise<void> {
    // Lets everything that this turn of the event loop brings into the first group.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      await this.#group();
      this.#onCommitted();
      // Reads alone wait for no disk; without this, a chain of them would keep everything else waiting.
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.#running = undefined;
  }

  /** Does the next group in one transaction, writes it, and settles its promises. */
  async #group(): Promise<void> {
    let jobs: Job[] = [];
    let outcomes: (() => void)[];
    try {
      outcomes = this.#perform(false) ?? this.#perform(true)!;
      jobs = this.#waiting.splice(0, outcomes.length);
      const writes = this.#database.commit();
      if (writes.length > 0) await this.#journal.append(writes);
    } catch (error) {
      return jobs.forEach((job) => job.reject(error));
    }
    outcomes.forEach((settle) => settle());
  }

  /**
   * Does the first of what waits, up to the end of the group's time, in a transaction that is left open.
   * @param apart each in a savepoint of its own, so that only what fails is undone: that costs twice the page copies, and is
   * needed only where something fails
   * @returns how each of them is settled; undefined where not apart and one failed, then nothing is done
   */
  #perform(apart: boolean): (() => void)[] | undefined {
    const until = performance.now() + GROUP_MS;
    const outcomes: (() => void)[] = [];
    this.#database.begin();
    do {
      const outcome = this.#attempt(this.#waiting[outcomes.length], apart);
      if (outcome === undefined) {
        this.#database.rollback();
        return undefined;
      }
      outcomes.push(outcome);
    } while (outcomes.length < this.#waiting.length && performance.now() < until);
    return outcomes;
  }

  #attempt({ kind, work, resolve, reject }: Job, apart: boolean): (() => void) | undefined {
    try {
      const result = apart && kind !== "read" ? this.#database.whole(work) : work();
      return () => resolve(result as never);
    } catch (error) {
      return apart || kind === "read" ? () => reject(error) : undefined;
    }
  }

  #refusal(): StoreFullError {
    return new StoreFullError(`The disk refuses writes: ${this.#journal.refusal?.message}`, RETRY_AFTER);
  }
}
