import assert from "node:assert/strict";
import type { Json } from "../../runtime/model/json.ts";
import type { Store, Wait } from "../../runtime/store/store.ts";
import { FaultyDisk } from "../faults/faulty_disk.ts";
import {
  admission,
  arrival,
  beginWait,
  candidate,
  claimIds,
  dropHistory,
  NOW,
  open,
  publish,
  send,
  settle,
  startRun,
  step,
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
    const found: string[] = [];
    again.onFound((woken) => found.push(woken));
    assert.equal(await again.reclaimRuns({ kept: ["again"] }, NOW), 1);
    await publish(again, "newest", "paid.in", { id: "A" });
    assert.equal(await endOf(again, run, "s"), "new");
    while (found.length === 0) await settle();
    assert.deepEqual(found, [run]);
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
  await again.reclaimRuns({ kept: ["again"] }, NOW);
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
  await again.reclaimRuns({ kept: ["me"] }, NOW);
  await settle();
  await again.close();
  crashed.failWrites = undefined;
  const third = await open({ disk: crashed, onWarning() {} });
  await third.reclaimRuns({ kept: ["me"] }, NOW);
  assert.equal(await endOf(third, run, "s"), "new");
  await third.close();
});

const MINUTE = 60_000;

function finish(store: Store, run: string, state: "succeeded" | "failed" = "succeeded") {
  return store.finishRun(run, { state, spent: 1 }, NOW);
}

/** The events' ids, newest first. */
async function eventIds(store: Store, filter: Partial<Parameters<Store["searchEvents"]>[0]>): Promise<string[]> {
  return (await store.searchEvents({ limit: 50, ...filter })).rows.map(({ event }) => event.id);
}

async function runIds(store: Store, filter: Partial<Parameters<Store["searchRuns"]>[0]>): Promise<string[]> {
  return (await store.searchRuns({ limit: 50, ...filter })).rows.map(({ id }) => id);
}

/** Checks the same before and after everything was folded. */
async function twice(store: Store, check: () => Promise<void>): Promise<void> {
  await check();
  await store.checkpoint();
  await check();
}

storeTest("events are found by verdict, also if it was changed after the event was folded", async (store) => {
  const busy = { rule: "a", version: "v1", trigger: "t", outcome: { kind: "condition", reason: "no" } as const };
  await store.accept([arrival("started")], [], NOW);
  await store.accept([arrival("no", [busy])], [], NOW + 1);
  await publish(store, "nobody", "other", { note: '"verdict":{"kind":"busy"' }, NOW + 2);
  const { runs: [asking] } = await send(store, "asked", { asksFirst: true }, NOW + 3);
  await store.checkpoint();
  await store.claimRuns("me", 9, NOW + 3);
  assert.deepEqual(await eventIds(store, { verdict: "started" }), ["asked", "started"]);
  await store.answerCondition(asking, step("if"), { kind: "condition", reason: "no" }, NOW + 4);
  await twice(store, async () => {
    assert.deepEqual(await eventIds(store, { verdict: "started" }), ["started"]);
    assert.deepEqual(await eventIds(store, { verdict: "condition" }), ["asked", "no"]);
    assert.deepEqual(await eventIds(store, { verdict: "condition", rule: "a" }), ["no"]);
    assert.deepEqual(await eventIds(store, { verdict: "unmatched" }), ["nobody"]);
    assert.deepEqual(await eventIds(store, { verdict: "busy" }), [], "data are no verdict");
  });
});

storeTest("events and runs are found by time and subject, live and ended", async (store) => {
  const runs: string[] = [];
  for (const [at, subject] of ["anna", "bob", "anna"].entries()) {
    const { event, candidates } = arrival(`e${at}`, [candidate(admission)]);
    const [{ runs: [run] }] = await store.accept([{ event: { ...event, subject }, candidates }], [], NOW + at * MINUTE);
    runs.push(run);
  }
  await store.claimRuns("me", 9, NOW + 3 * MINUTE);
  await finish(store, runs[0]);
  const [first, second, third] = runs;
  await twice(store, async () => {
    assert.deepEqual(await eventIds(store, { from: NOW + MINUTE }), ["e2", "e1"]);
    assert.deepEqual(await eventIds(store, { from: NOW, to: NOW + 2 * MINUTE }), ["e1", "e0"]);
    assert.deepEqual(await eventIds(store, { subject: "anna" }), ["e2", "e0"]);
    assert.deepEqual(await runIds(store, { from: NOW + MINUTE }), [third, second]);
    assert.deepEqual(await runIds(store, { to: NOW + 2 * MINUTE }), [second, first]);
    assert.deepEqual(await runIds(store, { to: NOW + 2 * MINUTE, before: second }), [first]);
    assert.deepEqual(await runIds(store, { subject: "anna" }), [third, first]);
    assert.deepEqual(await runIds(store, { subject: "anna", to: NOW + 1 }), [first]);
    assert.deepEqual(await runIds(store, { subject: "nobody" }), []);
  });
});

storeTest("events are found by their text, and by the run that caused them", async (store) => {
  const run = await startRun(store, "cause");
  const { event, candidates } = arrival("effect", []);
  await store.accept([{ event: { ...event, data: 'said "hé"', cause: { depth: 1, run } }, candidates }], [], NOW);
  await publish(store, "other", "x", { run });
  await finish(store, run);
  await twice(store, async () => {
    assert.deepEqual(await eventIds(store, { text: '"hé"' }), ["effect"]);
    assert.deepEqual(await eventIds(store, { text: "HÉ" }), []);
    assert.deepEqual(await eventIds(store, { cause: run }), ["effect"]);
    assert.deepEqual(await eventIds(store, { cause: "nobody" }), []);
    assert.equal((await store.getEvent(run))?.event.id, "cause");
  });
  const key = await store.findEventKey({ source: "/shop", id: "other" });
  assert.equal((await store.getEvent(key!))?.event.id, "other");
  assert.equal(await store.getEvent("7"), undefined);
  assert.equal(await store.getEvent("nonsense"), undefined);
});

storeTest("an event is found by its id behind any number of others that only mention it", async (store) => {
  await publish(store, "wanted", "x", null);
  for (let at = 0; at < 30; at++) await publish(store, `e${at}`, "x", { id: "wanted" });
  await twice(store, async () => {
    assert.deepEqual(await eventIds(store, { id: "wanted", limit: 2 }), ["wanted"]);
    assert.deepEqual(await eventIds(store, { id: "e7", limit: 2 }), ["e7"]);
  });
});

storeTest("a text is found only where its mask leaves it", async (store) => {
  await publish(store, "secret", "x", { token: "tok-12345", note: "hello" });
  for (let at = 0; at < 200; at++) await publish(store, `e${at}`, "x", { token: "tok-12345", at });
  await publish(store, "open", "x", { note: "tok-1 is a prefix" });
  const mask = (text: string) => text.replaceAll("tok-12345", "***");
  await twice(store, async () => {
    assert.deepEqual(await eventIds(store, { text: "tok-1", mask }), ["open"], "no prefix of a secret can be probed");
    assert.deepEqual(await eventIds(store, { text: "hello", mask }), ["secret"]);
    assert.equal((await eventIds(store, { text: "tok-1", limit: 500 })).length, 202, "without a mask all of it counts");
  });
});

storeTest("events are found by a late verdict, however many others got one in the same part", async (store) => {
  const COUNT = 1_200;
  const runs: string[] = [];
  for (let at = 0; at < COUNT; at++) runs.push((await send(store, `e${at}`, { asksFirst: true })).runs[0]);
  await store.checkpoint();
  await store.claimRuns("me", COUNT, NOW);
  const answer = { kind: "condition", reason: "no" } as const;
  await Promise.all(runs.map((run) => store.answerCondition(run, step("if"), answer, NOW)));
  await store.checkpoint();
  const found = await eventIds(store, { verdict: "condition", limit: COUNT + 1 });
  assert.deepEqual([found.length, found.at(-1)], [COUNT, "e0"]);
});

storeTest(
  "heads of runs are the runs of the same search, live and ended; runs are found by their ids",
  async (store) => {
    const runs: string[] = [];
    for (let at = 0; at < 6; at++) runs.unshift(await startRun(store, `e${at}`));
    for (const run of runs.slice(0, 4)) await finish(store, run);
    await twice(store, async () => {
      for (const filter of [{}, { state: "succeeded" as const }, { before: runs[1] }, { limit: 3 }]) {
        const { rows } = await store.searchRuns({ limit: 50, ...filter });
        const heads = rows.map(({ id, rule, state, createdAt }) => ({ id, rule, state, createdAt }));
        assert.deepEqual((await store.searchRunHeads({ limit: 50, ...filter })).rows, heads);
      }
      const some = [runs[5], runs[0], runs[2]];
      assert.deepEqual(await runIds(store, { ids: [...some, "0".repeat(20)] }), [runs[0], runs[2], runs[5]]);
    });
  },
);

Deno.test("a search reads so many parts, says where it stopped, and goes on from there", async () => {
  const store = await open();
  const ended: string[] = [];
  for (let part = 0; part < 6; part++) {
    const run = await startRun(store, `e${part}`);
    await finish(store, run, part === 0 ? "failed" : "succeeded");
    ended.unshift(run);
    await publish(store, part === 0 ? "wanted" : `other-${part}`, "x", part === 0 ? "needle" : "hay");
    await store.checkpoint();
  }
  const found: string[] = [];
  let pages = 0;
  let before: string | undefined;
  for (;; pages++) {
    const { rows, stoppedAt } = await store.searchEvents({ text: "needle", limit: 20, parts: 2, before });
    found.push(...rows.map(({ event }) => event.id));
    if (stoppedAt === undefined) break;
    before = stoppedAt;
  }
  assert.deepEqual([found, pages], [["wanted"], 2]);
  const first = await store.searchRuns({ limit: 20, parts: 4 });
  assert.equal(first.rows.length, 4);
  const rest = await store.searchRuns({ limit: 20, parts: 4, before: first.stoppedAt });
  assert.deepEqual([...first.rows, ...rest.rows].map(({ id }) => id), ended);
  assert.equal(rest.stoppedAt, undefined);
  const { rows, stoppedAt } = await store.searchRuns({ state: "failed", limit: 20, parts: 1 });
  assert.deepEqual([rows.map(({ id }) => id), stoppedAt], [[ended[5]], undefined], "catalogues exclude the others");
  await store.close();
});

storeTest("a cursor stays where it is while there are new events and runs", async (store) => {
  for (let at = 0; at < 6; at++) await startRun(store, `e${at}`);
  const first = await store.searchEvents({ limit: 3 });
  const runs = await store.searchRuns({ limit: 3 });
  for (let at = 6; at < 9; at++) await startRun(store, `e${at}`);
  assert.deepEqual(await eventIds(store, { limit: 3, before: first.rows[2].key }), ["e2", "e1", "e0"]);
  const next = await store.searchRuns({ limit: 3, before: runs.rows[2].id });
  assert.deepEqual(next.rows.map(({ event }) => event.id), ["e2", "e1", "e0"]);
});
