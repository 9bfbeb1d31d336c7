import type { Catalogue, Part } from "./catalogue.ts";

/** Thinned parts count as this share of what history may take at most, so that they never take the room of all others. */
const THINNED_SHARE = 1 / 2;

/** A part is thinned again once less than this share of what it has is still to be kept. */
const STILL_KEPT = 1 / 2;

/** The events and runs that stay whatever becomes of their parts. */
export interface Kept {
  /** Keys. */
  events: ReadonlySet<number>;
  /** Ids. */
  runs: ReadonlySet<string>;
}

/** The part that is to go next. */
export interface Trimming {
  part: Catalogue;
  /** Keys of events and ids of runs that it may have and that are to be kept; if there are none, all of it goes. */
  ids: (string | number)[];
}

/**
 * Decides which part is to be removed or thinned: the oldest whole one if all parts together have too many bytes; else one that
 * was thinned, once other events and runs are to be kept instead of those in it.
 * @param parts oldest first
 * @param most bytes that history may take
 * @param kept called only if it matters
 */
export function nextToTrim(parts: readonly Part[], most: number, kept: () => Kept): Trimming | undefined {
  const [whole, thinned] = [parts.filter((part) => !isThinned(part)), parts.filter(isThinned)];
  const isTooMuch = bytesOf(whole) + Math.min(bytesOf(thinned), most * THINNED_SHARE) > most;
  if (isTooMuch && whole.length > 0) return { part: whole[0].catalogue, ids: idsIn(whole[0], kept()) };
  if (thinned.length === 0) return undefined;
  const now = kept();
  for (const part of thinned) {
    const ids = idsIn(part, now);
    if (ids.length < part.catalogue.thinned! * STILL_KEPT) return { part: part.catalogue, ids };
  }
}

function isThinned({ catalogue }: Part): boolean {
  return catalogue.thinned !== undefined;
}

function bytesOf(parts: readonly Part[]): number {
  return parts.reduce((sum, { catalogue }) => sum + catalogue.bytes, 0);
}

function idsIn(part: Part, { events, runs }: Kept): (string | number)[] {
  const ids: (string | number)[] = [];
  for (const key of events) if (part.mayHaveEvent(key) || part.mayHaveMore(key)) ids.push(key);
  for (const id of runs) if (part.mayHaveRun(id) || part.mayHaveMore(id)) ids.push(id);
  return ids;
}
