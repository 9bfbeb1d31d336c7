import type { Disk } from "../../host/disk.ts";

/** Receives the history of one segment and makes its part. Texts are UTF-8 bytes, valid only during the call. */
export interface HistorySink {
  /** @param header JSON text, see the line `+event` */
  event(header: string, text: Uint8Array): void;
  /** @param header JSON text, see the line `+run` */
  run(header: string, text: Uint8Array): void;
  /** @param header JSON text, see the line `+more` */
  more(header: string, text: Uint8Array): void;
  /** Returns the same bytes for the same lines, so that a fold that is repeated after a crash writes the same file. */
  finish(): FinishedPart | Promise<FinishedPart>;
  /** Abandons the part; called instead of `finish`. */
  discard(): void;
}

export interface FinishedPart {
  bytes: Uint8Array;
  /** The data about the part that listings need. Can be cloned between threads. */
  catalogue: unknown;
}

/** Receives the identities of one segment and makes its ids file. */
export interface IdsSink {
  /**
   * @param hash 32 hexadecimal digits
   * @param text JSON: `[key,at,within|null,runs,flags]`
   */
  id(hash: string, text: string): void;
  /** Returns the same bytes for the same identities. */
  finish(): Uint8Array | Promise<Uint8Array>;
}

/** Which identities a merge leaves out. */
export interface Expiry {
  /** In ms. */
  now: number;
  /** In ms, for identities without a retention of their own. */
  retention: number;
}

/** The functions of the history that fold and merge use. */
export interface FoldHooks {
  /** @param bytes of the segment */
  openHistory(range: SeqRange, bytes: number): Promise<HistorySink>;
  openIds(range: SeqRange): Promise<IdsSink>;
  /** Reads the catalogue from a part on disk; undefined if that cannot be read. */
  readCatalogue(disk: Disk, folder: string, part: string): Promise<unknown>;
  /**
   * Merges ids files into one.
   * @param files newest first; only one at a time is held in memory
   */
  mergeIds(files: AsyncIterable<Uint8Array>, expiry: Expiry): Promise<Uint8Array>;
}

/** Frames from `first` to `last`, both included. */
export interface SeqRange {
  first: number;
  last: number;
}
