import { join } from "node:path";
import { Worker } from "node:worker_threads";
import type { Disk } from "../../host/disk.ts";
import { type CheckpointFile, checkpointName } from "./checkpoint_file.ts";
import type { CheckpointAnswer, CheckpointOrder, Made } from "./checkpoint_worker.ts";
import { letGo } from "./let_go.ts";
import type { Journal } from "./journal.ts";
import type { Segment } from "./segment.ts";

/**
 * A checkpoint is due once the journal behind the last one has this many bytes, or half of that checkpoint's, whichever is
 * more. Replay does 35 MB/s, so a start after a crash takes 1 s for a small store and 4 s for one at the default cap of
 * 256 MB; and checkpoints write at most twice what the journal does.
 */
const LEAST_BYTES = 32 * 1024 * 1024;
const SHARE = 1 / 2;

/** Each start begins a segment; this many make a checkpoint due as well. */
const MOST_SEGMENTS = 100;

/**
 * What is written between two syncs: one of the journal waits for all that its file system has yet to write, which for a whole
 * checkpoint would hold up who waits for an answer.
 */
const PIECE = 1024 * 1024;

export interface CheckpointOptions {
  disk: Disk;
  folder: string;
  onWarning: (message: string) => void;
}

/** Makes checkpoints, off the main thread, and drops what they make superfluous. */
export class Checkpointer {
  readonly #options: CheckpointOptions;
  readonly #journal: Journal;
  /** Newest first. */
  #files: CheckpointFile[];
  /** Bytes of the journal at which the next one is due. */
  #dueAt: number;
  /** The same in segments. */
  #dueWith = MOST_SEGMENTS;
  #making: Promise<void> | undefined;

  /** @param bytes of the newest one */
  constructor(files: CheckpointFile[], bytes: number, journal: Journal, options: CheckpointOptions) {
    this.#files = files;
    this.#dueAt = dueAt(bytes);
    this.#journal = journal;
    this.#options = options;
  }

  /** Bytes of the journal behind the newest checkpoint. */
  get journalBytes(): number {
    return this.#journal.bytesAfter(this.#seq);
  }

  /** Makes one where it is due and none is being made. */
  makeIfDue(): void {
    if (this.#making) return;
    const segments = this.#journal.segmentsAfter(this.#seq);
    if (this.journalBytes < this.#dueAt && segments.length < this.#dueWith) return;
    this.make().catch((error) => {
      this.#options.onWarning(`Cannot write a checkpoint: ${error.message}; the journal goes on growing`);
      // Not again with the next commit, but once as much again has been written.
      this.#dueAt = this.journalBytes + LEAST_BYTES;
      this.#dueWith = segments.length + MOST_SEGMENTS;
    });
  }

  /**
   * Makes one of all that is on disk by now.
   * @param signal gives up, with no harm done
   */
  async make(signal?: AbortSignal): Promise<void> {
    while (this.#making) await this.#making.catch(() => {});
    this.#making = this.#make(signal).finally(() => this.#making = undefined);
    await this.#making;
  }

  get #seq(): number {
    return this.#files[0]?.seq ?? 0;
  }

  async #make(signal: AbortSignal | undefined): Promise<void> {
    const seq = await this.#journal.seal();
    if (seq === this.#seq) return;
    const [base, ...older] = this.#files;
    let made: Made;
    let kept = base;
    try {
      made = await this.#build(base, seq, signal);
    } catch (error) {
      // The one before may have been damaged on disk; the one before that still has all its segments.
      if (!base || signal?.aborted) throw error;
      kept = older[0];
      this.#options.onWarning(`Cannot use ${base.name}: ${(error as Error).message}; trying the checkpoint before it`);
      made = await this.#build(kept, seq, signal);
    }
    const file = await this.#write(seq, made, signal);
    const dropped = this.#files.filter((other) => other !== kept);
    this.#files = kept ? [file, kept] : [file];
    this.#dueAt = dueAt(made.bytes.length);
    this.#dueWith = MOST_SEGMENTS;
    letGo(made.bytes);
    await this.#drop(dropped, kept?.seq ?? 0);
  }

  /** Has a worker replay the sealed segments behind `base`. */
  async #build(base: CheckpointFile | undefined, seq: number, signal: AbortSignal | undefined): Promise<Made> {
    const { disk, folder } = this.#options;
    const sealed = this.#journal.segmentsAfter(base?.seq ?? 0).filter((segment) => segment.firstSeq <= seq);
    const read = async (name: string) => whole(await disk.read(join(folder, name)));
    // What cannot be read needs no worker.
    let bytes = await read(sealed[0].name);
    await using builder = new Builder(signal);
    await builder.do({ kind: "begin", ...base && { base: { file: base, bytes: await read(base.name) } } });
    for (const [at, { name, firstSeq }] of sealed.entries()) {
      if (at > 0) bytes = await read(name);
      const until = at + 1 < sealed.length ? sealed[at + 1].firstSeq - 1 : seq;
      await builder.do({ kind: "replay", name, firstSeq, bytes, until });
    }
    return await builder.do({ kind: "give" }) as Made;
  }

  async #write(seq: number, { bytes, crc }: Made, signal: AbortSignal | undefined): Promise<CheckpointFile> {
    const { disk, folder } = this.#options;
    const name = checkpointName(seq, crc);
    const draft = join(folder, `${name}.tmp`);
    try {
      const file = await disk.create(draft);
      try {
        for (let at = 0; at < bytes.length; at += PIECE) {
          signal?.throwIfAborted();
          await file.write(bytes.subarray(at, at + PIECE));
          await file.sync();
        }
      } finally {
        await file.close();
      }
      await disk.rename(draft, join(folder, name));
      await disk.syncFolder(folder);
    } catch (error) {
      await disk.remove(draft).catch(() => {});
      throw error;
    }
    return { name, seq, crc };
  }

  /** Removes old checkpoints, and the segments that end at or before `seq`. */
  async #drop(files: CheckpointFile[], seq: number): Promise<void> {
    const { disk, folder } = this.#options;
    const needed = new Set(this.#journal.segmentsAfter(seq));
    const segments: Segment[] = this.#journal.segmentsAfter(0).filter((segment) => !needed.has(segment));
    for (const { name } of [...files, ...segments]) await disk.remove(join(folder, name)).catch(() => {});
    this.#journal.forget(segments);
  }
}

/** The buffer under some bytes, to be handed over; a copy only where they do not fill it. */
function whole(bytes: Uint8Array): ArrayBuffer {
  const { buffer } = bytes;
  return buffer instanceof ArrayBuffer && buffer.byteLength === bytes.byteLength
    ? buffer
    : new Uint8Array(bytes).buffer;
}

function dueAt(checkpointBytes: number): number {
  return Math.max(LEAST_BYTES, checkpointBytes * SHARE);
}

/** The worker that makes one checkpoint; gone when this is disposed of. */
class Builder implements AsyncDisposable {
  readonly #worker = new Worker(new URL("./checkpoint_worker.ts", import.meta.url));
  readonly #failed = Promise.withResolvers<never>();
  #answered = Promise.withResolvers<CheckpointAnswer>();
  #ready: Promise<unknown> | undefined;

  /** @param signal gives up */
  constructor(signal?: AbortSignal) {
    const { promise, reject } = this.#failed;
    // It may fail while nobody waits for an answer.
    promise.catch(() => {});
    this.#worker.on("message", (answer: CheckpointAnswer) => this.#answered.resolve(answer));
    this.#worker.once("error", reject);
    this.#worker.once("exit", (code) => reject(new Error(`the checkpoint worker ended with code ${code}`)));
    signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
    if (signal?.aborted) reject(signal.reason);
  }

  /** @throws Error where it cannot be done, the signal's reason */
  async do(order: CheckpointOrder): Promise<"next" | Made> {
    await (this.#ready ??= this.#answer());
    // Handed over, not copied.
    this.#worker.postMessage(order, buffersOf(order));
    return await this.#answer();
  }

  async #answer(): Promise<"next" | Made> {
    const answer = await Promise.race([this.#answered.promise, this.#failed.promise]);
    this.#answered = Promise.withResolvers();
    if (typeof answer === "object" && "failure" in answer) throw new Error(answer.failure);
    return answer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate();
  }
}

function buffersOf(order: CheckpointOrder): ArrayBuffer[] {
  if (order.kind === "replay") return [order.bytes];
  return order.kind === "begin" && order.base ? [order.base.bytes] : [];
}
