import { join, ordered } from "../ledger/ordered.ts";
import type { Rows } from "../ledger/rows.ts";
import type { At } from "./transition.ts";

/** How many rows of each kind one transition drops. */
const SLICE = 256;

/**
 * One slice of retention over live rows: drops expired memory across runs, and closed forms older than the identity retention.
 * @returns true while there may be more
 */
export function prune(rows: Rows, _input: undefined, { now, retention }: At): boolean {
  const expired = rows.range("state", "end", "", SLICE).filter(({ expiresAt }) => expiresAt! <= now);
  for (const { key } of expired) rows.drop("state", key);
  const oldest = ordered(Math.max(0, now - retention.identities));
  let dropped = 0;
  for (const state of ["answered", "expired", "cancelled"]) {
    const ids = rows.index("form", "state").range(join(state, ""), undefined, SLICE);
    const old = ids.filter((id) => ordered(rows.get("form", id)!.createdAt) <= oldest);
    for (const id of old) if (!rows.get("run", rows.get("form", id)!.run)) dropped += Number(rows.drop("form", id));
  }
  return expired.length === SLICE || dropped >= SLICE;
}
