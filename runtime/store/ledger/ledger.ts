import { setImmediate } from "node:timers";
import { relieveMemory, turn } from "../../host/large_work.ts";
import { StoreFullError } from "../store.ts";
import type { Identity } from "./identities.ts";
import type { HistoryKind } from "../log/log_frame.ts";
import { ordered, SEPARATOR } from "./keys.ts";
import type { Rows } from "./rows.ts";
import { eventToJson, toJson } from "./tables.ts";

/** Milliseconds of work per turn of the event loop, so that no burst blocks it. */
const SLICE = 5;

/** Characters of frames after which most of the memory that was used for them is garbage. */
const RELIEF_BYTES = 1024 * 1024;

/** Seconds after which a refused sender may retry. */
const RETRY_AFTER = 5;

/** `intake` is refused while writes fail; everything else waits for them. */
export type JobKind = "intake" | "change" | "read";

/** Makes frames durable, one at a time. */
export interface FrameLog {
  /** The last synced frame. */
  readonly lastSeq: number;
  /** Why writes fail at the moment; undefined if they succeed. */
  readonly refusal: string | undefined;
  append(text: string): Promise<void>;
  /** From now on a failed write is not retried. */
  stop(): void;
}

interface Job {
  kind: JobKind;
  /** Runs the work. @returns a function that resolves its promise */
  run: () => () => void;
  reject: (error: unknown) => void;
}

/** Transitions that have run and will become one frame. */
interface PendingFrame {
  jobs: Job[];
  /** Settles the promise of each. */
  outcomes: (() => void)[];
  /** Whether a caller said in this turn that it adds more work at once. That runs in the next turn. */
  isFollowed?: boolean;
  /** Whether the frame has waited a turn for such work. It does so once only, as each turn may bring more. */
  wasPutOff?: boolean;
}

export interface LedgerOptions {
  rows: Rows;
  log: FrameLog;
  /** Called with the history of each frame before it is written. */
  onHistory: (seq: number, history: HistoryText[]) => void;
}

/**
 * Runs one transition after the other, and makes them durable as frames. Transitions that arrive while a frame is written run
 * meanwhile and become the next frame; their promises settle when that is synced. So no caller, be it a reader or a duplicate
 * delivery, ever sees state that a power cut could still undo.
 */
export class Ledger {
  readonly #options: LedgerOptions;
  #waiting: Job[] = [];
  #open: PendingFrame | undefined;
  #scheduled = false;
  #writing: Promise<void> | undefined;
  /** Characters since memory was last relieved. */
  #written = 0;
  #closed = false;
  /** Why no more frames are written: the state in memory depends on a change that never became durable. */
  #lost: { error: unknown } | undefined;

  constructor(options: LedgerOptions) {
    this.#options = options;
  }

  /**
   * Runs `work` when its turn comes. If it throws, its changes are undone and only this promise rejects.
   * @param onDecided called once with the result, before it is durable: it may still be undone. It returns whether the caller adds more work
   * at once: then the same frame includes that work
   */
  add<T>(kind: JobKind, work: () => T, onDecided?: (result: T) => boolean): Promise<T> {
    if (this.#closed) return Promise.reject(new Error("The store is closed"));
    if (kind === "intake" && this.#options.log.refusal) return Promise.reject(this.#refusal());
    return new Promise<T>((resolve, reject) => {
      let tell = onDecided;
      const run = () => {
        const result = work();
        if (tell?.(result) && this.#open) this.#open.isFollowed = true;
        // A frame that cannot be encoded runs its work again.
        tell = undefined;
        return () => resolve(result);
      };
      this.#waiting.push({ kind, run, reject });
      this.#schedule();
    });
  }

  /** Undoes all changes that are not being written yet, and rejects waiting intake. Called when writes start to fail. */
  refuseIntake(): void {
    const jobs = [...this.#undoOpen(), ...this.#waiting];
    this.#waiting = jobs.filter((job) => job.kind !== "intake");
    for (const job of jobs) if (job.kind === "intake") job.reject(this.#refusal());
    this.#schedule();
  }

  /** Why intake is refused at the moment; undefined if it is not. */
  get refusal(): string | undefined {
    return this.#options.log.refusal && this.#refusal().message;
  }

  /** Accepts no more work; resolves when the waiting work is done, or has failed with its write. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#options.log.stop();
    while (this.#scheduled || this.#writing) await (this.#writing ?? turn());
  }

  /** Runs everything that arrives in this turn of the event loop at the end of the turn. */
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

  /** Whether the pending frame is written one turn later, so that it includes the work that callers add by then. */
  #putsOff(): boolean {
    const open = this.#open;
    if (!open?.isFollowed || open.wasPutOff) return false;
    open.wasPutOff = true;
    this.#schedule();
    return true;
  }

  /** Runs waiting work until the slice is over. */
  #decide(): void {
    const until = performance.now() + SLICE;
    let done = 0;
    if (this.#open) this.#open.isFollowed = false;
    while (done < this.#waiting.length) {
      this.#attempt(this.#waiting[done++], this.#open ??= { jobs: [], outcomes: [] });
      if (performance.now() > until) break;
    }
    this.#waiting.splice(0, done);
  }

  /** @param isChecked whether to check at once that every change can be written */
  #attempt(job: Job, { jobs, outcomes }: PendingFrame, isChecked = false): void {
    const { rows } = this.#options;
    const mark = rows.mark();
    try {
      outcomes.push(isChecked ? rows.checked(job.run) : job.run());
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

  /** Writes the pending frame, and those that arrive meanwhile, one after the other. */
  async #write(): Promise<void> {
    const { log, onHistory } = this.#options;
    for (let pending; (pending = this.#open) && !this.#putsOff();) {
      this.#open = undefined;
      try {
        const { text, history } = this.#encode(pending);
        if (this.#lost) throw this.#lost.error;
        if (text !== "") {
          onHistory(log.lastSeq + 1, history);
          await log.append(text);
          if ((this.#written += text.length) > RELIEF_BYTES) {
            this.#written = 0;
            relieveMemory();
          }
        }
        for (const settle of pending.outcomes) settle();
      } catch (error) {
        this.#lost = { error };
        for (const job of pending.jobs) job.reject(job.kind === "intake" && log.refusal ? this.#refusal() : error);
      }
    }
  }

  /** Encodes the changes of a pending frame. A job whose changes cannot be written is undone, and only its promise rejects. */
  #encode(pending: PendingFrame): Encoded {
    const { rows } = this.#options;
    try {
      return encode(rows);
    } catch {
      rows.undo(0);
      const { jobs } = pending;
      [pending.jobs, pending.outcomes] = [[], []];
      for (const job of jobs) this.#attempt(job, pending, true);
    }
    try {
      return encode(rows);
    } catch (error) {
      // Each job alone can be written, but together they are too large for one string.
      rows.undo(0);
      pending.outcomes = pending.jobs.map((job) => () => job.reject(error));
      return encode(rows);
    }
  }

  #refusal(): StoreFullError {
    return new StoreFullError(`Writes to the disk fail: ${this.#options.log.refusal}`, RETRY_AFTER);
  }
}

/** Loads an identity from its JSON on disk. */
export function loadIdentity(rows: Rows, hash: string, json: string): void {
  const [key, at, within, runs, flags]: [number, number, number | null, number, number] = JSON.parse(json);
  const identity: Identity = { key, at, ...(within !== null && { within }), runs, replied: flags === 1 };
  rows.identities.put(hash, identity);
}

/** A line of history as stored in a frame. */
export interface HistoryText {
  kind: HistoryKind;
  header: string;
  /** JSON; for a live event, the JSON of its row. */
  text: string;
}

/** The content of a frame. */
interface Encoded {
  /** Its payload; empty if nothing has changed. */
  text: string;
  history: HistoryText[];
}

/**
 * Encodes the changes since the last call as the payload of a frame. They can no longer be undone.
 * @throws if JSON cannot represent a value, such as a BigInt; the changes can then still be undone
 */
export function encode(rows: Rows): Encoded {
  const { tables, identities, history } = rows.changes();
  let lines = "";
  /** The texts of events put in this frame: their lines in history need no text of their own. */
  const events = new Map<string, string>();
  for (const { table, dirty, entries } of tables) {
    for (const [key, before] of dirty) {
      const isDropped = !entries.has(key);
      if (isDropped && before === undefined) continue;
      // A new key is marked: if it is dropped in the same segment, a fold keeps nothing of it.
      const name = `${table}${before === undefined ? "*" : ""}/${escapeKey(key)}\t`;
      const json = isDropped ? "" : rows.encode(table, key, name.length + 1);
      if (table === "event" && !isDropped) events.set(key, json);
      lines += `${name}${json}\n`;
    }
  }
  for (const [hash, { key, at, within = null, runs, replied }] of identities) {
    lines += `id/${hash}\t[${key},${at},${within},${runs},${Number(replied)}]\n`;
  }
  const texts = history.map((record): HistoryText => {
    const { kind } = record;
    const header = JSON.stringify(record.header);
    const known = kind === "event" ? events.get(ordered(record.body.key)) : undefined;
    const text = known ?? (kind === "event" ? eventToJson(record.body) : toJson(record.body));
    lines += `+${kind}\t${header}\t${known === undefined ? text : ""}\n`;
    return { kind, header, text };
  });
  rows.encoded();
  return { text: lines, history: texts };
}

/** Characters that would end a column or a line, begin an escape, or be lost in UTF-8; separators are not among them. */
// deno-lint-ignore no-control-regex
const UNSAFE = /[\u0001-\u001f\\\ud800-\udfff]/;
// deno-lint-ignore no-control-regex
const EACH_UNSAFE = /[\u0000-\u001f\\\ud800-\udfff]/g;

/** A key as stored in a line: without tabs, newlines and lone surrogates. */
function escapeKey(key: string): string {
  if (!UNSAFE.test(key)) return key.replaceAll(SEPARATOR, "\\u0000");
  return key.replace(EACH_UNSAFE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** Reverses {@link escapeKey}. */
export function unescapeKey(text: string): string {
  if (!text.includes("\\")) return text;
  // Nearly all escapes are separators.
  const separated = text.replaceAll("\\u0000", SEPARATOR);
  if (!separated.includes("\\")) return separated;
  return separated.replace(/\\u([0-9a-f]{4})/g, (_, code) => String.fromCharCode(parseInt(code, 16)));
}
