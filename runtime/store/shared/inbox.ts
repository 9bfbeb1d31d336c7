import { FolderLostError } from "../../host/lock.ts";
import { messageOf } from "../../model/errors.ts";
import type { Decider } from "../decider.ts";
import type { Batch, Exchange } from "../elsewhere.ts";
import type { Answer } from "../ledger/tables.ts";
import { retryPause } from "../retry_pause.ts";
import { transitionOf } from "../transitions/index.ts";
import { type Call, readCalls, toAnswer } from "./calls.ts";
import { shorten } from "./claims.ts";

export interface InboxOptions {
  decider: Decider;
  exchange: Exchange;
  /** Of the store, for messages. */
  name: string;
  onWarning: (message: string) => void;
  /** Called when a batch is decided, before its frame is written. */
  onDecided: () => void;
}

/**
 * Decides what other replicas send, each batch once: the row of the replica says which one was the last, and becomes durable with
 * what it decided, in one frame. The row also has the answers, which the replica finds when it applies that frame.
 */
export class Inbox {
  readonly #options: InboxOptions;
  readonly #stop = new AbortController();
  #receiving: Promise<void> | undefined;
  /** The newest batch of each replica that is decided or waits for its turn. */
  readonly #taken = new Map<string, number>();
  /** Those that are decided and durable, and not removed from the inbox yet. */
  #done = new Map<string, number>();
  #forgetting: Promise<void> | undefined;
  /** Fenced replicas, and whether their inbox is empty by now. What they left is decided by {@link rest}. */
  readonly #retired = new Map<string, boolean>();

  constructor(options: InboxOptions) {
    this.#options = options;
    for (const [id, { seq }] of options.decider.rows.all("replica")) this.#taken.set(id, seq);
  }

  /** Begins to decide what arrives. */
  start(): void {
    this.#receiving ??= this.#receive();
  }

  /** Takes nothing more; the ledger decides what was taken. What cannot be removed from the inbox now does no harm there. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#receiving;
  }

  /**
   * Decides a batch, unless it is decided already.
   * @returns the answers, when they are durable; undefined if it was decided before
   */
  async decide(batch: Batch): Promise<Answer[] | undefined> {
    const { decider, onDecided } = this.#options;
    this.#taken.set(batch.replica, Math.max(batch.seq, this.#taken.get(batch.replica) ?? 0));
    const calls = read(batch);
    const answers = await decider.ledger.add("change", () => {
      const decided = decideBatch(decider, batch, calls);
      if (decided !== undefined) onDecided();
      return decided;
    });
    this.#done.set(batch.replica, Math.max(batch.seq, this.#done.get(batch.replica) ?? 0));
    this.#forget();
    return answers;
  }

  /**
   * Decides what a replica has sent and nobody decided. It must not send any more.
   * @param isGone its inbox is emptied, too, and nothing that still arrives from there is decided
   */
  async rest(replica: string, isGone: boolean): Promise<void> {
    const { decider, exchange } = this.#options;
    if (isGone) this.#retired.set(replica, false);
    // What was taken before has its turn before this.
    const cursor = await decider.read((rows) => rows.get("replica", replica)?.seq ?? 0);
    const batches = await exchange.rest(replica, cursor);
    await Promise.all(batches.map((batch) => this.decide(batch)));
    // Its row says which batches are decided: the inbox is emptied before anybody drops that.
    if (!isGone) return;
    await exchange.forget(new Map([[replica, batches.at(-1)?.seq ?? cursor]]));
    this.#taken.delete(replica);
    this.#retired.set(replica, true);
  }

  /** Takes batches as they come. Never rejects. */
  async #receive(): Promise<void> {
    const { signal } = this.#stop;
    const { exchange, name, onWarning } = this.#options;
    for (let failures = 0; !signal.aborted;) {
      try {
        const emptied = [...this.#retired].filter(([, isEmptied]) => isEmptied);
        const batches = await exchange.receive(this.#taken, signal);
        for (const batch of batches) if (!signal.aborted) this.#take(batch);
        // Only a query that began before could still find something of theirs.
        for (const [id] of emptied) this.#retired.delete(id);
        failures = 0;
      } catch (error) {
        if (signal.aborted || error instanceof FolderLostError) return;
        if (failures === 0) {
          onWarning(`Cannot read what other programs sent to ${name}: ${messageOf(error)}; it is tried again`);
        }
        await retryPause(++failures, signal);
      }
    }
  }

  #take(batch: Batch): void {
    const { replica, seq } = batch;
    if (this.#retired.has(replica) || seq <= (this.#taken.get(replica) ?? 0)) return;
    this.decide(batch).catch((error) => {
      // A closed or lost store leaves it to the next program that decides.
      if (this.#stop.signal.aborted || error instanceof FolderLostError) return;
      this.#options.onWarning(`Cannot decide batch ${seq} of replica ${replica}: ${messageOf(error)}`);
      return this.#answerAll(batch, error);
    }).catch(() => {
      // The store is closed or lost.
    });
  }

  /** Answers each call of a batch that cannot be decided, because its frame would be too large, with the reason. Without an answer, its sender would wait for ever. */
  async #answerAll(batch: Batch, error: unknown): Promise<void> {
    const { decider: { ledger, rows }, onDecided } = this.#options;
    const { replica: id, seq } = batch;
    const answers = (read(batch) ?? []).map(() => toAnswer(error));
    await ledger.add("change", () => {
      if ((rows.get("replica", id)?.seq ?? 0) !== seq - 1) return;
      rows.put("replica", id, { id, seq, answers });
      onDecided();
    });
  }

  /** Removes decided batches from the inbox, those of many replicas at once. */
  #forget(): void {
    this.#forgetting ??= (async () => {
      while (this.#done.size > 0) {
        const done = this.#done;
        this.#done = new Map();
        await this.#options.exchange.forget(done);
      }
    })().catch(() => {
      // They stay in the inbox until a later batch of that replica is removed, and are not decided again.
    }).finally(() => this.#forgetting = undefined);
  }
}

/** The calls of a batch; undefined if it cannot be read. */
function read({ calls }: Batch): Call[] | undefined {
  try {
    return readCalls(calls);
  } catch {
    return undefined;
  }
}

/** @returns the answers; undefined if the batch is decided already */
function decideBatch(decider: Decider, { replica, seq }: Batch, calls: Call[] | undefined): Answer[] | undefined {
  const { rows } = decider;
  const cursor = rows.get("replica", replica)?.seq ?? 0;
  if (seq <= cursor) return undefined;
  if (seq !== cursor + 1) throw new Error(`expected batch ${cursor + 1}`);
  const mark = rows.mark();
  const answers = (calls ?? []).map((call) => answer(decider, call));
  try {
    rows.put("replica", replica, { id: replica, seq, answers });
  } catch (error) {
    // JSON cannot represent a result. Whoever asked would wait forever, so nothing is decided, and the answers say why.
    rows.undo(mark);
    const why = toAnswer(error);
    const failed = answers.map(() => why);
    rows.put("replica", replica, { id: replica, seq, answers: failed });
    return failed;
  }
  decider.notify();
  return answers;
}

/** Decides one call. If it throws, its changes are undone. */
function answer(decider: Decider, { name, input, now }: Call): Answer {
  const transition = transitionOf(name);
  if (transition === undefined) {
    const why = `the program that decides does not know it, as it has another version; update all of them`;
    return toAnswer(new Error(`Cannot decide ${JSON.stringify(name)}: ${why}`));
  }
  const { rows } = decider;
  const mark = rows.mark();
  try {
    const result = transition(rows, input, decider.at(now));
    return result === undefined ? {} : { result: shorten(name, result) };
  } catch (error) {
    rows.undo(mark);
    return toAnswer(error);
  }
}
