import { setImmediate } from "node:timers";
import { setTimeout as sleep } from "node:timers/promises";
import { FolderLostError } from "../../host/lock.ts";
import { messageOf } from "../../model/errors.ts";
import type { Exchange } from "../elsewhere.ts";
import type { JobKind } from "../ledger/ledger.ts";
import type { Rows } from "../ledger/rows.ts";
import type { ReplicaRow } from "../ledger/tables.ts";
import { retryPause } from "../retry_pause.ts";
import { type Receipt, StoreFullError, UndecidedError } from "../store.ts";
import { nameOf } from "../transitions/index.ts";
import type { Transition } from "../transitions/transition.ts";
import { type Asking, callToJson, settle } from "./calls.ts";

/** At most this many calls in a batch, and about this many characters, unless one call alone is longer. */
const MOST_CALLS = 64;
const MOST_CHARACTERS = 1024 * 1024;

/** Milliseconds after which an event that is not decided is refused: its sender should not wait longer. */
export const INTAKE_TIMEOUT = 10_000;
/** Seconds after which its sender may retry. */
export const RETRY_AFTER = 1;

/** Milliseconds until a batch without an answer is sent again. */
const AGAIN = 1_000;

/** Milliseconds that closing waits for answers. */
const CLOSING = 3_000;

/** A call that is not settled. */
export interface OpenCall extends Asking {
  kind: JobKind;
  // deno-lint-ignore no-explicit-any
  transition: Transition<any, unknown>;
  input: unknown;
  now: number;
  text: string;
}

/** A batch whose answers have not come yet. */
export interface SentBatch {
  seq: number;
  text: string;
  calls: OpenCall[];
  /** Aborted when it need not be sent again. */
  settled: AbortController;
}

export interface OutboxOptions {
  exchange: Exchange;
  /** Of the store, for messages. */
  name: string;
  onWarning: (message: string) => void;
  /** Called when this replica was fenced. */
  onLost: (error: FolderLostError) => void;
  /** Called if events were accepted after all that had been refused here: with runs claimed for this replica, which nobody executes. */
  onUnwanted: (receipts: Receipt[], now: number) => void;
  /** Milliseconds after which an event is refused that nobody decides on. */
  intakeTimeout: number;
}

/**
 * The calls of a replica that follows. Those of one turn of the event loop, and those that arrive while a batch is on its way,
 * are sent as one batch. Answers come with the frames.
 */
export class Outbox {
  readonly #options: OutboxOptions;
  #waiting: OpenCall[] = [];
  #sent: SentBatch | undefined;
  #seq = 0;
  #scheduled = false;
  #refusal: string | undefined;
  #hasFailed = false;
  #closed = false;
  #lost: FolderLostError | undefined;
  /** Aborted when nothing more is to be sent. */
  readonly #stop = new AbortController();
  /** Resolves when closing need not wait any longer. */
  #closing = Promise.withResolvers<void>();

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  /** Why no new events are accepted at the moment. */
  get refusal(): string | undefined {
    return this.#refusal;
  }

  /** Sends a call; resolves when the frame with its answer is applied. @throws what the transition throws */
  call<I, R>(kind: JobKind, transition: Transition<I, R>, input: I, now: number): Promise<R> {
    if (this.#closed) return Promise.reject(new Error("The store is closed"));
    if (this.#lost) return Promise.reject(this.#lossFor(kind, this.#lost));
    if (kind === "intake" && this.#refusal) return Promise.reject(new StoreFullError(this.#refusal, RETRY_AFTER));
    return new Promise<R>((resolve, reject) => {
      const name = nameOf(transition);
      const text = callToJson({ name, now, input });
      const call: OpenCall = {
        kind,
        name,
        transition,
        input,
        now,
        text,
        resolve: resolve as OpenCall["resolve"],
        reject,
      };
      if (kind === "intake") this.#limit(call);
      this.#waiting.push(call);
      this.#schedule();
    });
  }

  /**
   * Settles the calls of a batch by its answers; ignores those of an older batch.
   * @param rows to which their frame was applied
   */
  answer({ seq, answers }: ReplicaRow, rows: Rows): void {
    const sent = this.#sent;
    if (sent?.seq !== seq) return;
    this.#takeSent();
    this.#decided();
    for (const [index, call] of sent.calls.entries()) settle(call, answers[index], rows);
    this.#schedule();
    if (this.#closed && this.#isIdle()) this.#closing.resolve();
  }

  /** Sends nothing more, and gives what is open to the program that decides from now on: this one. */
  handOver(): { sent: SentBatch | undefined; waiting: OpenCall[] } {
    const open = { sent: this.#takeSent(), waiting: this.#waiting };
    this.#waiting = [];
    this.#closed = true;
    this.#stop.abort();
    return open;
  }

  /** Rejects everything, now and later. */
  lose(error: FolderLostError): void {
    if (this.#lost) return;
    this.#lost = error;
    this.#stop.abort();
    for (const call of this.#takeAll()) call.reject(this.#lossFor(call.kind, error));
    this.#closing.resolve();
  }

  /** Accepts no more calls. Waits a while for the answers to those that are open, if anybody gives them. */
  async close(): Promise<void> {
    this.#closed = true;
    if (!this.#isIdle() && !this.#hasFailed) {
      const timer = setTimeout(() => this.#closing.resolve(), CLOSING);
      await this.#closing.promise;
      clearTimeout(timer);
    }
    this.#stop.abort();
    const error = new Error("The program stops, and nobody has decided yet");
    for (const call of this.#takeAll()) call.reject(this.#lossFor(call.kind, error));
  }

  #isIdle(): boolean {
    return this.#sent === undefined && this.#waiting.length === 0;
  }

  #takeAll(): OpenCall[] {
    const calls = [...this.#takeSent()?.calls ?? [], ...this.#waiting];
    this.#waiting = [];
    return calls;
  }

  #takeSent(): SentBatch | undefined {
    const sent = this.#sent;
    sent?.settled.abort();
    this.#sent = undefined;
    return sent;
  }

  /** Refuses an event after a while. If it was sent it may still be decided: then its redelivery is a duplicate. */
  #limit(call: OpenCall): void {
    const { resolve, reject, now } = call;
    let isRefused = false;
    const timer = setTimeout(() => {
      isRefused = true;
      this.#refusal = "Nobody decides at the moment: no program has taken over yet, or the database cannot be reached";
      this.#waiting = this.#waiting.filter((other) => other !== call);
      reject(new UndecidedError(this.#refusal, RETRY_AFTER));
    }, this.#options.intakeTimeout);
    call.resolve = (result) => {
      clearTimeout(timer);
      if (isRefused) this.#options.onUnwanted(result as Receipt[], now);
      else resolve(result);
    };
    call.reject = (error) => {
      clearTimeout(timer);
      reject(error);
    };
  }

  /** Sends everything that arrives in this turn of the event loop at its end. */
  #schedule(): void {
    if (this.#scheduled || this.#sent || this.#waiting.length === 0) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      const calls = this.#take();
      if (calls.length === 0) return;
      const text = `[${calls.map(({ text }) => text).join(",")}]`;
      const batch: SentBatch = { seq: ++this.#seq, text, calls, settled: new AbortController() };
      this.#sent = batch;
      void this.#send(batch);
    });
  }

  /** The next calls to send. */
  #take(): OpenCall[] {
    let [count, characters] = [0, 0];
    for (const { text } of this.#waiting) {
      characters += text.length;
      if (count === MOST_CALLS || (count > 0 && characters > MOST_CHARACTERS)) break;
      count++;
    }
    return this.#waiting.splice(0, count);
  }

  /** Sends a batch until it is answered: a crash of the database may lose one that has arrived there. */
  async #send(batch: SentBatch): Promise<void> {
    const { signal } = batch.settled;
    for (let failures = 0; this.#sent === batch;) {
      try {
        await this.#options.exchange.send(batch.seq, batch.text);
        failures = 0;
        await sleep(AGAIN, undefined, { signal }).catch(() => {});
      } catch (error) {
        if (this.#sent !== batch) return;
        if (error instanceof FolderLostError) return this.#options.onLost(error);
        this.#failed(messageOf(error));
        await retryPause(++failures, this.#stop.signal);
      }
    }
  }

  #failed(reason: string): void {
    if (this.#hasFailed) return;
    this.#hasFailed = true;
    if (this.#closed) this.#closing.resolve();
    this.#options.onWarning(`Cannot write to ${this.#options.name}: ${reason}; it is tried again`);
  }

  #decided(): void {
    if (this.#hasFailed) this.#options.onWarning("The database accepts writes again; nothing was lost");
    this.#hasFailed = false;
    this.#refusal = undefined;
  }

  #lossFor(kind: JobKind, error: Error): Error {
    return kind === "intake" ? new UndecidedError(error.message, RETRY_AFTER) : error;
  }
}
