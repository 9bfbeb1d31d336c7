import assert from "node:assert/strict";
import type { RunState } from "../../runtime/model/run.ts";
import type { Store } from "../../runtime/store/store.ts";
import {
  arrival,
  beginWait,
  candidate,
  claimIds,
  DAY,
  NOW,
  open,
  pruneAll,
  send,
  startRun,
  step,
  stepOf,
  storeTest,
  suspend,
} from "./helpers.ts";

const FAR = Date.UTC(2099, 0, 1);
const BY = FAR - NOW;
const limit = { count: 1, per: 60_000 };

async function dues(store: Store, state: RunState): Promise<(number | undefined)[]> {
  return (await store.listRuns({ state, limit: 100 })).map(({ due }) => due).reverse();
}

storeTest(
  "after a clock rollback runs delayed by a limit keep their remaining delay, and new ones start",
  async (store) => {
    for (const id of ["e1", "e2", "e3"]) await send(store, id, { limit }, FAR);
    assert.deepEqual(await claimIds(store, 9, FAR), ["e1"]);
    await store.rollBackClock(BY, NOW);
    assert.deepEqual(await dues(store, "queued"), [NOW + 60_000, NOW + 120_000]);
    assert.equal(await store.nextDue(), NOW + 60_000);
    const { verdicts: [{ verdict }] } = await send(store, "e4", { limit }, NOW);
    assert.deepEqual(verdict.kind === "held" && verdict.until, NOW + 180_000);
    assert.deepEqual(await claimIds(store, 9, NOW + 180_000), ["e2", "e3", "e4"]);
  },
);

storeTest(
  "after a clock rollback ready runs, retries and new waits keep their remaining time; older waits stay",
  async (store) => {
    for (const id of ["old", "ready"]) await send(store, id, {}, NOW);
    const claimed = await store.claimRuns("me", 1, NOW);
    const old = claimed[0].run.id;
    const wait = { kind: "time" as const, what: "a day" };
    await store.recordStep(old, step("a", { kind: "wait", state: "waiting", due: FAR + DAY }), { wait }, NOW);
    await store.suspendRun(old, { state: "waiting", waitingFor: "a day", due: NOW + DAY, spent: 1 }, NOW);
    for (const id of ["retried", "waits"]) await send(store, id, {}, FAR);
    const runs = await store.claimRuns("me", 9, FAR);
    assert.equal(runs.length, 4);
    const idOf = (event: string) => runs.find(({ run }) => run.event.id === event)!.run.id;
    await store.suspendRun(old, { state: "waiting", waitingFor: "a day", due: FAR + DAY, spent: 1 }, FAR);
    const retried = step("a", { state: "retrying", startedAt: NOW, due: FAR + 20_000 });
    await store.recordStep(idOf("retried"), retried, {}, FAR);
    await store.suspendRun(idOf("retried"), { state: "waiting", waitingFor: "x", due: FAR + 20_000, spent: 1 }, FAR);
    const waits = step("a", { kind: "wait", state: "waiting", startedAt: FAR, due: FAR + 3_600_000 });
    await store.recordStep(idOf("waits"), waits, { wait }, FAR);
    await store.suspendRun(idOf("waits"), { state: "waiting", waitingFor: "x", due: FAR + 3_600_000, spent: 1 }, FAR);
    await store.suspendRun(idOf("ready"), { state: "queued", waitingFor: "x", spent: 1 }, FAR);
    await store.rollBackClock(BY, NOW);
    assert.deepEqual(await claimIds(store, 9, NOW), ["ready"]);
    assert.deepEqual(await claimIds(store, 9, NOW + 20_000), ["retried"]);
    const [again] = await store.claimRuns("me", 9, NOW + 3_600_000);
    assert.equal(again.run.event.id, "waits");
    assert.deepEqual([again.steps[0].startedAt, again.steps[0].due], [NOW, NOW + 3_600_000]);
    const trace = await store.getRun(idOf("retried"));
    assert.equal(trace!.steps[0].due, NOW + 20_000);
    assert.deepEqual(await claimIds(store, 9, NOW + 10 * DAY), [], "an earlier wait keeps its time");
  },
);

storeTest(
  "a wait without a timeout gets none, even if another branch of its run waits for a time",
  async (store) => {
    const run = await startRun(store, "e1", {}, FAR);
    await beginWait(store, run, "a", { kind: "time" }, { startedAt: FAR, due: FAR + 3_600_000 });
    await beginWait(store, run, "b", { kind: "event", types: ["paid"], match: {} }, { startedAt: FAR });
    await suspend(store, run, FAR + 3_600_000, FAR);
    await store.rollBackClock(BY, NOW);
    const { startedAt, ...wait } = (await stepOf(store, run, "b"))!;
    assert.equal(startedAt, NOW);
    assert.equal("due" in wait, false);
  },
);

storeTest(
  "a wait begun in the rolled-back time is not delayed by an older wait beside it",
  async (store) => {
    const run = await startRun(store, "e1");
    await beginWait(store, run, "a", { kind: "event", types: ["shipped"], match: {} }, { startedAt: NOW - 1 });
    await beginWait(store, run, "b", { kind: "time" }, { startedAt: FAR, due: FAR + 3_600_000 });
    await suspend(store, run, FAR + 3_600_000, FAR);
    const older = await startRun(store, "e2");
    await beginWait(store, older, "a", { kind: "time" }, { startedAt: NOW - 1, due: FAR });
    await suspend(store, older, FAR, FAR - 1);
    await store.rollBackClock(BY, NOW);
    assert.equal(await store.nextDue(), NOW + 3_600_000);
    assert.deepEqual(await dues(store, "waiting"), [NOW + 3_600_000, FAR]);
  },
);

storeTest("state with a ttl keeps its remaining time, and so do identities", async (store) => {
  const [receipt] = await store.accept([arrival("e1")], [], FAR);
  await store.claimRuns("me", 9, FAR);
  const state = { key: "up", value: 1, ttl: 60_000 };
  await store.recordStep(receipt.runs[0], step("a"), { state }, FAR);
  await store.rollBackClock(BY, NOW);
  assert.deepEqual(await store.getState(["up"], NOW + 59_000), { up: 1 });
  assert.deepEqual(await store.getState(["up"], NOW + 61_000), {});
  await pruneAll(store, {}, NOW + 31 * DAY);
  const again = await store.accept([arrival("e1", [candidate()])], [], NOW + 2);
  assert.equal(again[0].delivery, "accepted", "it does not stay for 73 years");
});

Deno.test("a store closed in 2099 resumes if the clock was set back meanwhile, and its times are shifted once", async () => {
  const store = await open();
  for (const id of ["e1", "e2"]) await send(store, id, { limit }, FAR);
  await store.claimRuns("before", 9, FAR);
  for (const start of ["first", "second"]) await store.reclaimRuns({ kept: [start] }, NOW);
  assert.deepEqual(await claimIds(store, 9, NOW), ["e1"]);
  assert.deepEqual(
    await claimIds(store, 9, NOW + 59_000),
    [],
    "runs delayed by the limit are not released by a second start",
  );
  assert.deepEqual(await claimIds(store, 9, NOW + 60_000), ["e2"]);
  await store.close();
});

storeTest(
  "the steps of an executing run are shifted, and it is not suspended until the old time",
  async (store) => {
    const run = await startRun(store, "e1", {}, FAR);
    await beginWait(store, run, "a", { kind: "time" }, { startedAt: FAR, due: FAR + 3_600_000 });
    await store.rollBackClock(BY, NOW);
    assert.equal((await stepOf(store, run, "a"))!.due, NOW + 3_600_000);
    await suspend(store, run, FAR + 3_600_000, NOW);
    assert.deepEqual(await claimIds(store, 9, NOW), ["e1"]);
  },
);

storeTest("a batch that closes by cron keeps its time, unless that may be years away", async (store) => {
  const collect = async (id: string, now: number, options: object, terms: object) => {
    const outcome = {
      kind: "collect" as const,
      key: null,
      terms: { max: 9, empty: false, options: JSON.stringify(options), ...terms },
    };
    await store.accept([arrival(id, [{ rule: id, version: "v1", trigger: "in", outcome }])], [], now);
  };
  const due = () => Promise.all(["cron", "every"].map((rule) => store.nextBatchDue([rule])));
  const hour = 3_600_000;
  await collect("cron", FAR, { cron: "0 9 * * *" }, { at: FAR + DAY });
  await collect("every", FAR, { every: DAY }, { within: DAY });
  await store.rollBackClock(hour, FAR - hour);
  assert.deepEqual(await due(), [FAR + DAY, FAR + DAY - hour]);
  await store.rollBackClock(BY, NOW);
  assert.deepEqual(await due(), [NOW + DAY, NOW + DAY - hour]);
});

storeTest(
  "a machine that lost its time and is corrected later ends no wait and forgets no identity",
  async (store) => {
    const run = await startRun(store, "e1");
    await beginWait(store, run, "a", { kind: "time" }, { due: NOW + DAY });
    await suspend(store, run, NOW + DAY);
    await store.reclaimRuns({ kept: ["after"] }, 60_000);
    await store.rollBackClock(NOW, 61_000);
    assert.equal(await store.nextDue(), NOW + DAY);
    assert.equal((await stepOf(store, run, "a"))!.due, NOW + DAY);
    assert.equal((await send(store, "e1", {}, NOW + 1)).delivery, "duplicate");
  },
);
