import type { Disk } from "../../host/disk.ts";

/** Takes the history of one segment and makes its part. Texts are UTF-8 bytes, valid only during the call. */
export interface HistorySink {
  /** @param header JSON text, see the line `+event` */
  event(header: string, text: Uint8Array): void;
  /** @param header JSON text, see the line `+run` */
  run(header: string, text: Uint8Array): void;
  /** @param header JSON text, see the line `+more` */
  more(header: string, text: Uint8Array): void;
  /** The same bytes for the same lines, so that a fold that is repeated after a crash writes the same file. */
  finish(): FinishedPart | Promise<FinishedPart>;
  /** Gives up, instead of `finish`. */
  discard(): void;
}

export interface FinishedPart {
  bytes: Uint8Array;
  /** What the listings must know of the part; can be cloned between threads. */
  catalogue: unknown;
}

/** Takes the identities of one segment and makes its ids file. */
export interface IdsSink {
  /**
   * @param hash 32 hexadecimal digits
   * @param text JSON: `[key,at,within|null,runs,flags]`
   */
  id(hash: string, text: string): void;
  /** The same bytes for the same identities. */
  finish(): Uint8Array | Promise<Uint8Array>;
}

/** Which identities a merge leaves out. */
export interface Expiry {
  /** In ms. */
  now: number;
  /** In ms, for identities that do not say how long they are known. */
  retention: number;
}

/** What fold and merge need of the history. */
export interface FoldHooks {
  /** @param bytes of the segment */
  openHistory(range: SeqRange, bytes: number): Promise<HistorySink>;
  openIds(range: SeqRange): Promise<IdsSink>;
  /** Reads the catalogue out of a part that is on disk; undefined if it cannot be read. */
  readCatalogue(disk: Disk, folder: string, part: string): Promise<unknown>;
  /**
   * Makes one ids file of many.
   * @param files newest first; one at a time is in memory
   */
  mergeIds(files: AsyncIterable<Uint8Array>, expiry: Expiry): Promise<Uint8Array>;
}

/** Frames from `first` to `last`, both included. */
export interface SeqRange {
  first: number;
  last: number;
}
