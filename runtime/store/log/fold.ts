import type { Buffer } from "node:buffer";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import type { Disk } from "../../host/disk.ts";
import { BlockWriter } from "./blocks.ts";
import { writeDraft } from "./draft.ts";
import { deltaName, idsName, partName, type Sized, sortFiles, type StoreFiles } from "./files.ts";
import type { LogFrame } from "./log_frame.ts";
import { foldedSeq } from "./generations.ts";
import { isDrop, type Line, withoutBirth } from "./lines.ts";
import { readWhole } from "./read_file.ts";
import { readSegment, type Segment } from "./segment.ts";
import type { FoldHooks, SeqRange } from "./sinks.ts";
import { visitFrame } from "./visit_frame.ts";

/** What a fold has made. */
export interface Folded {
  delta: Sized;
  /** As the history's sink gave it; undefined if the segment was folded before and its part cannot be read. */
  catalogue: unknown;
}

/**
 * Makes part, ids file and delta of a sealed segment, then removes the segment. The rename of the delta, the last one,
 * commits. It needs nothing but the segment; if it is repeated after a crash it writes the same files. If the thread died after the
 * commit and before its answer, the segment may be gone already: what was made is found again.
 * @throws DamagedError, or the disk's error; the segment is still there then
 */
export async function foldSegment(disk: Disk, folder: string, segment: Segment, hooks: FoldHooks): Promise<Folded> {
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
  // It is covered now; if it cannot be removed the next start does.
  await disk.remove(join(folder, segment.name)).catch(() => {});
  return { delta, catalogue: made.part.catalogue };
}

/** What an earlier fold of a segment has made. No merge has come since then: it waits for the answer of the fold. */
async function findFolded(
  disk: Disk,
  folder: string,
  { name, firstSeq, lastSeq }: Segment,
  { deltas, parts, segments }: StoreFiles,
  hooks: FoldHooks,
): Promise<Folded> {
  const isOfSegment = ({ first, last }: SeqRange) => first === firstSeq && last === lastSeq;
  const [delta, part] = [deltas.find(isOfSegment), parts.find(isOfSegment)];
  if (delta === undefined) throw new Error(`Cannot fold ${name}: its frames are folded, but its delta is missing`);
  const file = await disk.open(join(folder, delta.name));
  await file.close();
  if (segments.some((one) => one.name === name)) await disk.remove(join(folder, name)).catch(() => {});
  const catalogue = part && await hooks.readCatalogue(disk, folder, part.name);
  return { delta: { name: delta.name, bytes: file.size }, catalogue };
}

/** Sends all lines to where they belong. */
async function readLines(frames: LogFrame[], rows: LastRows, range: SeqRange, bytes: number, hooks: FoldHooks) {
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

/** Writes a whole file. */
export function writeBytes(disk: Disk, folder: string, name: string, bytes: Uint8Array): Promise<Sized> {
  return writeDraft(disk, folder, name, (draft) => draft.write(bytes));
}

/** The last put or drop of each key. Rows that were born and dropped meanwhile are left out. */
class LastRows {
  readonly #rows = new Map<string, { text: Buffer | undefined; born: boolean }>();

  add(line: Line, payload: Buffer): void {
    const { key, born } = withoutBirth(line.key);
    const known = this.#rows.get(key);
    // Only the first mention tells whether older files have the key.
    const isBorn = known ? known.born : born;
    if (!isDrop(line)) this.#rows.set(key, { text: payload.subarray(line.from, line.to), born: isBorn });
    else if (isBorn) this.#rows.delete(key);
    else this.#rows.set(key, { text: undefined, born: false });
  }

  async writeTo(writer: BlockWriter): Promise<void> {
    for (const key of [...this.#rows.keys()].sort()) {
      const full = writer.add(key, this.#rows.get(key)!.text);
      if (full) await full;
    }
  }
}
