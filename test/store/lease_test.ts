import assert from "node:assert/strict";
import type { Admission, Store } from "../../runtime/store/store.ts";
import { arrival, candidate, claimIds, NOW, storeTest } from "./helpers.ts";

const LEASE = { owner: "me", max: 9 };

/** Accepts one event on a lease. @returns whether its run was claimed */
async function accept(store: Store, id: string, admit: Partial<Admission> = {}): Promise<boolean> {
  const [{ runs, claimed = [] }] = await store.accept([arrival(id, [candidate(admit)])], [], NOW, LEASE);
  assert.ok(claimed.every(({ run }) => runs.includes(run.id)));
  return claimed.length > 0;
}

storeTest("a run that nothing delays is claimed with its event, and by nobody else", async (store) => {
  const [{ runs, claimed }] = await store.accept([arrival("e1")], [], NOW, LEASE);
  assert.deepEqual(claimed, [{ ...claimed![0], steps: [], asksFirst: false, again: false, alone: 0 }]);
  const { run } = claimed![0];
  assert.deepEqual([run.id, run.state, run.startedAt, run.event.data], [runs[0], "running", NOW, { id: "e1" }]);
  assert.deepEqual(await claimIds(store), []);
  assert.equal(await store.nextDue(), undefined);
  assert.deepEqual((await store.getRun(run.id))!.run, run);
});

storeTest("a lease is used up by all rules of all arrivals together", async (store) => {
  const both = [candidate({}, "a"), candidate({}, "b")];
  const receipts = await store.accept([arrival("e1", both), arrival("e2", both)], [], NOW, { owner: "me", max: 3 });
  assert.deepEqual(receipts.map(({ claimed }) => claimed!.length), [2, 1]);
  assert.deepEqual(await claimIds(store), ["e2"]);
});

storeTest("without a free slot in its concurrency group a run is queued, and so is the next one", async (store) => {
  const max = { max: 2 };
  assert.deepEqual([await accept(store, "e1", max), await accept(store, "e2", max)], [true, true]);
  assert.deepEqual([await accept(store, "e3", max), await accept(store, "e4", max)], [false, false]);
  const [{ id }] = await store.listRuns({ event: { source: "/hooks/pay", id: "e1" }, limit: 1 });
  await store.finishRun(id, { state: "succeeded", spent: 0 }, NOW);
  // One free slot; the third run is the oldest.
  assert.equal(await accept(store, "e5", max), false);
  assert.deepEqual(await claimIds(store), ["e3"]);
});

storeTest("modes and limits hold for runs that are claimed at once", async (store) => {
  for (const mode of ["queued", "single", "restart"] as const) {
    const key = JSON.stringify(mode);
    assert.equal(await accept(store, `${mode} 1`, { mode, key }), true);
    assert.equal(await accept(store, `${mode} 2`, { mode, key }), false);
  }
  const limit = { count: 1, per: 60_000 };
  assert.equal(await accept(store, "limit 1", { key: '"limit"', limit }), true);
  assert.equal(await accept(store, "limit 2", { key: '"limit"', limit }), false);
});

storeTest("a function `if` is evaluated for one run at a time", async (store) => {
  const [{ claimed }] = await store.accept([arrival("e1", [candidate({ asksFirst: true })])], [], NOW, LEASE);
  assert.deepEqual([claimed![0].asksFirst, claimed![0].run.startedAt], [true, undefined]);
  assert.equal(await accept(store, "e2", { asksFirst: true }), false);
});

storeTest("after a crash a run that was claimed with its event is queued again", async (store) => {
  assert.equal(await accept(store, "e1"), true);
  assert.equal(await store.reclaimRuns("another start", NOW), 1);
  const [{ run, again }] = await store.claimRuns("another start", 9, NOW);
  assert.deepEqual([run.event.id, again], ["e1", true]);
});
