import type { Catalogue, Part } from "./catalogue.ts";

/** Thinned parts may use at most this share of the size limit of history, so that they do not displace all others. */
const THINNED_SHARE = 1 / 2;

/** A part is thinned again when less than this share of its content must still be kept. */
const STILL_KEPT = 1 / 2;

/** The events and runs that are kept even if their parts are removed. */
export interface Kept {
  /** Keys. */
  events: ReadonlySet<number>;
  /** Ids. */
  runs: ReadonlySet<string>;
}

/** The next part to remove or to thin. */
export interface Trimming {
  part: Catalogue;
  /** Keys of events and ids of runs to keep that it may have; if there are none, the whole part is removed. */
  ids: (string | number)[];
}

/**
 * Decides which part to remove or thin next: the oldest part that was not thinned yet, if all parts together are too large; else
 * a thinned part most of whose content no longer needs to be kept.
 * @param parts oldest first
 * @param most bytes that history may use
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

/**
 * The limit for versions that are kept only because history shows them. Versions are live state, which has a cap. A version with
 * the bundle of a TypeScript rule can have about 100 kB, and each save of a rule makes a version.
 */
const MOST_CHARACTERS = 32 * 1024 * 1024;

/** A version that neither the rules in force nor a live run uses. */
export interface UnusedVersion {
  version: string;
  /** In characters. */
  length: number;
}

/**
 * Those of these versions that history does not keep for its source view: no run in history used them, or more recently used
 * versions take all the space.
 * @param lastUseOf when a version was last used, as an ascending number; undefined if no run in history used it
 */
export function findOutlived(
  unused: UnusedVersion[],
  lastUseOf: (version: string) => number | undefined,
  most = MOST_CHARACTERS,
): string[] {
  const used = unused.map((one) => ({ ...one, use: lastUseOf(one.version) ?? -1 })).sort((a, b) => b.use - a.use);
  let total = 0;
  return used.flatMap(({ version, length, use }) => {
    if (use === -1) return [version];
    total += length;
    return total > most ? [version] : [];
  });
}
