import type { Buffer } from "node:buffer";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import type { Disk } from "../../host/disk.ts";
import { BlockWriter } from "./blocks.ts";
import { writeBytes, writeDraft } from "./draft.ts";
import {
  deltaName,
  foldedSeq,
  idsName,
  partName,
  readWhole,
  type SeqRange,
  type Sized,
  sortFiles,
  type StoreFiles,
} from "./files.ts";
import { isDrop, type Line, type LogFrame, visitFrame, withoutBirth } from "./log_frame.ts";
import { readSegment, type Segment } from "./segment_log.ts";

/** The result of a fold. */
export interface Folded<C> {
  delta: Sized;
  /** From the history's sink. Undefined if an earlier fold made the part and it cannot be read. */
  catalogue: C | undefined;
}

/**
 * Makes the part, ids file and delta of a sealed segment, then removes the segment. The last rename, that of the delta,
 * commits. The segment is the only input, so a fold that is repeated after a crash writes the same files. If the thread died
 * after the commit and before its answer, the segment may already be removed; the fold then finds the files it made.
 * @throws DamagedError, or the disk's error; the segment still exists then
 */
export async function foldSegment<C>(
  disk: Disk,
  folder: string,
  segment: Segment,
  hooks: FoldHooks<C>,
): Promise<Folded<C>> {
  const range = { first: segment.firstSeq, last: segment.lastSeq };
  const files = sortFiles(await disk.list(folder));
  const folded = foldedSeq(files);
  if (folded >= range.last) return await findFolded(disk, folder, segment, files, hooks);
  if (folded < range.first - 1) {
    throw new Error(`Cannot fold ${segment.name}: the frames from ${folded + 1} to ${range.first - 1} come first`);
  }
  const bytes = await readWhole(disk, folder, segment.name);
  const { frames } = readSegment(segment.name, bytes, range.first, range.last);
  const rows = new LastRows();
  const made = await readLines(frames, rows, range, bytes.length, hooks);
  await writeBytes(disk, folder, partName(range, crc32(made.part.bytes)), made.part.bytes);
  await writeBytes(disk, folder, idsName(range, crc32(made.ids)), made.ids);
  const delta = await writeDraft(disk, folder, deltaName(range), async (draft) => {
    const writer = new BlockWriter((piece) => draft.write(piece));
    await rows.writeTo(writer);
    await writer.close();
  });
  // The new files replace it. If it cannot be removed now, the next start removes it.
  await disk.remove(join(folder, segment.name)).catch(() => {});
  return { delta, catalogue: made.part.catalogue };
}

/** The files that an earlier fold of a segment made. No merge has run since then, as merges wait for the fold's answer. */
async function findFolded<C>(
  disk: Disk,
  folder: string,
  { name, firstSeq, lastSeq }: Segment,
  { deltas, parts, segments }: StoreFiles,
  hooks: FoldHooks<C>,
): Promise<Folded<C>> {
  const isOfSegment = ({ first, last }: SeqRange) => first === firstSeq && last === lastSeq;
  const [delta, part] = [deltas.find(isOfSegment), parts.find(isOfSegment)];
  if (delta === undefined) throw new Error(`Cannot fold ${name}: its frames are folded, but its delta is missing`);
  const file = await disk.open(join(folder, delta.name));
  await file.close();
  if (segments.some((one) => one.name === name)) await disk.remove(join(folder, name)).catch(() => {});
  const catalogue = part && await hooks.readCatalogue(disk, folder, part.name);
  return { delta: { name: delta.name, bytes: file.size }, catalogue };
}

/** Passes each line to its sink. */
async function readLines<C>(frames: LogFrame[], rows: LastRows, range: SeqRange, bytes: number, hooks: FoldHooks<C>) {
  const ids = await hooks.openIds(range);
  const history = await hooks.openHistory(range, bytes);
  try {
    for (const { payload } of frames) {
      visitFrame(payload, {
        row: (line) => rows.add(line, payload),
        id: (hash, text) => ids.id(hash, text),
        history: (kind, header, text) => history[kind](header, text),
      });
    }
  } catch (error) {
    history.discard();
    throw error;
  }
  return { part: await history.finish(), ids: await ids.finish() };
}

/** The last put or drop of each key. Leaves out rows that were both created and dropped in the segment. */
class LastRows {
  /** Where the text is in its frame, as most rows are dropped before anybody reads it; no text: the row is dropped. */
  readonly #rows = new Map<string, { payload?: Buffer; from: number; to: number; born: boolean }>();

  add(line: Line, payload: Buffer): void {
    const { key, born } = withoutBirth(line.key);
    const known = this.#rows.get(key);
    // Only the first line of a key says whether older files have it.
    const isBorn = known ? known.born : born;
    const { from, to } = line;
    if (!isDrop(line)) this.#rows.set(key, { payload, from, to, born: isBorn });
    else if (isBorn) this.#rows.delete(key);
    else this.#rows.set(key, { from, to, born: false });
  }

  async writeTo(writer: BlockWriter): Promise<void> {
    for (const key of [...this.#rows.keys()].sort()) {
      const { payload, from, to } = this.#rows.get(key)!;
      const full = writer.add(key, payload?.subarray(from, to));
      if (full) await full;
    }
  }
}

/** Receives the history of one segment and makes its part. Texts are UTF-8 bytes, valid only during the call. */
export interface HistorySink<C> {
  /** @param header JSON text, see the line `+event` */
  event(header: string, text: Uint8Array): void;
  /** @param header JSON text, see the line `+run` */
  run(header: string, text: Uint8Array): void;
  /** @param header JSON text, see the line `+more` */
  more(header: string, text: Uint8Array): void;
  /** Returns the same bytes for the same lines, so that a fold that is repeated after a crash writes the same file. */
  finish(): FinishedPart<C> | Promise<FinishedPart<C>>;
  /** Abandons the part; called instead of `finish`. */
  discard(): void;
}

export interface FinishedPart<C> {
  bytes: Uint8Array;
  /** A summary of the part for listings. Can be cloned between threads. */
  catalogue: C;
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
export interface FoldHooks<C> {
  /** @param bytes of the segment */
  openHistory(range: SeqRange, bytes: number): Promise<HistorySink<C>>;
  openIds(range: SeqRange): Promise<IdsSink>;
  /** Reads the catalogue from a part on disk; undefined if that cannot be read. */
  readCatalogue(disk: Disk, folder: string, part: string): Promise<C | undefined>;
  /**
   * Merges ids files into one.
   * @param files newest first; only one at a time is held in memory
   */
  mergeIds(files: AsyncIterable<Uint8Array>, expiry: Expiry): Promise<Uint8Array>;
}
