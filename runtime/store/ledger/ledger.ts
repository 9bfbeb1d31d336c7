import { FolderLostError } from "../../host/lock.ts";
import { setImmediate } from "node:timers";
import { turn } from "../../host/slices.ts";
import { StoreFullError } from "../store.ts";
import { encode, type Encoded, type HistoryText } from "./encode.ts";
import type { Rows } from "./rows.ts";

/** Milliseconds of work in one turn of the event loop, so that no burst holds it. */
const SLICE = 5;

/** Seconds after which refused intake may try again. */
const RETRY_AFTER = 5;

/** `intake` is refused while writes fail; everything else waits for them. */
export type JobKind = "intake" | "change" | "read";

/** Makes frames durable, one at a time. */
export interface FrameLog {
  /** The last frame that is synced. */
  readonly lastSeq: number;
  /** Why writes fail at the moment. */
  readonly refusal: Error | undefined;
  append(text: string): Promise<void>;
  /** From here on a write that fails is not tried again. */
  stop(): void;
}

interface Job {
  kind: JobKind;
  work: () => unknown;
  resolve: (result: never) => void;
  reject: (error: unknown) => void;
}

/** What has been decided and will be one frame. */
interface Group {
  jobs: Job[];
  /** How each of them is settled. */
  outcomes: (() => void)[];
}

export interface LedgerOptions {
  rows: Rows;
  log: FrameLog;
  /** Called with the history of each frame before it is written. */
  onHistory: (seq: number, history: HistoryText[]) => void;
}

/**
 * Decides one transition after the other, and makes them durable as frames. All that comes while one frame is written is decided
 * meanwhile and becomes the next one; its promises settle once that is synced, too. So nobody, reader or duplicate, is
 * ever shown what a power cut could still take back.
 */
export class Ledger {
  readonly #options: LedgerOptions;
  #waiting: Job[] = [];
  #open: Group | undefined;
  #scheduled = false;
  #writing: Promise<void> | undefined;
  #closed = false;
  /** Why nothing is written any more: what is in memory was decided on something that never became durable. */
  #lost: Error | undefined;

  constructor(options: LedgerOptions) {
    this.#options = options;
  }

  /** Does `work` in its turn; what it throws is undone and rejects only this promise. */
  add<T>(kind: JobKind, work: () => T): Promise<T> {
    if (this.#closed) return Promise.reject(new Error("The store is closed"));
    if (kind === "intake" && this.#options.log.refusal) return Promise.reject(this.#refusal());
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push({ kind, work, resolve, reject });
      this.#schedule();
    });
  }

  /** Undoes what is not being written yet, and sends away what wants in; called when writes begin to fail. */
  refuseIntake(): void {
    const jobs = [...this.#undoOpen(), ...this.#waiting];
    this.#waiting = jobs.filter((job) => job.kind !== "intake");
    for (const job of jobs) if (job.kind === "intake") job.reject(this.#refusal());
    this.#schedule();
  }

  /** Why intake is refused at the moment. */
  get refusal(): string | undefined {
    return this.#options.log.refusal && this.#refusal().message;
  }

  /** Takes nothing more; resolves when what waited is done, or has failed with its write. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#options.log.stop();
    while (this.#scheduled || this.#writing) await (this.#writing ?? turn());
  }

  /** Everything that this turn of the event loop brings is decided at its end. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#decide();
      if (this.#waiting.length > 0) this.#schedule();
      this.#writing ??= this.#write().finally(() => this.#writing = undefined);
    });
  }

  /** Does what waits, up to the end of the slice. */
  #decide(): void {
    const until = performance.now() + SLICE;
    let done = 0;
    while (done < this.#waiting.length) {
      this.#attempt(this.#waiting[done++], this.#open ??= { jobs: [], outcomes: [] });
      if (performance.now() > until) break;
    }
    this.#waiting.splice(0, done);
  }

  /** @param isChecked whether all that it changes is looked at now: can it be written? */
  #attempt(job: Job, { jobs, outcomes }: Group, isChecked = false): void {
    const { rows } = this.#options;
    const mark = rows.mark();
    try {
      const result = isChecked ? rows.checked(job.work) : job.work();
      outcomes.push(() => job.resolve(result as never));
    } catch (error) {
      rows.undo(mark);
      outcomes.push(() => job.reject(error));
    }
    jobs.push(job);
  }

  #undoOpen(): Job[] {
    const jobs = this.#open?.jobs ?? [];
    this.#options.rows.undo(0);
    this.#open = undefined;
    return jobs;
  }

  /** Writes what has been decided, and what is decided meanwhile, group after group. */
  async #write(): Promise<void> {
    const { log, onHistory } = this.#options;
    for (let group; (group = this.#open);) {
      this.#open = undefined;
      try {
        const { text, history } = this.#encode(group);
        if (this.#lost) throw this.#lost;
        if (text !== "") {
          onHistory(log.lastSeq + 1, history);
          await log.append(text);
        }
        for (const settle of group.outcomes) settle();
      } catch (error) {
        this.#lost = error as Error;
        const isLost = error instanceof FolderLostError;
        for (const job of group.jobs) job.reject(isLost && job.kind === "intake" ? this.#refusal() : error);
      }
    }
  }

  /** Encodes what a group has changed. What cannot be written is undone, and rejects only who wanted it. */
  #encode(group: Group): Encoded {
    const { rows } = this.#options;
    try {
      return encode(rows);
    } catch {
      rows.undo(0);
      const { jobs } = group;
      [group.jobs, group.outcomes] = [[], []];
      for (const job of jobs) this.#attempt(job, group, true);
    }
    try {
      return encode(rows);
    } catch (error) {
      // Each alone could be written: together they are too much for one text.
      rows.undo(0);
      group.outcomes = group.jobs.map((job) => () => job.reject(error));
      return encode(rows);
    }
  }

  #refusal(): StoreFullError {
    return new StoreFullError(`Writes to the disk fail: ${this.#options.log.refusal?.message}`, RETRY_AFTER);
  }
}
