import { StoreFullError } from "../store.ts";
import type { Context } from "./context.ts";
import { dropOldest } from "./drop_oldest.ts";

/** Milliseconds that one arrival may spend on making room. */
const SPELL = 1;

/** What is dropped frees whole pages only now and then; so far above the cap arrivals wait for that. */
const SLACK = 1.05;

/**
 * Sees to it that something new may be taken in: at the cap it drops what retention allows.
 * @throws StoreFullError where nothing is left to drop
 */
export function makeRoom(context: Context): void {
  const { database, retention } = context;
  if (database.bytesAtBegin() <= retention.bytes) return;
  const until = performance.now() + SPELL;
  for (;;) {
    const result = dropOldest(context, until);
    const bytes = database.bytes();
    if (bytes <= retention.bytes) return;
    const full = `The store is full: ${megabytes(bytes)} of ${megabytes(retention.bytes)}`;
    if (result === "nothing") {
      const why = "are live runs, events they may wait for, and identities; end runs or raise retention";
      throw new StoreFullError(`${full} ${why}`, 60);
    }
    if (performance.now() < until) continue;
    if (bytes > retention.bytes * SLACK) throw new StoreFullError(`${full}; what may go is being dropped`, 1);
    return;
  }
}

function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 1024 / 1024)} MB`;
}
