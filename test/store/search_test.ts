import assert from "node:assert/strict";
import type { Json } from "../../runtime/model/json.ts";
import type { Store, Wait } from "../../runtime/store/store.ts";
import { FaultyDisk } from "../faults/faulty_disk.ts";
import {
  beginWait,
  claimIds,
  dropHistory,
  NOW,
  open,
  publish,
  settle,
  startRun,
  stepOf,
  storeTest,
} from "./helpers.ts";

function paid(match: Record<string, Json> = {}): Wait {
  return { kind: "event", types: ["paid.*"], match };
}

function idOf(output: unknown): string | undefined {
  return (output as { id: string } | undefined)?.id;
}

/** A disk whose first read of a part waits until it is released. */
class SlowDisk extends FaultyDisk {
  readonly asked = Promise.withResolvers<void>();
  readonly released = Promise.withResolvers<void>();
  #isFirst = true;

  override async read(path: string): Promise<Uint8Array> {
    if (this.#isFirst && path.includes("/part-")) {
      this.#isFirst = false;
      this.asked.resolve();
      await this.released.promise;
    }
    return await super.read(path);
  }
}

/** Waits until a wait ends. @returns the id of its event */
async function endOf(store: Store, run: string, path: string): Promise<string | undefined> {
  for (let looks = 0; looks < 1_000; looks++) {
    const record = (await stepOf(store, run, path))!;
    if (record.state === "succeeded") return idOf(record.output);
    await settle();
  }
}

storeTest("a wait finds events since its run began in parts, after them and live, oldest first", async (store) => {
  await publish(store, "before", "paid.in", { id: "A" });
  await store.checkpoint();
  const run = await startRun(store, "e1");
  await publish(store, "p1", "paid.in", { id: "A" });
  await publish(store, "other", "paid.in", { id: "B" });
  await store.checkpoint();
  await publish(store, "p2", "paid.out", { id: "A" });
  await store.checkpoint();
  await publish(store, "p3", "paid.in", { id: "A" });
  const found: (string | undefined)[] = [];
  for (const path of ["s1", "s2", "s3", "s4"]) {
    found.push(idOf((await beginWait(store, run, path, paid({ "data.id": "A" }))).output));
  }
  assert.deepEqual(found, ["p1", "p2", "p3", undefined]);
  const { wakes } = await publish(store, "p4", "paid.in", { id: "A" });
  assert.deepEqual([wakes, idOf((await stepOf(store, run, "s4"))!.output)], [[run], "p4"]);
  const [{ event, delivery, ended }] = (await store.listEvents({ limit: 9 })).filter(({ event }) => event.id === "p1");
  assert.deepEqual([event.id, delivery, ended], ["p1", "accepted", [{ rule: "shop/pay", run, step: "s1" }]]);
});

storeTest("more events than are read at once: every candidate is checked", async (store) => {
  const run = await startRun(store, "e1");
  for (let at = 0; at < 200; at++) await publish(store, `p${at}`, "paid.in", { id: at, text: '"A" 150' });
  await store.checkpoint();
  assert.equal(idOf((await beginWait(store, run, "s", paid({ "data.id": 150 }))).output), "p150");
});

Deno.test("an event that arrives while parts are searched is found, after older ones", async () => {
  for (const isThere of [true, false]) {
    const disk = new SlowDisk();
    const store = await open({ disk });
    const run = await startRun(store, "e1");
    await publish(store, "old", "paid.in", { id: isThere ? "A" : "AB", text: '"A"' });
    await store.checkpoint();
    const waiting = beginWait(store, run, "s", paid({ "data.id": "A" }));
    await disk.asked.promise;
    const { wakes } = await publish(store, "new", "paid.in", { id: "A" });
    assert.deepEqual(wakes, [], "it is checked after the search has finished");
    disk.released.resolve();
    const record = await waiting;
    assert.deepEqual([record.state, idOf(record.output)], ["succeeded", isThere ? "old" : "new"]);
    await store.close();
  }
});

Deno.test("two waits of a run that search at once get different events", async () => {
  const disk = new SlowDisk();
  const store = await open({ disk });
  const run = await startRun(store, "e1");
  for (const id of ["p1", "p2"]) await publish(store, id, "paid.in", { id: "A" });
  await store.checkpoint();
  const waits = ["s1", "s2"].map((path) => beginWait(store, run, path, paid({ "data.id": "A" })));
  await disk.asked.promise;
  disk.released.resolve();
  const outputs = (await Promise.all(waits)).map(({ output }) => idOf(output));
  assert.deepEqual(outputs.sort(), ["p1", "p2"]);
  await store.close();
});

/** A store whose program ended while a part was searched for a wait. @param meanwhile happens during the search */
async function crashedSearch(meanwhile: (store: Store) => Promise<unknown>) {
  const disk = new SlowDisk();
  const store = await open({ disk });
  const run = await startRun(store, "e1");
  await publish(store, "old", "paid.in", { id: "B", text: '"A"' });
  await store.checkpoint();
  beginWait(store, run, "s", paid({ "data.id": "A" })).catch(() => {});
  await disk.asked.promise;
  await meanwhile(store);
  const crashed = disk.copy();
  disk.cut();
  disk.released.resolve();
  return { crashed, run };
}

for (const folded of ["before", "never", "after"]) {
  Deno.test(`a search interrupted by a crash resumes at the next start; newer events were folded: ${folded}`, async () => {
    const { crashed, run } = await crashedSearch(async (store) => {
      await publish(store, "new", "paid.in", { id: "A" });
      if (folded === "before") await store.checkpoint();
    });
    const again = await open({ disk: crashed });
    if (folded === "after") await again.checkpoint();
    assert.equal(await again.reclaimRuns("again", NOW), 1);
    await publish(again, "newest", "paid.in", { id: "A" });
    assert.equal(await endOf(again, run, "s"), "new");
    assert.deepEqual(await claimIds(again), ["e1"]);
    await again.close();
  });
}

Deno.test("an event whose part was removed ends no wait, and the wait continues", async () => {
  const { crashed, run } = await crashedSearch(async (store) => {
    await publish(store, "gone", "paid.in", { id: "A" });
    await dropHistory(store);
  });
  const again = await open({ disk: crashed });
  await again.reclaimRuns("again", NOW);
  // By then the search has finished.
  for (let turns = 0; turns < 50; turns++) await settle();
  await publish(again, "there", "paid.in", { id: "A" });
  assert.equal(await endOf(again, run, "s"), "there");
  await again.close();
});

Deno.test("a search delayed by a failing disk does not keep the store from closing", async () => {
  const { crashed, run } = await crashedSearch((store) => publish(store, "new", "paid.in", { id: "A" }));
  const again = await open({ disk: crashed, onWarning() {} });
  crashed.failWrites = "ENOSPC";
  await again.reclaimRuns("me", NOW);
  await settle();
  await again.close();
  crashed.failWrites = undefined;
  const third = await open({ disk: crashed, onWarning() {} });
  await third.reclaimRuns("me", NOW);
  assert.equal(await endOf(third, run, "s"), "new");
  await third.close();
});
