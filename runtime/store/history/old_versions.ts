/**
 * How much text may stay only because history shows it. Versions are live state, which has a cap; one with the bundle of a
 * TypeScript rule can have some 100 kB, and each save of a rule makes one.
 */
const MOST_CHARACTERS = 32 * 1024 * 1024;

/** A version that neither the rules in force nor a live run needs. */
export interface UnusedVersion {
  version: string;
  /** In characters. */
  length: number;
}

/**
 * Those of some versions that history does not need for its source view: no run that it has was on them, or runs on newer
 * versions have taken all the space.
 * @param lastUseOf when a version was used last, as a number that grows; undefined if history has no run on it
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
