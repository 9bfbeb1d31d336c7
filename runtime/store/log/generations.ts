import { DamagedError } from "./errors.ts";
import type { BaseFile, CheckedFile, DeltaFile, StoreFiles } from "./files.ts";
import type { SeqRange } from "./sinks.ts";

/** A base, or none, with the files that continue it: together the live state up to the frame `last`. */
export interface Generation {
  base?: BaseFile;
  /** Older first, without a gap. */
  deltas: DeltaFile[];
  /** Older first: one for the base, one for each delta. */
  ids: CheckedFile[];
  last: number;
}

/** How many bases are kept, so that a damaged one can be passed over. */
const BASES = 2;

/**
 * The generation that begins with a base, or with nothing.
 * @throws DamagedError if a file is missing
 */
export function generationOf(files: StoreFiles, base: BaseFile | undefined): Generation {
  const generation: Generation = { deltas: [], ids: [], last: base?.last ?? 0, ...base && { base } };
  if (base) generation.ids.push(idsOf(files, { first: 1, last: base.last }));
  for (const delta of files.deltas) {
    if (delta.last <= generation.last) continue;
    if (delta.first !== generation.last + 1) {
      throw new DamagedError(`frames ${generation.last + 1} to ${delta.first - 1} are missing`);
    }
    generation.deltas.push(delta);
    generation.ids.push(idsOf(files, delta));
    generation.last = delta.last;
  }
  return generation;
}

/** The bases to try, the newest first, then none. */
export function basesToTry(files: StoreFiles): (BaseFile | undefined)[] {
  return [...files.bases.toReversed(), undefined];
}

/** The last frame that is in a base or a delta. */
export function foldedSeq({ bases, deltas }: StoreFiles): number {
  return Math.max(0, bases.at(-1)?.last ?? 0, deltas.at(-1)?.last ?? 0);
}

/** The bases, deltas and ids files that merges have superseded. */
export function covered(files: StoreFiles): string[] {
  const bases = files.bases.slice(-BASES);
  const last = bases.length === BASES ? bases[0].last : 0;
  const deltas = files.deltas.filter((delta) => delta.last > last);
  const ranges = [...bases.map(({ last }) => ({ first: 1, last })), ...deltas];
  return [
    ...without(files.bases, bases),
    ...without(files.deltas, deltas),
    ...without(files.ids, files.ids.filter((ids) => ranges.some((range) => isSame(ids, range)))),
  ];
}

/** All files that are no longer needed at a start. Folds and merges leave them if the program is killed. */
export function leftovers(files: StoreFiles): string[] {
  const folded = foldedSeq(files);
  return [
    ...files.drafts,
    ...covered(files),
    ...files.segments.filter(({ first }) => first <= folded).map(({ name }) => name),
    ...files.parts.filter(({ last }) => last > folded).map(({ name }) => name),
  ];
}

/** The last frame that was written, according to the names of all files. */
export function lastKnownSeq({ bases, deltas, ids, parts }: StoreFiles): number {
  return Math.max(0, ...[bases, deltas, ids, parts].map((kind) => kind.at(-1)?.last ?? 0));
}

/** The ids file of a range. There may be two after a merge that failed; each of them is whole. */
function idsOf({ ids }: StoreFiles, range: SeqRange): CheckedFile {
  const found = ids.find((file) => isSame(file, range));
  if (!found) throw new DamagedError(`the ids file of the frames ${range.first} to ${range.last} is missing`);
  return found;
}

function isSame(a: SeqRange, b: SeqRange): boolean {
  return a.first === b.first && a.last === b.last;
}

function without(all: { name: string }[], kept: { name: string }[]): string[] {
  return all.filter((file) => !kept.includes(file)).map(({ name }) => name);
}
