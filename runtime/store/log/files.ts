import type { SeqRange } from "./sinks.ts";

/** A segment: frames from `first` on, to which the log may still append. */
export interface SegmentFile {
  name: string;
  first: number;
}

/** A base: all live rows up to the frame `last`. */
export interface BaseFile {
  name: string;
  last: number;
}

/** A delta: the last put or drop of each live key of one segment. */
export interface DeltaFile extends SeqRange {
  name: string;
}

/** A part or an ids file, with the CRC32 of its bytes in its name. */
export interface CheckedFile extends SeqRange {
  name: string;
  crc: number;
}

/** A file with its size. */
export interface Sized {
  name: string;
  bytes: number;
}
