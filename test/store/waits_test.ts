import assert from "node:assert/strict";
import type { Json } from "../../runtime/model/json.ts";
import type { Store, Wait } from "../../runtime/store/store.ts";
import { FaultyDisk } from "../faults/faulty_disk.ts";
import {
  arrival,
  beginWait,
  candidate,
  claimIds,
  NOW,
  open,
  publish,
  rule,
  send,
  startRun,
  step,
  stepOf,
  storeTest,
  suspend,
} from "./helpers.ts";

function paid(match: Record<string, Json> = {}, ...types: string[]): Wait {
  return { kind: "event", types: types.length > 0 ? types : ["paid.in"], match };
}

/** A run with one wait for an event, suspended. */
async function suspendedRun(store: Store, id: string, wait: Wait = paid({ "data.id": id })): Promise<string> {
  const run = await startRun(store, id);
  await beginWait(store, run, "pay", wait, { due: NOW + 1_000 });
  await suspend(store, run, NOW + 1_000);
  return run;
}

storeTest(
  "an event ends its wait: the step succeeds with it, and the run is claimed at once",
  async (store) => {
    const run = await suspendedRun(store, "A1");
    const other = await suspendedRun(store, "A2");
    assert.equal(await store.nextDue(), NOW + 1_000);
    const receipt = await publish(store, "p1", "paid.in", { id: "A1", amount: 5 }, NOW + 7);
    assert.deepEqual([receipt.wakes, receipt.delivery, receipt.runs], [[run], "accepted", []]);
    const [{ delivery, ended }] = await store.listEvents({ type: "paid.in", limit: 1 });
    assert.deepEqual([delivery, ended], ["accepted", [{ rule: "shop/pay", run, step: "pay" }]]);
    assert.equal(await store.nextDue(), NOW + 7);
    const [claimed] = await store.claimRuns("me", 9, NOW + 7);
    assert.equal(claimed.run.id, run);
    const event = {
      id: "p1",
      source: "/shop",
      type: "paid.in",
      time: new Date(NOW + 7).toISOString(),
      data: { id: "A1", amount: 5 },
    };
    assert.deepEqual(claimed.steps, [
      step("pay", { kind: "event", state: "succeeded", output: event, endedAt: NOW + 7 }),
    ]);
    assert.equal(claimed.run.waits, undefined);
    assert.equal((await store.getRun(other))?.run.state, "waiting");
  },
);

storeTest("the waits of a run are listed, oldest first, until they end", async (store) => {
  const run = await startRun(store, "e1");
  await beginWait(store, run, "pay", paid({ "data.id": "A1", subject: 5 }, "paid.in", "paid.out"), { due: NOW + 9 });
  await beginWait(store, run, "nap", { kind: "time" }, { due: NOW + 5, startedAt: NOW + 1 });
  const waits = [
    {
      step: "pay",
      kind: "event",
      what: 'paid.in or paid.out with data.id "A1", subject 5',
      since: NOW,
      until: NOW + 9,
    },
    { step: "nap", kind: "time", what: "a time", since: NOW + 1, until: NOW + 5 },
  ];
  assert.deepEqual((await store.getRun(run))?.run.waits, waits);
  await send(store, "e2");
  assert.deepEqual((await store.listRuns({ waiting: true, limit: 9 })).map((each) => [each.id, each.waits]), [[
    run,
    waits,
  ]]);
  await store.recordStep(run, step("nap", { kind: "time", output: null }), {}, NOW + 5);
  assert.deepEqual((await store.getRun(run))?.run.waits, waits.slice(0, 1));
  await store.finishRun(run, { state: "failed", spent: 1 }, NOW + 6);
  assert.deepEqual(await store.listRuns({ waiting: true, limit: 9 }), []);
  assert.equal((await publish(store, "p1", "paid.in", { id: "A1" })).wakes.length, 0);
});

storeTest("waiting runs are listed newest first, filtered and paged like others", async (store) => {
  const runs = [];
  for (const id of ["e1", "e2", "e3"]) runs.push(await suspendedRun(store, id));
  await store.accept([arrival("e4", [candidate({}, "other")])], [], NOW);
  const ids = async (filter: object) =>
    (await store.listRuns({ waiting: true, limit: 9, ...filter })).map(({ id }) => id);
  assert.deepEqual(await ids({ limit: 2 }), [runs[2], runs[1]]);
  assert.deepEqual(await ids({ before: runs[1] }), [runs[0]]);
  assert.deepEqual(await ids({ rule: "other" }), []);
  assert.deepEqual(await ids({ state: "running" }), []);
});

storeTest("a match is strict equality of JSON at own properties of the event", async (store) => {
  const run = await startRun(store, "e1");
  const ends = async (match: Record<string, Json>, data: Json) => {
    const path = `s${Math.random()}`;
    await beginWait(store, run, path, paid(match, "t"));
    const { wakes } = await publish(store, path, "t", data);
    if (wakes.length === 0) await store.recordStep(run, step(path, { output: null }), {}, NOW);
    return wakes.length === 1;
  };
  assert.ok(await ends({ "data.a.b": 1 }, { a: { b: 1 } }));
  assert.ok(await ends({ "data.a": { x: 1, y: [2, { p: 1, q: 2 }] } }, { a: { y: [2, { q: 2, p: 1 }], x: 1 } }));
  assert.ok(await ends({ "data.lines.1": "b" }, { lines: ["a", "b"] }));
  assert.ok(await ends({ "data.a": null }, { a: null }));
  assert.ok(await ends({ source: "/shop", type: "t", "data.a": true }, { a: true }));
  assert.ok(await ends({}, null));
  assert.ok(!await ends({ "data.a": 1 }, { a: "1" }));
  assert.ok(!await ends({ "data.a": null }, {}));
  assert.ok(!await ends({ "data.a": [1, 2] }, { a: [2, 1] }));
  assert.ok(!await ends({ "data.a": 1, "data.b": 2 }, { a: 1, b: 3 }));
  assert.ok(!await ends({ "data.lines.length": 1 }, { lines: ["a"] }));
  assert.ok(!await ends({ "data.constructor.name": "Object" }, {}));
  assert.ok(!await ends({ "data.a.0": "x" }, { a: "x" }));
});

storeTest("types may be patterns; a wait matched by several of its types ends once", async (store) => {
  const run = await startRun(store, "e1");
  await beginWait(store, run, "s", paid({}, "paid.*", "paid.in.full", "*"));
  assert.deepEqual((await publish(store, "p1", "paid.in.full", {})).wakes, [run]);
  await beginWait(store, run, "s2", paid({}, "paid.in.*"));
  assert.deepEqual((await publish(store, "p2", "paid.in", {})).wakes, []);
  assert.deepEqual((await publish(store, "p3", "paid.in.part", {})).wakes, [run]);
});

storeTest("an event ends waits of many runs, but only the oldest of each", async (store) => {
  const one = await startRun(store, "e1");
  await beginWait(store, one, "b", paid({}, "paid.*"));
  await beginWait(store, one, "a", paid());
  const two = await suspendedRun(store, "e2", paid());
  const receipt = await publish(store, "p1", "paid.in", {});
  assert.deepEqual(receipt.wakes.sort(), [one, two].sort());
  assert.deepEqual((await store.getRun(one))?.run.waits?.map((wait) => wait.step), ["a"]);
  assert.deepEqual((await publish(store, "p2", "paid.in", {})).wakes, [one]);
  assert.equal(((await stepOf(store, one, "a"))?.output as { id: string }).id, "p2");
});

storeTest("a duplicate ends no wait", async (store) => {
  await publish(store, "p1", "paid.in", { id: "e1" });
  const run = await suspendedRun(store, "e1");
  const receipt = await publish(store, "p1", "paid.in", { id: "e1" });
  assert.deepEqual([receipt.delivery, receipt.wakes], ["duplicate", []]);
  assert.equal((await store.getRun(run))?.run.state, "waiting");
});

storeTest("a wait looks at the events since its run began, oldest first, each once", async (store) => {
  await publish(store, "before", "paid.in", { id: "A" });
  const run = await startRun(store, "e1");
  for (const id of ["p1", "p2"]) await publish(store, id, "paid.in", { id: "A" });
  await publish(store, "p3", "paid.in", { id: "B" });
  await publish(store, "p4", "other", { id: "A" });
  const taken = async (path: string, wait: Wait) =>
    ((await beginWait(store, run, path, wait)).output as { id: string } | undefined)?.id;
  assert.equal(await taken("s1", paid({ "data.id": "A" })), "p1");
  assert.equal(await taken("s2", paid({ "data.id": "A" }, "paid.*")), "p2");
  assert.equal(await taken("s3", paid({ "data.id": "A" })), undefined);
  assert.equal(await taken("s4", paid({ "data.id": "A" }, "paid.in", "*")), "p4");
  assert.deepEqual((await publish(store, "p5", "paid.in", { id: "A" })).wakes, [run]);
  assert.equal(await taken("s5", paid({ "data.id": "A" }, "*")), undefined, "p5 was matched when it arrived");
  const [begun] = await store.listRuns({ waiting: true, limit: 9 });
  assert.deepEqual(begun.waits?.map((wait) => wait.step), ["s5"]);
  assert.equal((await stepOf(store, run, "s1"))?.state, "succeeded");
  const [{ event, delivery, ended }] = await store.listEvents({ type: "other", limit: 1 });
  assert.deepEqual([event.id, delivery, ended], ["p4", "accepted", [{ rule: "shop/pay", run, step: "s4" }]]);
});

storeTest("a run's own event never ends its waits; a replay begins when it was requested", async (store) => {
  await store.putVersions([rule("v1")]);
  const run = await startRun(store, "e1");
  assert.equal((await beginWait(store, run, "s", paid({}, "paid"))).state, "waiting");
  await publish(store, "p1", "paid", {});
  assert.equal((await stepOf(store, run, "s"))?.state, "succeeded");
  const replayed = (await store.replayRun(run, undefined, "anna", NOW))!;
  await store.claimRuns("me", 1, NOW);
  await publish(store, "p2", "paid", {});
  assert.equal(((await beginWait(store, replayed as string, "s", paid({}, "paid"))).output as { id: string }).id, "p2");
});

storeTest("events at any depth of a search are found by their values, among many others", async (store) => {
  const run = await startRun(store, "e1");
  for (let at = 0; at < 200; at++) await publish(store, `p${at}`, "paid.in", { id: at, text: '"A" 150' });
  const found = await beginWait(store, run, "s", paid({ "data.id": 150 }));
  assert.equal((found.output as { id: string }).id, "p150");
});

storeTest("a wait ended by the store stays ended: later records of its step change nothing", async (store) => {
  const run = await suspendedRun(store, "A1");
  await publish(store, "p1", "paid.in", { id: "A1" });
  const ended = (await stepOf(store, run, "pay"))!;
  const late = step("pay", { state: "succeeded", output: null });
  const effects = { state: { key: "k", value: 1 } };
  assert.deepEqual(await store.recordStep(run, late, effects, NOW + 9), { record: ended });
  assert.deepEqual(await store.getState(["k"], NOW), {});
  const again = await beginWait(store, run, "pay", paid({ "data.id": "A1" }));
  assert.deepEqual(again, ended);
  assert.equal((await store.getRun(run))?.run.waits, undefined);
});

storeTest("a wait ended by its step is no longer ended by an event", async (store) => {
  const run = await suspendedRun(store, "A1");
  await claimIds(store, 9, NOW + 1_000);
  await store.recordStep(run, step("pay", { output: null }), {}, NOW + 1_000);
  assert.deepEqual((await publish(store, "p1", "paid.in", { id: "A1" })).wakes, []);
  assert.equal((await stepOf(store, run, "pay"))?.output, null);
});

storeTest("a running run that may have missed its wake is claimed at once after it is suspended", async (store) => {
  const run = await startRun(store, "e1");
  await beginWait(store, run, "s", paid());
  assert.deepEqual((await publish(store, "p1", "paid.in", {})).wakes, [run]);
  assert.equal((await store.getRun(run))?.run.state, "running");
  await suspend(store, run, NOW + 1_000, NOW + 1);
  assert.equal(await store.nextDue(), NOW + 1);
  assert.deepEqual(await claimIds(store, 9, NOW + 1), ["e1"]);
  await suspend(store, run, NOW + 1_000, NOW + 2);
  assert.deepEqual(await claimIds(store, 9, NOW + 2), [], "once");
});

storeTest("a waiting run keeps its place in mode queued, woken or not", async (store) => {
  const queued = { mode: "queued", key: "k" } as const;
  const first = await startRun(store, "e1", queued);
  await beginWait(store, first, "s", paid());
  await suspend(store, first);
  await send(store, "e2", queued);
  assert.deepEqual(await claimIds(store), []);
  await publish(store, "p1", "paid.in", {}, NOW + 3);
  assert.deepEqual(await claimIds(store, 9, NOW + 3), ["e1"]);
  await store.finishRun(first, { state: "succeeded", spent: 1 }, NOW + 4);
  assert.deepEqual(await claimIds(store, 9, NOW + 4), ["e2"]);
});

storeTest("a woken run waits for a free slot in its concurrency group like any other", async (store) => {
  const first = await startRun(store, "e1", { max: 1 });
  await beginWait(store, first, "s", paid());
  await suspend(store, first);
  const second = await startRun(store, "e2", { max: 1 });
  await publish(store, "p1", "paid.in", {}, NOW + 3);
  assert.deepEqual(await claimIds(store, 9, NOW + 3), []);
  await store.finishRun(second, { state: "succeeded", spent: 1 }, NOW + 4);
  assert.deepEqual(await claimIds(store, 9, NOW + 4), ["e1"]);
});

storeTest(
  "in mode restart a replaced run stops waiting, even for the event that replaces it",
  async (store) => {
    const restart = { mode: "restart" } as const;
    const first = await startRun(store, "e1", restart);
    await beginWait(store, first, "s", paid({}, "paid"));
    await suspend(store, first);
    const receipt = await send(store, "e2", restart);
    assert.deepEqual([receipt.wakes, receipt.replaces], [[], []]);
    const trace = (await store.getRun(first))!;
    assert.deepEqual([trace.run.state, trace.steps[0].state, trace.steps[0].endedAt], ["cancelled", "cancelled", NOW]);
  },
);

Deno.test("waits survive a crash and a checkpoint", async () => {
  const disk = new FaultyDisk();
  let store = await open({ disk });
  const early = await suspendedRun(store, "A1");
  await store.checkpoint();
  const late = await suspendedRun(store, "A2");
  await publish(store, "p0", "other", {});
  const crashed = disk.copy();
  disk.cut();
  crashed.cut();
  store = await open({ disk: crashed });
  assert.deepEqual((await store.listRuns({ waiting: true, limit: 9 })).map(({ id }) => id), [late, early]);
  assert.deepEqual((await publish(store, "p1", "paid.in", { id: "A1" })).wakes, [early]);
  await store.checkpoint();
  assert.deepEqual((await publish(store, "p2", "paid.in", { id: "A2" })).wakes, [late]);
  await store.reclaimRuns({ kept: ["again"] }, NOW);
  const claimed = await store.claimRuns("again", 9, NOW);
  const outputs = claimed.map(({ steps }) => (steps[0].output as { id: string }).id);
  assert.deepEqual(outputs, ["p1", "p2"]);
  // A wait of the same run that begins after a restart knows which events ended others.
  assert.equal((await beginWait(store, early, "s2", paid({ "data.id": "A1" }))).state, "waiting");
  await store.close();
});
