import assert from "node:assert/strict";
import type { Json } from "../../runtime/model/json.ts";
import type { Admission, Store } from "../../runtime/store/store.ts";
import { FaultyDisk } from "../faults/faulty_disk.ts";
import { arrival, candidate, claimIds, DAY, NOW, open, send, step, storeTest } from "./helpers.ts";

storeTest("a new event is stored with its verdicts and starts a run for each rule", async (store) => {
  const candidates = [candidate({ key: "a" }), candidate({}, "audit")];
  const [receipt] = await store.accept([arrival("e1", candidates)], [], NOW);
  assert.equal(receipt.delivery, "accepted");
  assert.equal(receipt.runs.length, 2);
  assert.deepEqual(receipt.verdicts.map(({ rule, verdict }) => [rule, verdict.kind]), [
    ["shop/pay", "started"],
    ["audit", "started"],
  ]);
  const trace = await store.getRun(receipt.runs[0]);
  assert.deepEqual(trace?.run, {
    id: receipt.runs[0],
    rule: "shop/pay",
    version: "v1",
    trigger: "webhook /pay",
    event: arrival("e1").event,
    state: "queued",
    waitingFor: "its turn",
    key: "a",
    createdAt: NOW,
    spent: 0,
  });
  const [event] = await store.listEvents({ limit: 10 });
  assert.deepEqual(event.verdicts, receipt.verdicts);
  assert.deepEqual(await store.countVerdicts(), { "shop/pay": { started: 1 }, audit: { started: 1 } });
});

storeTest("an event that matches no rule is unmatched", async (store) => {
  const [receipt] = await store.accept([arrival("e1", [])], [], NOW);
  assert.equal(receipt.delivery, "unmatched");
  assert.equal((await store.listEvents({ limit: 1 }))[0].delivery, "unmatched");
});

storeTest("a second delivery is a duplicate: counted, with the first one's runs and verdicts", async (store) => {
  const first = await send(store, "e1");
  const second = await send(store, "e1", {}, NOW + DAY);
  assert.deepEqual(second, { ...first, delivery: "duplicate" });
  assert.equal((await store.listEvents({ limit: 1 }))[0].deliveries, 2);
  assert.equal((await store.listRuns({ limit: 9 })).length, 1);
  assert.deepEqual(await store.countVerdicts(), { "shop/pay": { started: 1 } });
});

storeTest("two deliveries in one transition are one event", async (store) => {
  const receipts = await store.accept([arrival("e1"), arrival("e1")], [], NOW);
  assert.deepEqual(receipts.map(({ delivery }) => delivery), ["accepted", "duplicate"]);
});

storeTest("the same id from another source is another event", async (store) => {
  await send(store, "e1");
  const other = arrival("e1");
  other.event.source = "/hooks/other";
  assert.equal((await store.accept([other], [], NOW))[0].delivery, "accepted");
});

storeTest("an identity is known for 30 days, or for `within`", async (store) => {
  await send(store, "long");
  await store.accept([arrival("short", [candidate()], 1_000)], [], NOW);
  const delivery = async (id: string, now: number) => (await send(store, id, {}, now)).delivery;
  assert.equal(await delivery("short", NOW + 999), "duplicate");
  assert.equal(await delivery("short", NOW + 1_000), "accepted");
  assert.equal(await delivery("long", NOW + 30 * DAY - 1), "duplicate");
  assert.equal(await delivery("long", NOW + 30 * DAY), "accepted");
});

storeTest("verdicts from ingest are stored and start nothing", async (store) => {
  const verdict = {
    kind: "condition",
    reason: "amount was 3",
    clause: "event.data.amount > 5",
    values: { a: 3 },
  } as const;
  const [receipt] = await store.accept([arrival("e1", [{ ...candidate(), outcome: verdict }])], [], NOW);
  assert.deepEqual(receipt.verdicts[0].verdict, verdict);
  assert.deepEqual(receipt.runs, []);
  assert.deepEqual(await store.listRuns({ limit: 9 }), []);
  assert.deepEqual(await store.countVerdicts(), { "shop/pay": { condition: 1 } });
});

storeTest("one event starts one run of a rule, even if two of its triggers match", async (store) => {
  const [receipt] = await store.accept([arrival("e1", [candidate(), candidate()])], [], NOW);
  assert.deepEqual(receipt.verdicts.map(({ verdict }) => verdict.kind), ["started", "busy"]);
  assert.equal(receipt.runs.length, 1);
});

storeTest("mode single: a second run is busy while one with its key is live", async (store) => {
  const single: Partial<Admission> = { mode: "single", key: "a" };
  const first = await send(store, "e1", single);
  const second = await send(store, "e2", single);
  assert.equal(second.verdicts[0].verdict.kind, "busy");
  assert.match((second.verdicts[0].verdict as { reason: string }).reason, /is still queued, and its mode is single/);
  assert.equal((await send(store, "e3", { mode: "single", key: "b" })).runs.length, 1);
  assert.equal((await send(store, "e4", { mode: "single", key: null })).runs.length, 1, "null is its own group");
  await claimIds(store);
  await store.suspendRun(first.runs[0], { state: "waiting", waitingFor: "an hour", due: NOW + 1e6, spent: 1 }, NOW);
  assert.equal((await send(store, "e5", single)).verdicts[0].verdict.kind, "busy", "waiting runs are live, too");
  await store.finishRun(first.runs[0], { state: "succeeded", spent: 1 }, NOW);
  assert.equal((await send(store, "e6", single)).verdicts[0].verdict.kind, "started");
});

storeTest('the key "null" and no key are different groups', async (store) => {
  await send(store, "e1", { mode: "single", key: null });
  assert.equal((await send(store, "e2", { mode: "single", key: "null" })).runs.length, 1);
});

storeTest(
  "mode restart: queued and waiting runs end at once, a running one before the new one starts",
  async (store) => {
    const restart: Partial<Admission> = { mode: "restart", key: "a" };
    const first = await send(store, "e1", restart);
    const second = await send(store, "e2", restart);
    assert.equal((await store.getRun(first.runs[0]))?.run.state, "cancelled");
    assert.deepEqual(second.replaces, []);
    assert.deepEqual(await claimIds(store), ["e2"]);
    const third = await send(store, "e3", restart);
    assert.deepEqual(third.replaces, second.runs);
    assert.deepEqual(await claimIds(store), [], "the old one still runs");
    assert.equal(await store.nextDue(), undefined);
    await store.finishRun(second.runs[0], { state: "cancelled", spent: 1 }, NOW);
    assert.deepEqual(await claimIds(store), ["e3"]);
    const notes = (await store.getRun(second.runs[0]))!.notes.map(({ text }) => text);
    assert.deepEqual(notes, [`Replaced by run ${third.runs[0]}`]);
  },
);

storeTest("mode queued: in order, one live run per key, waits included", async (store) => {
  const queued: Partial<Admission> = { mode: "queued", key: "a" };
  const first = await send(store, "e1", queued);
  await send(store, "e2", queued);
  await send(store, "other", { mode: "queued", key: "b" });
  assert.deepEqual(await claimIds(store), ["e1", "other"]);
  await store.suspendRun(first.runs[0], { state: "waiting", waitingFor: "an hour", due: NOW + 1_000, spent: 1 }, NOW);
  assert.deepEqual(await claimIds(store), []);
  assert.equal(await store.nextDue(), NOW + 1_000);
  assert.deepEqual(await claimIds(store, 9, NOW + 1_000), ["e1"]);
  await store.finishRun(first.runs[0], { state: "succeeded", spent: 1 }, NOW);
  assert.deepEqual(await claimIds(store), ["e2"]);
});

storeTest("mode parallel: at most `max` of a key run at once; waiting ones occupy no slot", async (store) => {
  const two: Partial<Admission> = { max: 2, key: "a" };
  const runs: string[] = [];
  for (const id of ["e1", "e2", "e3", "e4"]) runs.push(...(await send(store, id, two)).runs);
  assert.deepEqual(await claimIds(store), ["e1", "e2"]);
  assert.equal(await store.nextDue(), undefined);
  await store.suspendRun(runs[0], { state: "waiting", waitingFor: "an hour", due: NOW + 1_000, spent: 1 }, NOW);
  assert.deepEqual(await claimIds(store), ["e3"]);
  await store.finishRun(runs[1], { state: "succeeded", spent: 1 }, NOW);
  await store.finishRun(runs[2], { state: "succeeded", spent: 1 }, NOW);
  assert.deepEqual(await claimIds(store, 9, NOW + 1_000), ["e4", "e1"]);
});

storeTest(
  "runs above the limit are delayed in order, a burst up to the limit starts at once, none is dropped",
  async (store) => {
    const limited: Partial<Admission> = { limit: { count: 2, per: 1_000 } };
    const kinds: unknown[] = [];
    for (const id of ["e1", "e2", "e3", "e4", "e5"]) {
      const { verdict } = (await send(store, id, limited)).verdicts[0];
      kinds.push(verdict.kind === "held" ? verdict.until - NOW : verdict.kind);
    }
    assert.deepEqual(kinds, ["started", "started", 500, 1_000, 1_500]);
    assert.deepEqual(await claimIds(store), ["e1", "e2"]);
    assert.equal(await store.nextDue(), NOW + 500);
    assert.deepEqual(await claimIds(store, 9, NOW + 1_000), ["e3", "e4"]);
    assert.deepEqual(await claimIds(store, 9, NOW + 2_000), ["e5"]);
    assert.equal((await send(store, "e6", limited, NOW + 60_000)).verdicts[0].verdict.kind, "started");
  },
);

storeTest("a run delayed by the limit says why and until when", async (store) => {
  const limited: Partial<Admission> = { limit: { count: 1, per: 60_000 } };
  await send(store, "e1", limited);
  const { runs: [id], verdicts } = await send(store, "e2", limited);
  assert.match((verdicts[0].verdict as { reason: string }).reason, /^Held until 2026-01-05T12:01:00.000Z: .* 1 in 1m$/);
  const { run } = (await store.getRun(id))!;
  assert.deepEqual([run.state, run.due, run.waitingFor], ["queued", NOW + 60_000, "the rule's limit"]);
});

storeTest("a busy event does not count against the limit", async (store) => {
  const both: Partial<Admission> = { mode: "single", limit: { count: 2, per: 60_000 } };
  const { runs: [id] } = await send(store, "e1", both);
  await send(store, "e2", both);
  await send(store, "e3", both);
  await store.finishRun(id, { state: "succeeded", spent: 0 }, NOW);
  assert.equal((await send(store, "e4", both)).verdicts[0].verdict.kind, "started");
});

storeTest("progress is written with the events: mark, baseline, removal", async (store) => {
  const key = { rule: "shop/pay", trigger: "poll x" };
  assert.equal(await store.getMark(key), undefined);
  await store.accept([arrival("e1")], [{
    ...key,
    mark: { cursor: 1 },
    baseline: { put: [["a", 1], ["b\u0000\ud800", { x: null }]], remove: [] },
  }], NOW);
  assert.deepEqual(await store.getMark(key), { cursor: 1 });
  assert.deepEqual(
    await store.getBaseline(key, 9),
    new Map<string, unknown>([["a", 1], ["b\u0000\ud800", { x: null }]]),
  );
  await store.accept([], [{ ...key, baseline: { put: [["a", 2]], remove: ["b\u0000\ud800"] } }], NOW);
  assert.deepEqual(await store.getBaseline(key, 9), new Map([["a", 2]]));
  await store.accept([], [{ ...key, mark: null, baseline: { clear: true, put: [["c", 3]], remove: [] } }], NOW);
  assert.equal(await store.getMark(key), undefined);
  assert.deepEqual(await store.getBaseline(key, 9), new Map([["c", 3]]));
  const put: [string, Json][] = ["", "a", "\u0000", "é", "\ud800", '"'].map((name, at) => [name, at]);
  await store.accept([], [{ ...key, baseline: { clear: true, put, remove: [] } }], NOW);
  const paged: [string, Json][] = [];
  for (let page; (page = [...await store.getBaseline(key, 2, paged.at(-1)?.[0])]).length > 0;) paged.push(...page);
  assert.deepEqual(paged, [...await store.getBaseline(key, 9)], "paging lists the same");
  assert.deepEqual(new Map(paged), new Map(put));
});

Deno.test("a transition that throws changes nothing and rejects only itself", async () => {
  const store = await open();
  const bad = arrival("bad");
  // By then its identity is stored and its run is created.
  Object.defineProperty(bad.event, "data", { get: () => assert.fail("it breaks"), enumerable: true });
  const results = await Promise.allSettled([
    send(store, "e1"),
    store.accept([arrival("e2"), bad], [{ rule: "r", trigger: "t", mark: 1 }], NOW),
    send(store, "e3"),
  ]);
  assert.deepEqual(results.map(({ status }) => status), ["fulfilled", "rejected", "fulfilled"]);
  assert.deepEqual((await store.listEvents({ limit: 9 })).map(({ event }) => event.id), ["e3", "e1"]);
  assert.equal(await store.getMark({ rule: "r", trigger: "t" }), undefined);
  assert.equal((await send(store, "e2")).delivery, "accepted", "its identity is not known");
  assert.equal((await store.countRuns()).queued, 3);
  await store.close();
});

Deno.test("a value that JSON cannot represent is an error for its caller only", async () => {
  const disk = new FaultyDisk();
  const store = await open({ disk });
  const { runs: [run] } = await send(store, "e0");
  const cycle: Json[] = [];
  cycle.push(cycle);
  const endless = arrival("endless");
  endless.event.data = cycle;
  const output = (() => {}) as unknown as Json;
  const results = await Promise.allSettled([
    send(store, "e1"),
    store.accept([arrival("e2"), endless], [{ rule: "r", trigger: "t", mark: 1 }], NOW),
    store.recordStep(run, step("a", { output: { cycle } }), {}, NOW),
    store.accept([], [{ rule: "r", trigger: "t", mark: output }], NOW),
    send(store, "e3"),
  ]);
  assert.deepEqual(results.map(({ status }) => status[0]), ["f", "r", "r", "r", "f"]);
  const ids = async (of: Store) => (await of.listEvents({ limit: 9 })).map(({ event }) => event.id);
  assert.deepEqual(await ids(store), ["e3", "e1", "e0"]);
  assert.deepEqual((await store.getRun(run))!.steps, []);
  assert.equal(await store.getMark({ rule: "r", trigger: "t" }), undefined);
  assert.equal((await send(store, "e2")).delivery, "accepted");
  disk.cut();
  const again = await open({ disk });
  assert.deepEqual(await ids(again), ["e2", "e3", "e1", "e0"]);
  await again.close();
});
