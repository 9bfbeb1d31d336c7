import { DamagedError, FORMAT_VERSION, NewerFormatError } from "./errors.ts";
import type { Sized } from "./files.ts";
import { type LogFrame, newerFrameBehind, readFrame, versionOf } from "./log_frame.ts";

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
  const whole = last === undefined ? !newerFrameBehind(bytes, at - 1, expected - 1) : expected > last;
  if (!whole) throw new DamagedError(`${name} is damaged at byte ${at}, where frame ${expected} should begin`);
  return { frames, end: at };
}

function checkVersion(head: LogFrame): void {
  const version = versionOf(head);
  if (version > FORMAT_VERSION) throw new NewerFormatError(version);
}
