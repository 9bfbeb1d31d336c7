import { setImmediate } from "node:timers";
import { turn } from "../../host/slices.ts";
import { StoreFullError } from "../store.ts";
import type { Database } from "./database.ts";
import type { Journal } from "./journal.ts";

/** Milliseconds of work in one turn of the event loop, so that no burst holds it. */
const SLICE = 5;

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

/** What is done in the open transaction, and will be one frame of the journal. */
interface Group {
  jobs: Job[];
  /** How each of them is settled. */
  outcomes: (() => void)[];
  /**
   * Each job has a savepoint of its own, so that only what fails is undone: that costs twice the page copies, and is
   * needed only where something fails.
   */
  apart: boolean;
}

/**
 * The one queue that transitions and reads wait in. All that comes while the disk takes one frame is done meanwhile, in one
 * transaction, and becomes the next frame; its promises settle once that is on disk, too. So nobody, reader or duplicate, is
 * ever shown what a power cut could still take back.
 */
export class CommitQueue {
  readonly #database: Database;
  readonly #journal: Journal;
  readonly #onCommitted: () => void;
  #waiting: Job[] = [];
  #open: Group | undefined;
  #scheduled = false;
  #writing: Promise<void> | undefined;
  #closed = false;
  /** Why nothing is written any more: what is in memory stands on something that never came to the disk. */
  #lost: Error | undefined;

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
      this.#schedule();
    });
  }

  /** Undoes what is not on its way to the disk yet, and sends away what wants in; called when the disk begins to refuse. */
  refuseIntake(): void {
    const jobs = [...this.#undo(), ...this.#waiting];
    this.#waiting = jobs.filter((job) => job.kind !== "intake");
    for (const job of jobs) if (job.kind === "intake") job.reject(this.#refusal());
    this.#schedule();
  }

  /** Takes nothing more; resolves when what waited is done, or has failed with a disk that refuses. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#journal.stop();
    while (this.#scheduled || this.#writing) await (this.#writing ?? turn());
  }

  /** Everything that this turn of the event loop brings is done at its end. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#perform();
      if (this.#waiting.length > 0) this.#schedule();
      this.#writing ??= this.#write().finally(() => this.#writing = undefined);
    });
  }

  /** Does what waits in the open transaction, up to the end of the slice. */
  #perform(): void {
    let until = performance.now() + SLICE;
    let done = 0;
    while (done < this.#waiting.length) {
      const group = this.#open ??= this.#begin(false);
      if (this.#attempt(this.#waiting[done], group)) done++;
      else {
        this.#waiting = [...this.#undo(), ...this.#waiting.slice(done)];
        this.#open = this.#begin(true);
        done = 0;
        // From here on something gets done, however long it took to fail: else the same would be tried for ever.
        until = performance.now() + SLICE;
      }
      if (performance.now() > until) break;
    }
    this.#waiting.splice(0, done);
  }

  #begin(apart: boolean): Group {
    this.#database.begin();
    return { jobs: [], outcomes: [], apart };
  }

  /** Does one job. @returns false where it failed, and all of its group has to be undone with it */
  #attempt(job: Job, { jobs, outcomes, apart }: Group): boolean {
    const { kind, work, resolve, reject } = job;
    try {
      const result = apart && kind !== "read" ? this.#database.whole(work) : work();
      outcomes.push(() => resolve(result as never));
    } catch (error) {
      if (!apart && kind !== "read") return false;
      outcomes.push(() => reject(error));
    }
    jobs.push(job);
    return true;
  }

  /** Ends the open transaction without a trace. @returns what was done in it */
  #undo(): Job[] {
    if (this.#open === undefined) return [];
    const { jobs } = this.#open;
    this.#database.rollback();
    this.#open = undefined;
    return jobs;
  }

  /** Writes what has been done, and what is done meanwhile, group after group. */
  async #write(): Promise<void> {
    for (let group; (group = this.#open);) {
      this.#open = undefined;
      try {
        const writes = this.#database.commit();
        if (this.#lost) throw this.#lost;
        if (writes.length > 0) await this.#journal.append(writes);
        for (const settle of group.outcomes) settle();
      } catch (error) {
        this.#lost = error as Error;
        for (const job of group.jobs) job.reject(error);
      }
      this.#onCommitted();
    }
  }

  #refusal(): StoreFullError {
    return new StoreFullError(`The disk refuses writes: ${this.#journal.refusal?.message}`, RETRY_AFTER);
  }
}
