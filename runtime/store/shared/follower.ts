import { turn } from "../../host/large_work.ts";
import { FolderLostError } from "../../host/lock.ts";
import { messageOf } from "../../model/errors.ts";
import type { Deciding, StoreSettings } from "../decider.ts";
import { type Elsewhere, type LoggedFrame, MissingFramesError } from "../elsewhere.ts";
import type { History } from "../history/history.ts";
import { type JobKind, unescapeKey } from "../ledger/ledger.ts";
import type { Rows } from "../ledger/rows.ts";
import type { Catalogue } from "../ledger/tables.ts";
import { readFrame, type Span } from "../log/log_frame.ts";
import { replayFrame } from "../log/recover.ts";
import type { RecoveredState } from "../recovered_state.ts";
import { retryPause } from "../retry_pause.ts";
import type { Change } from "../shared_store.ts";
import { expireIdentities } from "../transitions/accept.ts";
import type { Transition } from "../transitions/transition.ts";
import type { FoldWorker } from "./fold_worker.ts";
import { FrameChanges } from "./frame_changes.ts";
import { type OpenCall, Outbox, type OutboxOptions, type SentBatch } from "./outbox.ts";

/** Milliseconds of work per turn of the event loop. */
const SLICE = 5;

export interface FollowerOptions {
  elsewhere: Pick<Elsewhere, "name" | "exchange">;
  folds: FoldWorker;
  state: RecoveredState;
  /** The last frame in it. */
  seq: number;
  settings: StoreSettings;
  onWarning: (message: string) => void;
  onChange: (change: Change) => void;
  /** Called when this replica must begin anew: it was fenced, or frames that it needs are gone. */
  onLost: (error: FolderLostError) => void;
  /** See {@link OutboxOptions}. */
  onUnwanted: OutboxOptions["onUnwanted"];
  /** Milliseconds after which an event is refused that nobody decides on. */
  intakeTimeout: number;
}

/** Applies the frames of the program that decides, and sends it calls. Reads see the applied frames only. */
export class Follower implements Deciding {
  readonly #options: FollowerOptions;
  readonly #outbox: Outbox;
  readonly #stop = new AbortController();
  #history!: History;
  #seq: number;
  #tailing: Promise<void> = Promise.resolve();
  #lost: FolderLostError | undefined;

  constructor(options: FollowerOptions) {
    this.#options = options;
    this.#seq = options.seq;
    const { elsewhere: { exchange, name }, onWarning, onUnwanted, intakeTimeout } = options;
    const onLost = (error: FolderLostError) => this.lose(error);
    this.#outbox = new Outbox({
      exchange,
      name,
      onUnwanted,
      onWarning,
      onLost,
      intakeTimeout,
    });
  }

  /** The last applied frame. */
  get seq(): number {
    return this.#seq;
  }

  get refusal(): string | undefined {
    return this.#outbox.refusal;
  }

  /** Begins to apply frames. */
  start(history: History): void {
    this.#history = history;
    this.#options.elsewhere.exchange.applied(this.#seq);
    this.#tailing = this.#tail();
  }

  decide<I, R>(kind: JobKind, transition: Transition<I, R>, input: I, now: number): Promise<R> {
    return this.#outbox.call(kind, transition, input, now);
  }

  // deno-lint-ignore require-await
  async read<T>(work: (rows: Rows) => T): Promise<T> {
    if (this.#lost) throw this.#lost;
    return work(this.#options.state.rows);
  }

  /**
   * Applies the last frames before this program becomes the one that decides. No other program may append any more. It may be repeated.
   * @returns a function that hands over the calls without an answer
   * @throws MissingFramesError, UnusableFrameError, or the error of the database
   */
  async handOver(): Promise<() => { sent: SentBatch | undefined; waiting: OpenCall[] }> {
    const { elsewhere: { exchange } } = this.#options;
    this.#stop.abort();
    await this.#tailing;
    if (this.#lost) throw this.#lost;
    // From here on the files of this machine change.
    await this.#options.folds.close();
    for (let frames; (frames = await exchange.framesAfter(this.#seq)).length > 0;) await this.#applyAll(frames);
    return () => this.#outbox.handOver();
  }

  async close(): Promise<void> {
    await this.#outbox.close();
    this.#stop.abort();
    await this.#tailing;
    await this.#options.folds.close();
  }

  /** Fails all calls, also those to come: this replica must begin anew. */
  lose(error: FolderLostError): void {
    if (this.#lost) return;
    this.#lost = error;
    this.#stop.abort();
    this.#outbox.lose(error);
    this.#options.onLost(error);
  }

  /** Applies frames as they come. Never rejects. */
  async #tail(): Promise<void> {
    const { signal } = this.#stop;
    const { elsewhere: { exchange, name }, onWarning } = this.#options;
    let warned: string | undefined;
    for (let failures = 0; !signal.aborted;) {
      try {
        for await (const frames of exchange.tail(this.#seq, signal)) {
          await this.#applyAll(frames, signal);
          if (signal.aborted) return;
          exchange.applied(this.#seq);
          failures = 0;
        }
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof FolderLostError) return this.lose(error);
        if (error instanceof MissingFramesError || error instanceof UnusableFrameError) {
          return this.lose(new FolderLostError(`Cannot follow ${name}: ${error.message}`, { cause: error }));
        }
        const why = messageOf(error);
        if (why !== warned) onWarning(`Cannot read from ${name}: ${why}; it is tried again`);
        warned = why;
      }
      await retryPause(++failures, signal);
    }
  }

  async #applyAll(frames: LoggedFrame[], signal?: AbortSignal): Promise<void> {
    let until = performance.now() + SLICE;
    for (const frame of frames) {
      if (signal?.aborted) return;
      this.#apply(frame);
      if (performance.now() < until) continue;
      await turn();
      until = performance.now() + SLICE;
    }
  }

  #apply(logged: LoggedFrame): void {
    const { seq } = logged;
    if (seq <= this.#seq) return;
    if (seq !== this.#seq + 1) throw new MissingFramesError(`frame ${this.#seq + 1} is no longer there`);
    const sink = new AppliedFrame(this.#options.state, this.#options.elsewhere.exchange.me);
    try {
      replayFrame(readFrame(logged.frame, 0)!.payload, seq, sink);
    } catch (error) {
      throw new UnusableFrameError(`frame ${seq} cannot be applied: ${messageOf(error)}`, { cause: error });
    }
    this.#seq = seq;
    this.#settle(sink);
  }

  /** Does what follows from a frame, now that all of it is applied. */
  #settle({ parts, facts, hasAnswers, changes }: AppliedFrame): void {
    const { state: { rows }, settings, elsewhere: { exchange: { me } }, folds, onChange } = this.#options;
    if (facts.has("secret")) rows.identities.keyBy(rows.fact("secret")!);
    for (const [key, before] of parts) this.#changePart(before, rows.get("part", key));
    const change = changes.finish();
    if (change !== undefined) onChange(change);
    if (facts.has("fold")) folds.look(rows.fact("fold"));
    const decided = hasAnswers ? rows.get("replica", me) : undefined;
    if (decided !== undefined) this.#outbox.answer(decided, rows);
    // Not by the clock and settings of this program: it may decide later, and must know the same identities.
    const expired = facts.has("expired") ? rows.fact("expired") : undefined;
    if (expired === undefined) return;
    expireIdentities(rows, { now: expired.at, retention: { ...settings.retention, identities: expired.after } });
  }

  /** The decider has made, thinned or removed a part of history. */
  #changePart(before: Catalogue | undefined, now: Catalogue | undefined): void {
    if (now !== undefined) {
      this.#history.addPart(now);
      this.#history.dropFolded(now.last);
    } else if (before !== undefined) this.#history.removePart(before);
  }
}

/** A frame that this program cannot apply, such as one of a newer version. */
class UnusableFrameError extends Error {}

/** Applies a frame, and notes what follows from it. */
class AppliedFrame {
  /** The catalogues that it puts or drops, as they were before, by key. */
  readonly parts = new Map<string, Catalogue | undefined>();
  /** The names of the facts that it puts. */
  readonly facts = new Set<string>();
  hasAnswers = false;
  readonly changes: FrameChanges;
  readonly id: RecoveredState["id"];
  readonly history: RecoveredState["history"];

  constructor(private readonly state: RecoveredState, private readonly me: string) {
    this.changes = new FrameChanges(me);
    this.id = state.id.bind(state);
    this.history = state.history.bind(state);
  }

  put(table: string, key: string, json: Span): void {
    this.#note(table, key);
    this.changes.put(table, unescapeKey(key), json.bytes.subarray(json.from, json.to));
    this.state.put(table, key, json);
  }

  drop(table: string, key: string): void {
    this.#note(table, key);
    this.changes.drop(table);
    this.state.drop(table, key);
  }

  #note(table: string, key: string): void {
    if (table === "part") this.parts.set(key, this.state.rows.get("part", key));
    if (table === "fact") this.facts.add(key);
    if (table === "replica" && key === this.me) this.hasAnswers = true;
  }
}
