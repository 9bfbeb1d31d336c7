import { join } from "node:path";
import type { Disk } from "../host/disk.ts";
import { messageOf } from "../model/errors.ts";
import type { StoreTasks } from "./background.ts";
import type { Catalogue } from "./ledger/tables.ts";
import type { History } from "./history/history.ts";
import type { Trimming } from "./history/trim.ts";
import type { Ledger } from "./ledger/ledger.ts";
import { ordered } from "./ledger/keys.ts";
import type { Rows } from "./ledger/rows.ts";
import type { Sized } from "./log/files.ts";
import { mergeDue } from "./log/merge.ts";
import type { Segment, SegmentLog } from "./log/segment_log.ts";
import type { Retention } from "./store.ts";
import { readKept } from "./transitions/rule_rows.ts";

/** Milliseconds that closing spends on folds: the program has 25 s to stop, and nothing is lost if the log stays unfolded. */
const CLOSING = 10_000;

/** With this many sealed segments, closing folds them; else the next start replays them. */
const MANY_SEGMENTS = 3;

/** Milliseconds until a failed fold is retried. */
const RETRY = 10_000;

export interface FoldingOptions extends TrimmingOptions {
  log: SegmentLog;
  /** Files that were found. */
  base: Sized | undefined;
  deltas: Sized[];
  retention: Retention;
  /** Nothing is kept on disk: sealed segments are discarded. */
  volatile: boolean;
  /** Another program goes on with the store, and waits for it: closing leaves folds to that one. */
  isShared: boolean;
  now: number;
}

/** Turns sealed segments into history and deltas, and deltas into a new base. Keeps history within its size limit. */
export class Folding {
  readonly #options: FoldingOptions;
  #base: Sized | undefined;
  #deltas: Sized[];
  #waiting: Segment[] = [];
  #working: Promise<void> | undefined;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #closed = false;
  /** The time by which identities expire in a merge. Upkeep sets it, as the clock may be wrong. */
  now: number;
  retention: Retention;

  constructor(options: FoldingOptions) {
    this.#options = options;
    this.#base = options.base;
    this.#deltas = options.deltas;
    this.now = options.now;
    this.retention = options.retention;
  }

  /** Bytes of the log that are not folded yet. */
  get logBytes(): number {
    return this.#options.log.bytes;
  }

  /** Adds a sealed segment, which is folded after those before it. */
  add(segment: Segment): void {
    if (this.#options.volatile) {
      this.#options.log.forget(segment);
      return;
    }
    this.#waiting.push(segment);
    if (!this.#closed) this.#start();
  }

  /** Folds everything that is in the log now. @throws what a fold throws */
  async foldAll(): Promise<void> {
    await this.#options.log.seal();
    while (this.#working) await this.#working;
    const working = this.#work();
    // One at a time: segments sealed meanwhile wait.
    this.#working = working.catch(() => {}).finally(() => this.#working = undefined);
    await working;
  }

  /** Keeps history within its size limit. @returns whether there may be more to remove */
  trim({ bytes }: Retention): Promise<boolean> {
    return trimHistory(this.#options, bytes);
  }

  /** Stops. Folds first if a start would take long to replay the remaining segments. */
  async close(): Promise<void> {
    const { log, background, onWarning, volatile, isShared } = this.#options;
    this.#closed = true;
    clearTimeout(this.#retry);
    const signal = isShared ? AbortSignal.abort() : AbortSignal.timeout(CLOSING);
    await log.close();
    if (!volatile && !isShared && this.#waiting.length >= MANY_SEGMENTS) {
      const ended = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      const folded = (this.#working ?? Promise.resolve()).then(() => this.#work(signal));
      await Promise.race([folded, ended]).catch((error) => onWarning(this.#failure(error)));
    }
    await background.close(signal);
  }

  #start(): void {
    this.#working ??= this.#work().catch((error) => {
      // Closing interrupted the fold; the next start repeats it.
      if (this.#closed) return;
      this.#options.onWarning(this.#failure(error));
      clearTimeout(this.#retry);
      this.#retry = setTimeout(() => this.#start(), RETRY);
    }).finally(() => this.#working = undefined);
  }

  #failure(error: unknown): string {
    return `Cannot fold the log of the store: ${messageOf(error)}; nothing is lost, and it is tried again later`;
  }

  /** Folds the waiting segments one by one. */
  async #work(signal?: AbortSignal): Promise<void> {
    while (this.#waiting.length > 0 && !signal?.aborted) {
      await this.#fold(this.#waiting[0]);
      this.#waiting.shift();
      if (mergeDue(this.#base, this.#deltas)) await this.#merge();
    }
  }

  async #fold(segment: Segment): Promise<void> {
    const { background, history, log, onWarning } = this.#options;
    const { delta, catalogue: part } = await background.run("fold", segment);
    if (part) history.addPart(part);
    else onWarning(`Cannot read the part of history that was made of ${segment.name}; the history in it is not shown`);
    history.dropFolded(segment.lastSeq);
    log.forget(segment);
    this.#deltas.push(delta);
    if (part) await this.#keep(part);
  }

  /** Keeps the part's catalogue as live state. If a crash loses it, the next start reads it from the part. */
  async #keep(part: Catalogue): Promise<void> {
    const { ledger, rows } = this.#options;
    // A closing store makes no more transitions.
    await ledger.add("change", () => rows.put("part", ordered(part.first), part)).catch(() => {});
  }

  async #merge(): Promise<void> {
    const { background } = this.#options;
    const merged = await background.run("merge", { now: this.now, retention: this.retention.identities });
    if (merged === undefined) return;
    this.#base = merged.base;
    this.#deltas = [];
  }
}

/** Options of `trimHistory`. */
interface TrimmingOptions {
  disk: Disk;
  folder: string;
  background: StoreTasks;
  ledger: Ledger;
  rows: Rows;
  history: History;
  onWarning: (message: string) => void;
}

/**
 * Removes the oldest part of history if history is too large. If the part has a rule's last run or its last verdict of a kind,
 * the part is reduced to these instead.
 * @param bytes that history may use
 * @returns whether there may be more to remove
 */
async function trimHistory(options: TrimmingOptions, bytes: number): Promise<boolean> {
  const { ledger, rows, history } = options;
  // Decided on durable state, in turn with the transitions.
  const next = await ledger.add("read", () => history.nextToTrim(bytes, () => readKept(rows)));
  if (next === undefined) return false;
  const thinned = next.ids.length > 0 ? await thin(next, options) : undefined;
  if (thinned === undefined) await removePart(next.part, options);
  else await replacePart(next.part, thinned, options);
  return true;
}

/** @returns the new part; undefined if the old one has nothing to keep, or cannot be read */
async function thin({ part, ids }: Trimming, options: TrimmingOptions): Promise<Catalogue | undefined> {
  const thinned = await options.background.run("thin", { file: part.file, ids });
  if (thinned.kind === "thinned") return thinned.catalogue;
  if (thinned.kind === "damaged") {
    options.onWarning(
      `Cannot read ${part.file}, which is removed from history with all its content: ${thinned.reason}`,
    );
  }
}

async function removePart(part: Catalogue, { ledger, rows, history, disk, folder }: TrimmingOptions): Promise<void> {
  history.removePart(part);
  await ledger.add("change", () => rows.drop("part", ordered(part.first)));
  await disk.remove(join(folder, part.file)).catch(() => {});
}

/** After a crash in between there are two files of one range: see `open_store.ts`. */
async function replacePart(part: Catalogue, thinned: Catalogue, options: TrimmingOptions): Promise<void> {
  const { ledger, rows, history, disk, folder } = options;
  history.addPart(thinned);
  if (thinned.file !== part.file) await disk.remove(join(folder, part.file)).catch(() => {});
  await ledger.add("change", () => rows.put("part", ordered(thinned.first), thinned));
}
