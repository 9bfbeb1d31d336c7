import assert from "node:assert/strict";
import type { History } from "../../../runtime/store/history/history.ts";
import type { Rows } from "../../../runtime/store/ledger/rows.ts";
import type { LedgerStoreParts } from "../../../runtime/store/ledger_store.ts";
import type { Store } from "../../../runtime/store/store.ts";
import { dump } from "../state.ts";
import { type Replica, SharedPlace } from "./place.ts";

/** The rows and history of a store, which nothing outside of it sees. */
export function insideOf(store: Store): { rows: Rows; history: History } {
  return (store as unknown as { parts: LedgerStoreParts }).parts;
}

/** Resolves when a replica has applied all frames. */
export async function caughtUp(place: SharedPlace, ...replicas: Replica[]): Promise<void> {
  for (const { store, lost } of replicas) {
    while (store.changes() < (place.frames.at(-1)?.seq ?? 0)) {
      if (lost) throw lost;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

/** Everything that a store has: live rows with their indexes and counts, and history. */
async function contents(store: Store) {
  const { rows, history } = insideOf(store);
  const { rows: runs } = await history.listRuns({ limit: 1e6 });
  return {
    dump: dump(rows),
    runs,
    events: (await history.listEvents({ limit: 1e6 })).rows,
    counts: history.counts(),
    traces: await Promise.all(runs.map(({ run: { id } }) => history.getRun(id))),
  };
}

/** Checks that replicas have the same state. */
export async function assertSame(place: SharedPlace, first: Replica, ...others: Replica[]): Promise<void> {
  // The catalogue of the last fold may be on its way.
  await first.store.countRuns();
  await caughtUp(place, first, ...others);
  const expected = await contents(first.store);
  for (const { id, store } of others) {
    assert.deepEqual(await contents(store), expected, `${id} differs from ${first.id}`);
  }
}

/** A store that follows, with the one that decides beside it, which does the upkeep. Both must have the same in the end. */
export async function openPair(): Promise<Store> {
  const place = new SharedPlace();
  const decider = await place.start();
  // The tests claim runs as `me`.
  const follower = await place.start({}, "me");
  const { store } = follower;
  const { retain, listenToOwn, close, stats } = Object.fromEntries(
    (["retain", "listenToOwn", "close", "stats"] as const).map((name) => [name, store[name].bind(store)]),
  ) as unknown as Pick<Store, "retain" | "listenToOwn" | "close" | "stats">;
  return Object.assign(
    store,
    {
      async prune(retention, now) {
        retain(retention);
        const more = await decider.store.prune(retention, now);
        await caughtUp(place, follower);
        return more;
      },
      // Only who decides has the log in files.
      stats: async () => ({ ...await stats(), journalBytes: (await decider.store.stats()).journalBytes }),
      async checkpoint() {
        await decider.store.checkpoint();
        await decider.store.countRuns();
        await caughtUp(place, follower);
      },
      retain(retention) {
        retain(retention);
        decider.store.retain(retention);
      },
      listenToOwn(listening) {
        listenToOwn(listening);
        decider.store.listenToOwn(listening);
      },
      async close() {
        await assertSame(place, decider, follower);
        await close();
        await decider.store.close();
        assert.deepEqual([...decider.warnings, ...follower.warnings], []);
      },
    } satisfies Partial<Store>,
  );
}
