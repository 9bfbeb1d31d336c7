import assert from "node:assert/strict";
import { type Store, StoreFullError } from "../../runtime/store/store.ts";
import { FaultyDisk } from "../faults/faulty_disk.ts";
import {
  arrival,
  candidate,
  claimIds,
  DAY,
  dropHistory,
  NOW,
  open,
  pruneAll,
  publish,
  RETENTION,
  rule,
  send,
  startRun,
  step,
  storeTest,
  supersede,
} from "./helpers.ts";

const MB = 1024 * 1024;

/** Accepts events with a body of 10 kB; runs of those whose number is in `finish` end. @returns their runs */
async function fill(store: Store, from: number, to: number, finish: (at: number) => boolean): Promise<string[]> {
  const runs: string[] = [];
  for (let at = from; at < to; at++) {
    const one = arrival(`e${at}`, [candidate({ max: 10_000 })]);
    one.event.data = "x".repeat(10_000);
    const [{ runs: [id] }] = await store.accept([one], [], NOW + at);
    runs.push(id);
    if (!finish(at)) continue;
    await store.claimRuns("me", 10_000, NOW + at);
    await store.recordStep(id, step("a", { output: "y".repeat(100) }), {}, NOW + at);
    await store.finishRun(id, { state: "succeeded", output: "z".repeat(100), spent: 1 }, NOW + at);
  }
  return runs;
}

async function eventIds(store: Store): Promise<string[]> {
  return (await store.listEvents({ limit: 1e6 })).map(({ event }) => event.id).reverse();
}

storeTest("identities are removed when they expire, and only then", async (store) => {
  await send(store, "old");
  await store.accept([arrival("short", [candidate()], 1_000)], [], NOW);
  await send(store, "new", {}, NOW + DAY);
  await pruneAll(store, {}, NOW + 30 * DAY - 1);
  assert.equal((await store.stats()).identities, 2);
  await pruneAll(store, {}, NOW + 30 * DAY);
  assert.equal((await store.stats()).identities, 1);
  assert.equal((await store.stats()).events, 3, "history is not removed by age");
});

Deno.test("by bytes: the oldest part of history is removed first, with its file; counters and identities stay", async () => {
  const disk = new FaultyDisk();
  const store = await open({ disk });
  const runs: string[] = [];
  for (const at of [0, 3, 6]) {
    runs.push(...await fill(store, at, at + 3, () => true));
    await store.checkpoint();
  }
  const parts = () => disk.paths().filter((path) => path.includes("/part-"));
  const [first, ...others] = parts();
  const { historyBytes } = await store.stats();
  await pruneAll(store, { bytes: historyBytes });
  assert.equal(parts().length, 3, "there is space");
  await pruneAll(store, { bytes: historyBytes - 1 });
  assert.deepEqual(parts(), others, first);
  assert.deepEqual(await eventIds(store), ["e3", "e4", "e5", "e6", "e7", "e8"]);
  assert.equal((await store.listRuns({ limit: 99 })).length, 6);
  assert.equal(await store.getRun(runs[0]), undefined);
  assert.equal(await store.replayRun(runs[0], undefined, "anna", NOW), undefined);
  await dropHistory(store);
  const check = async (now: Store) => {
    assert.deepEqual([await eventIds(now), (await now.listRuns({ limit: 9 })).map(({ id }) => id)], [["e8"], [
      runs[8],
    ]]);
    assert.deepEqual((await now.countVerdicts())["shop/pay"], { started: 9 });
    assert.equal((await now.countRuns()).succeeded, 9);
    const { identities, events } = await now.stats();
    assert.deepEqual([identities, events], [9, 1]);
    const again = await send(now, "e0");
    assert.deepEqual([again.delivery, again.runs], ["duplicate", [runs[0]]], "its run is still known");
  };
  await check(store);
  await store.checkpoint();
  await pruneAll(store, { bytes: 0 });
  disk.cut();
  const again = await open({ disk });
  await check(again);
  await again.close();
});

storeTest("live runs, with the events that they need, outlive all history", async (store) => {
  await store.putVersions([rule("v1")]);
  await fill(store, 0, 3, (at) => at === 1);
  await dropHistory(store);
  const live = await store.listRuns({ limit: 9 });
  assert.deepEqual(live.map(({ event }) => [event.id, (event.data as string).length]), [
    ["e2", 10_000],
    ["e1", 10_000],
    ["e0", 10_000],
  ], "e1 is the last one that ended");
  const replayed = (await store.replayRun(live[0].id, undefined, "anna", NOW))!;
  await store.cancelRun(live[0].id, "by anna", NOW);
  await dropHistory(store);
  assert.equal(((await store.getRun(replayed as string))!.run.event.data as string).length, 10_000);
  assert.deepEqual((await store.claimRuns("me", 9, NOW + 9)).map(({ run }) => run.id), [replayed]);
});

storeTest("changes of an event or run whose history was removed do no harm", async (store) => {
  const { runs: [run] } = await send(store, "e1");
  await supersede(store);
  await dropHistory(store);
  await send(store, "e1");
  await store.claimRuns("me", 1, NOW);
  const reply = { status: 200, headers: {}, body: "here" };
  await store.recordStep(run, step("a"), { reply }, NOW);
  await store.finishRun(run, { state: "failed", spent: 1 }, NOW);
  await store.checkpoint();
  const trace = (await store.getRun(run))!;
  assert.deepEqual([trace.run.state, trace.run.event], ["failed", { ...arrival("e1").event, data: null }]);
  assert.deepEqual(await eventIds(store), ["newest"]);
  assert.deepEqual(await store.getReply(arrival("e1").event), reply);
});

Deno.test("above the cap of live state intake is refused; duplicates are answered, existing runs continue", async () => {
  const store = await open();
  await pruneAll(store, { live: 1.5 * MB });
  const refused = fill(store, 0, 600, () => false);
  await assert.rejects(
    refused,
    (error) =>
      error instanceof StoreFullError && error.retryAfter > 0 && /^The store is full: 2 MB of 2 MB/.test(error.message),
  );
  const { bytes, events } = await store.stats();
  assert.ok(bytes > 1.5 * MB && bytes < 1.6 * MB, `${bytes}`);
  await dropHistory(store);
  await pruneAll(store, { live: 1.5 * MB });
  await assert.rejects(send(store, "new"), StoreFullError, "history does not count");
  assert.equal((await send(store, "e0")).delivery, "duplicate");
  const [{ run }] = await store.claimRuns("me", 1, NOW + DAY);
  await store.recordStep(run.id, step("a"), { state: { key: "k", value: 1 } }, NOW);
  for (const { id } of await store.listRuns({ limit: 20 })) await store.cancelRun(id, "by anna", NOW);
  assert.equal((await send(store, "new")).delivery, "accepted", "there is space again");
  assert.ok(events > 100);
  await store.close();
});

Deno.test("history does not count as live state", async () => {
  const store = await open();
  await pruneAll(store, { live: MB });
  await fill(store, 0, 300, () => true);
  assert.ok((await store.stats()).bytes < 0.5 * MB);
  assert.equal((await eventIds(store)).length, 300);
  await store.close();
});

storeTest("the retention setting applies before anything is removed", async (store) => {
  store.retain({ ...RETENTION, live: 1.5 * MB, identities: 60 * DAY });
  await send(store, "e0");
  assert.equal((await send(store, "e0", {}, NOW + 59 * DAY)).delivery, "duplicate");
  assert.equal((await send(store, "e0", {}, NOW + 60 * DAY)).delivery, "accepted");
  await assert.rejects(fill(store, 1, 600, () => false), StoreFullError);
});

storeTest("an expired identity frees its space, in memory and in the store", async (store) => {
  for (let at = 0; at < 1_000; at++) await publish(store, `p${at}`, "paid.in", {});
  await store.checkpoint();
  assert.equal((await store.stats()).identities, 1_000);
  const { bytes } = await store.stats();
  await pruneAll(store, {}, NOW + 31 * DAY);
  assert.equal((await store.stats()).identities, 0);
  assert.ok((await store.stats()).bytes < bytes);
});

storeTest("memory across runs is removed when its ttl is over", async (store) => {
  const run = await startRun(store, "e1");
  for (let at = 0; at < 300; at++) {
    await store.recordStep(run, step(`s${at}`), { state: { key: `k${at}`, value: at, ttl: 1_000 + at } }, NOW);
  }
  await store.recordStep(run, step("ever"), { state: { key: "ever", value: 1 } }, NOW);
  await pruneAll(store, {}, NOW + 1_200);
  const keys = Object.keys(await store.getState(["k0", "k200", "k201", "k299", "ever"], NOW));
  assert.deepEqual(keys.sort(), ["ever", "k201", "k299"]);
  assert.deepEqual(await claimIds(store), []);
});
