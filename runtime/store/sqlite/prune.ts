import { type Context, retain } from "./context.ts";
import type { Retention } from "../store.ts";
import { dropOldest } from "./drop_oldest.ts";

/** Milliseconds of one slice; the last batch may end a little later. */
const SLICE = 3;

const BATCH = 50;

/**
 * One slice of retention: identities and memory whose time is over, then as much as the size asks for. The clock only
 * decides how much is done; the journal holds what was dropped, not that it was time to.
 * @returns true while there is more to do
 */
export function prune(context: Context, retention: Retention, now: number): boolean {
  retain(context, retention);
  const { database } = context;
  const until = performance.now() + SLICE;
  while (dropExpired(context, now)) if (performance.now() > until) return true;
  while (database.bytes() > retention.bytes) {
    if (dropOldest(context, until) === "nothing") return false;
    if (performance.now() > until) return true;
  }
  return false;
}

/** @returns whether it dropped anything */
function dropExpired({ database, retention }: Context, now: number): boolean {
  const dropped = database.run(
    "DELETE FROM identities WHERE (source, id) IN (SELECT source, id FROM identities " +
      "WHERE within IS NULL AND received_at <= ? ORDER BY received_at, source, id LIMIT ?)",
    now - retention.identities,
    BATCH,
  );
  const ended = database.run(
    "DELETE FROM identities WHERE (source, id) IN (SELECT source, id FROM identities " +
      "WHERE within IS NOT NULL AND received_at + within <= ? ORDER BY received_at + within, source, id LIMIT ?)",
    now,
    BATCH,
  );
  const forgotten = database.run(
    "DELETE FROM state WHERE key IN (SELECT key FROM state " +
      "WHERE expires_at IS NOT NULL AND expires_at <= ? ORDER BY expires_at, key LIMIT ?)",
    now,
    BATCH,
  );
  return dropped + ended + forgotten > 0;
}
