/** Takes the history of one segment and makes its part. Texts are UTF-8 bytes, valid only during the call. */
export interface HistorySink {
  /** @param header JSON text, see the line `+event` */
  event(header: string, text: Uint8Array): void;
  /** @param header JSON text, see the line `+run` */
  run(header: string, text: Uint8Array): void;
  /** @param header JSON text, see the line `+more` */
  more(header: string, text: Uint8Array): void;
  /** The same bytes for the same lines, so that a fold that is repeated after a crash writes the same file. */
  finish(): FinishedPart;
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
  finish(): Uint8Array;
}

/** Makes one ids file of many. */
export interface IdsMerger {
  /** Older files first; a later identity replaces an earlier one. The bytes are valid only during the call. */
  add(bytes: Uint8Array): void;
  /** Without what has expired. */
  finish(): Uint8Array;
}

/** What fold and merge need of the history. */
export interface FoldHooks {
  openHistory(range: SeqRange): Promise<HistorySink>;
  openIds(range: SeqRange): Promise<IdsSink>;
  /** @param now in ms; identities that have expired by then are left out */
  openIdsMerger(now: number): Promise<IdsMerger>;
}

/** Frames from `first` to `last`, both included. */
export interface SeqRange {
  first: number;
  last: number;
}
