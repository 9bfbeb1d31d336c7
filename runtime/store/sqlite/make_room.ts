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
    if (result === "nothing") throw full(bytes, retention.bytes, 60);
    if (performance.now() < until) continue;
    if (bytes > retention.bytes * SLACK) throw full(bytes, retention.bytes, 1);
    return;
  }
}

function full(bytes: number, cap: number, retryAfter: number): StoreFullError {
  const mb = (count: number) => `${Math.ceil(count / 1024 / 1024)} MB`;
  return new StoreFullError(
    `The store is full: ${mb(bytes)} of ${
      mb(cap)
    } are live runs, events they may wait for, and identities; end runs or raise retention`,
    retryAfter,
  );
}
