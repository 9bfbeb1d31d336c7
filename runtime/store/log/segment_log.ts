import { join } from "node:path";
import type { Disk, DiskFile } from "../../host/disk.ts";
import { FolderLostError } from "../../host/lock.ts";
import { messageOf } from "../../model/errors.ts";
import { retryPause } from "../retry_pause.ts";
import { DamagedError, FORMAT_VERSION, NewerFormatError, segmentName, type Sized } from "./files.ts";
import { encodeFrame, encodeHead, type LogFrame, newerFrameAfter, readFrame, versionOf } from "./log_frame.ts";

/** A segment that nothing is appended to any more. */
export interface Segment extends Sized {
  firstSeq: number;
  /** The last frame that belongs to it. Bytes that a failed write left after it do not count. */
  lastSeq: number;
}

/** The frames read from a segment. */
export interface SegmentContent {
  frames: LogFrame[];
  /** Where the last frame ends. */
  end: number;
}

/**
 * The frames of a segment, without a gap.
 * @param last the last frame in it; undefined if that is unknown, in which case there may be a torn frame at the end
 * @throws DamagedError, NewerFormatError
 */
export function readSegment(name: string, bytes: Uint8Array, first: number, last: number | undefined): SegmentContent {
  const frames: LogFrame[] = [];
  const head = readFrame(bytes, 0);
  let at = 0;
  let expected = first;
  if (head?.seq === first - 1) {
    checkVersion(head);
    at = head.end;
    while (last === undefined || expected <= last) {
      const frame = readFrame(bytes, at);
      if (frame?.seq !== expected) break;
      frames.push(frame);
      at = frame.end;
      expected++;
    }
  }
  const whole = last === undefined ? !newerFrameAfter(bytes, at - 1, expected - 1) : expected > last;
  if (!whole) throw new DamagedError(`${name} is damaged at byte ${at}, where frame ${expected} should begin`);
  return { frames, end: at };
}

function checkVersion(head: LogFrame): void {
  const version = versionOf(head);
  if (version > FORMAT_VERSION) throw new NewerFormatError(version);
}

/** A segment is sealed at this size: large enough for a part of some hundred runs, small enough to be folded in memory. */
const SEGMENT_BYTES = 6 * 1024 * 1024;

export interface SegmentLogOptions {
  disk: Disk;
  folder: string;
  /** Called with each segment that is sealed. */
  onSealed: (segment: Segment) => void;
  onWarning: (message: string) => void;
  /** Called when writes start to fail. */
  onRefused: () => void;
  /** Makes frames durable elsewhere, instead of by a sync of the segment. A frame is given again after it has failed. */
  elsewhere?: { name: string; append(seq: number, frame: Uint8Array): Promise<void> };
}

interface OpenSegment {
  name: string;
  firstSeq: number;
  /** Up to the last synced frame. */
  bytes: number;
  file: DiskFile;
}

/**
 * The segments that frames are appended to, one frame at a time. After a failed write or sync the log leaves the segment as it
 * is and writes the frame to a new segment: what a failed fsync left on disk is unknown, and a second fsync that
 * succeeds proves nothing (fsyncgate, 2018).
 */
export class SegmentLog {
  readonly #options: SegmentLogOptions;
  readonly #sealed: Segment[];
  #open: OpenSegment | undefined;
  #lastSeq: number;
  /** The last frame before the open segment. */
  #sealedSeq: number;
  #refusal: string | undefined;
  #appending: Promise<void> | undefined;
  /** Whether to seal the open segment after the frame that is being written. */
  #sealNext = false;
  readonly #stop = new AbortController();

  /** The last segment that was found, until a frame is appended to it. */
  #resumable: Segment | undefined;

  /**
   * @param lastSeq the last frame on disk
   * @param found the segments that were found, in order; frames are appended to the last one if it has room
   */
  constructor(lastSeq: number, found: readonly Segment[], options: SegmentLogOptions) {
    this.#lastSeq = this.#sealedSeq = lastSeq;
    this.#sealed = [...found];
    this.#options = options;
    const last = found[found.length - 1];
    if (last === undefined || last.bytes >= SEGMENT_BYTES) return;
    this.#resumable = this.#sealed.pop();
    this.#sealedSeq = last.firstSeq - 1;
  }

  /** The last synced frame. */
  get lastSeq(): number {
    return this.#lastSeq;
  }

  /** Why writes fail at the moment; undefined if they succeed. */
  get refusal(): string | undefined {
    return this.#refusal;
  }

  /** The sealed segments that still exist, in order. */
  get sealed(): readonly Segment[] {
    return this.#sealed;
  }

  /** Bytes of all segments, the open one included. */
  get bytes(): number {
    const open = this.#open ?? this.#resumable;
    return this.#sealed.reduce((sum, { bytes }) => sum + bytes, open?.bytes ?? 0);
  }

  /**
   * Writes one frame; resolves when it is synced, however many attempts that takes. Must not be called again before that. This
   * call fixes the sequence number, and the segment that the frame goes to if the write succeeds.
   * @throws the disk's error after the log is stopped, or if the folder is lost
   */
  append(text: string): Promise<void> {
    const seq = this.#lastSeq + 1;
    // Encoded here, so that the text can be freed while the frame is written.
    return this.#appending = this.#append(seq, encodeFrame(seq, text)).finally(() => this.#appending = undefined);
  }

  /**
   * Seals the open segment after the frame that is being written. The next frame begins a new segment.
   * @returns the last frame before the seal
   */
  async seal(): Promise<number> {
    this.#sealNext = true;
    // The append in flight seals the segment, or the next one does if that append has already checked the flag.
    while (this.#sealNext && this.#appending) await this.#appending.catch(() => {});
    if (this.#sealNext) await this.#seal();
    return this.#sealedSeq;
  }

  /** Forgets a segment whose file was removed. */
  forget(segment: Segment): void {
    const at = this.#sealed.findIndex(({ name }) => name === segment.name);
    if (at >= 0) this.#sealed.splice(at, 1);
  }

  /** From now on a failed write is not retried: the append fails. */
  stop(): void {
    this.#stop.abort();
  }

  async #append(seq: number, bytes: Uint8Array): Promise<void> {
    const { signal } = this.#stop;
    for (let failures = 1;; failures++) {
      try {
        await this.#write(seq, bytes);
        break;
      } catch (error) {
        await this.#leave();
        this.#refused(messageOf(error));
        if (signal.aborted || error instanceof FolderLostError) throw error;
        await retryPause(failures, signal);
      }
    }
    this.#lastSeq = seq;
    if (this.#refusal) {
      this.#options.onWarning(
        `The ${this.#options.elsewhere ? "database" : "disk"} accepts writes again; nothing was lost`,
      );
    }
    this.#refusal = undefined;
    if (this.#sealNext || this.#open!.bytes >= SEGMENT_BYTES) await this.#seal();
  }

  async #write(seq: number, bytes: Uint8Array): Promise<void> {
    const fresh = this.#open === undefined;
    const open = this.#open ??= await (this.#resumable ? this.#resume(this.#resumable) : this.#start(seq));
    await open.file.write(bytes);
    if (this.#options.elsewhere) {
      await this.#options.elsewhere.append(seq, bytes);
    } else {
      await open.file.sync();
      if (fresh) await this.#options.disk.syncFolder(this.#options.folder);
    }
    open.bytes += bytes.length;
  }

  /** Appends to a segment that was found, so that frequent starts do not leave one segment each. */
  async #resume({ name, firstSeq, bytes }: Segment): Promise<OpenSegment> {
    const { disk, folder } = this.#options;
    const file = await disk.append(join(folder, name));
    this.#resumable = undefined;
    return { name, firstSeq, bytes, file };
  }

  async #start(firstSeq: number): Promise<OpenSegment> {
    const { disk, folder } = this.#options;
    const name = segmentName(firstSeq);
    // Left by an attempt that failed before its first frame was synced; nothing in it was acknowledged.
    if ((await disk.list(folder)).includes(name)) await disk.remove(join(folder, name));
    const file = await disk.create(join(folder, name));
    const head = encodeHead(firstSeq, FORMAT_VERSION);
    try {
      await file.write(head);
    } catch (error) {
      await file.close().catch(() => {});
      throw error;
    }
    return { name, firstSeq, bytes: head.length, file };
  }

  async #seal(): Promise<void> {
    await this.#leave();
    this.#sealNext = false;
  }

  /** Closes the file; the next start appends to it. */
  async close(): Promise<void> {
    await this.#open?.file.close().catch(() => {});
    this.#open = undefined;
  }

  /** Ends the open segment. One without a synced frame is replaced by the next attempt. */
  async #leave(): Promise<void> {
    if (this.#resumable) return this.#leaveResumable(this.#resumable);
    const open = this.#open;
    if (!open) return;
    this.#open = undefined;
    this.#sealedSeq = this.#lastSeq;
    const { file, ...rest } = open;
    const segment: Segment = { ...rest, lastSeq: this.#lastSeq };
    const hasFrames = segment.firstSeq <= segment.lastSeq;
    if (hasFrames) this.#sealed.push(segment);
    // All frames are synced; a close that fails changes nothing.
    await file.close().catch(() => {});
    if (hasFrames) this.#options.onSealed(segment);
  }

  #leaveResumable(segment: Segment): void {
    this.#resumable = undefined;
    this.#sealedSeq = this.#lastSeq;
    this.#sealed.push(segment);
    this.#options.onSealed(segment);
  }

  #refused(reason: string): void {
    const first = this.#refusal === undefined;
    this.#refusal = reason;
    if (!first) return;
    const place = this.#options.elsewhere?.name ?? JSON.stringify(this.#options.folder);
    this.#options.onWarning(`Cannot write to ${place}: ${reason}; nothing new is accepted until writes succeed`);
    this.#options.onRefused();
  }
}
