import { join } from "node:path";
import type { Disk, DiskFile } from "../../host/disk.ts";
import type { Write } from "./database.ts";
import { encodeFrame, encodeHead, type Texts } from "./frame.ts";
import { SCHEMA_VERSION } from "./schema.ts";
import { type Segment, segmentName } from "./segment.ts";

/** A segment is sealed at this size: small enough that dropping old ones is fine-grained, large enough to be few. */
const SEGMENT_BYTES = 8 * 1024 * 1024;

/** Delay before the disk is tried again after a failed write or sync, doubled up to the longest. */
const FIRST_RETRY = 50;
const LONGEST_RETRY = 2_000;

export interface JournalOptions {
  disk: Disk;
  folder: string;
  onWarning: (message: string) => void;
  /** Called when the disk begins to refuse writes. */
  onRefused: () => void;
}

/**
 * The segments that frames are appended to, one frame at a time. After a failed write or sync the segment is left as
 * it is and the frame is written anew, from memory, into a new one: what a failed fsync left on disk is unknown, and a
 * second fsync that succeeds proves nothing (fsyncgate, 2018).
 */
export class Journal {
  readonly #options: JournalOptions;
  readonly #sealed: Segment[];
  #open: { segment: Segment; file: DiskFile; texts: Texts } | undefined;
  #lastSeq: number;
  #refusal: Error | undefined;
  #appending: Promise<void> | undefined;
  #stopped = false;
  #stopWaiting = () => {};

  constructor(lastSeq: number, segments: Segment[], options: JournalOptions) {
    this.#lastSeq = lastSeq;
    this.#sealed = segments;
    this.#options = options;
  }

  /** The last frame that is on disk. */
  get lastSeq(): number {
    return this.#lastSeq;
  }

  /** Why the disk takes nothing at the moment. */
  get refusal(): Error | undefined {
    return this.#refusal;
  }

  /** Bytes in all segments behind a frame. */
  bytesAfter(seq: number): number {
    return this.segmentsAfter(seq).reduce((sum, segment) => sum + segment.bytes, 0);
  }

  /** The segments that hold frames behind `seq`, the open one included. */
  segmentsAfter(seq: number): Segment[] {
    const all = this.#open ? [...this.#sealed, this.#open.segment] : this.#sealed;
    return all.filter((_, at) => (all[at + 1]?.firstSeq ?? this.#lastSeq + 1) > seq + 1);
  }

  /**
   * Writes one frame; resolves once it is on disk, however often the disk has to be tried. Not to be called again before.
   * @throws the disk's error once the journal is stopped
   */
  append(writes: Write[]): Promise<void> {
    return this.#appending = this.#append(writes).finally(() => this.#appending = undefined);
  }

  /** Ends the open segment; what is appended next begins a new one. @returns the last frame before it */
  async seal(): Promise<number> {
    while (this.#appending) await this.#appending.catch(() => {});
    const seq = this.#lastSeq;
    await this.#closeOpen();
    return seq;
  }

  /** Forgets segments whose files were removed. */
  forget(segments: Segment[]): void {
    for (const segment of segments) this.#sealed.splice(this.#sealed.indexOf(segment), 1);
  }

  /** From here on a disk that refuses is not tried again: the append fails. */
  stop(): void {
    this.#stopped = true;
    this.#stopWaiting();
  }

  async #append(writes: Write[]): Promise<void> {
    const seq = this.#lastSeq + 1;
    for (let delay = FIRST_RETRY;; delay = Math.min(delay * 2, LONGEST_RETRY)) {
      try {
        await this.#write(seq, writes);
        break;
      } catch (error) {
        await this.#abandonOpen();
        this.#refused(error as Error);
        if (this.#stopped) throw error;
        await this.#wait(delay);
      }
    }
    this.#lastSeq = seq;
    if (this.#refusal) this.#options.onWarning("The disk accepts writes again; nothing was lost");
    this.#refusal = undefined;
    if (this.#open!.segment.bytes >= SEGMENT_BYTES) await this.#closeOpen();
  }

  async #write(seq: number, writes: Write[]): Promise<void> {
    const fresh = this.#open === undefined;
    const open = this.#open ??= await this.#start(seq);
    const bytes = encodeFrame(seq, writes, open.texts);
    await open.file.write(bytes);
    await open.file.sync();
    if (fresh) await this.#options.disk.syncFolder(this.#options.folder);
    open.segment.bytes += bytes.length;
  }

  async #start(firstSeq: number) {
    const { disk, folder } = this.#options;
    const name = segmentName(firstSeq);
    // One that failed before its first frame was on disk; nobody was told of anything in it.
    if ((await disk.list(folder)).includes(name)) await disk.remove(join(folder, name));
    const file = await disk.create(join(folder, name));
    const head = encodeHead(firstSeq, SCHEMA_VERSION);
    try {
      await file.write(head);
    } catch (error) {
      await file.close().catch(() => {});
      throw error;
    }
    return { segment: { name, firstSeq, bytes: head.length }, file, texts: new Map<string, number>() };
  }

  async #closeOpen(): Promise<void> {
    const open = this.#open;
    if (!open) return;
    this.#open = undefined;
    this.#sealed.push(open.segment);
    // Everything in it is synced; a failing close changes nothing.
    await open.file.close().catch(() => {});
  }

  /** Leaves a segment whose last write failed; one without a frame on disk is written over by the next attempt. */
  async #abandonOpen(): Promise<void> {
    const open = this.#open;
    this.#open = undefined;
    if (!open) return;
    if (open.segment.firstSeq <= this.#lastSeq) this.#sealed.push(open.segment);
    await open.file.close().catch(() => {});
  }

  #refused(error: Error): void {
    const first = this.#refusal === undefined;
    this.#refusal = error;
    if (!first) return;
    this.#options.onWarning(
      `Cannot write to ${
        JSON.stringify(this.#options.folder)
      }: ${error.message}; nothing new is taken in until it works again`,
    );
    this.#options.onRefused();
  }

  #wait(delay: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, delay);
      this.#stopWaiting = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
