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
