import { join } from "node:path";
import { crc32 } from "node:zlib";
import type { Disk } from "../../host/disk.ts";
import { BlockWriter } from "./blocks.ts";
import { writeDraft } from "./draft.ts";
import { DamagedError } from "./errors.ts";
import { baseName, type CheckedFile, idsName, type Sized, sortFiles } from "./files.ts";
import { writeBytes } from "./fold.ts";
import { basesToTry, covered, type Generation, generationOf } from "./generations.ts";
import { mergeBlocks } from "./merge.ts";
import { readChecked } from "./read_file.ts";
import type { Expiry, FoldHooks } from "./sinks.ts";

/**
 * A merge is due when the deltas have this many bytes, or half of the base's, whichever is more: merges write at most three
 * times what the deltas do, and a start reads at most half of the base again.
 */
const LEAST_BYTES = 32 * 1024 * 1024;
const SHARE = 1 / 2;

/** Short segments, one for each start, make small deltas; a merge has one block of each in memory. */
const MOST_DELTAS = 128;

/** The result of a merge. */
export interface Merged {
  base: Sized;
  ids: Sized;
}

/** Whether it is time to merge the deltas after a base into a new base. */
export function mergeDue(base: Sized | undefined, deltas: readonly Sized[]): boolean {
  const bytes = deltas.reduce((sum, delta) => sum + delta.bytes, 0);
  return deltas.length >= MOST_DELTAS || bytes > Math.max(LEAST_BYTES, (base?.bytes ?? 0) * SHARE);
}

/**
 * Merges the newest base and its deltas into a new base, and their ids files into one; removes the files that these replace.
 * The rename of the base commits. If the newest base is damaged, the previous one is used.
 * @returns undefined if there is nothing to merge
 * @throws DamagedError if no base can be used, or the disk's error; nothing is lost then
 */
export async function mergeFiles(
  disk: Disk,
  folder: string,
  expiry: Expiry,
  hooks: FoldHooks,
): Promise<Merged | undefined> {
  const files = sortFiles(await disk.list(folder));
  const broken: string[] = [];
  const reasons: string[] = [];
  for (const base of basesToTry(files)) {
    try {
      const generation = generationOf(files, base);
      if (generation.deltas.length === 0) return undefined;
      const merged = await mergeGeneration(disk, folder, generation, expiry, hooks);
      await removeAll(disk, folder, broken);
      await removeAll(disk, folder, covered(sortFiles(await disk.list(folder))));
      return merged;
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error;
      reasons.push(error.message);
      if (base) broken.push(base.name);
    }
  }
  throw new DamagedError(reasons.join("; "));
}

async function mergeGeneration(
  disk: Disk,
  folder: string,
  { base, deltas, ids, last }: Generation,
  expiry: Expiry,
  hooks: FoldHooks,
): Promise<Merged> {
  const bytes = await hooks.mergeIds(readNewestFirst(disk, folder, ids), expiry);
  const mergedIds = await writeBytes(disk, folder, idsName({ first: 1, last }, crc32(bytes)), bytes);
  const names = [...base ? [base] : [], ...deltas].map(({ name }) => name);
  const merged = await writeDraft(disk, folder, baseName(last), async (draft) => {
    const writer = new BlockWriter((piece) => draft.write(piece));
    await mergeBlocks(disk, folder, names, writer);
    await writer.close();
  });
  return { base: merged, ids: mergedIds };
}

async function* readNewestFirst(disk: Disk, folder: string, ids: CheckedFile[]): AsyncGenerator<Uint8Array> {
  for (const file of ids.toReversed()) yield await readChecked(disk, folder, file);
}

/** The next start removes files that cannot be removed now. */
async function removeAll(disk: Disk, folder: string, names: string[]): Promise<void> {
  for (const name of names) await disk.remove(join(folder, name)).catch(() => {});
}
