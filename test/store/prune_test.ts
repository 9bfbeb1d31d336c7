import assert from "node:assert/strict";
import type { Step } from "../../runtime/model/rule.ts";
import { type Store, StoreFullError } from "../../runtime/store/store.ts";
import {
  arrival,
  beginWait,
  candidate,
  claimIds,
  DAY,
  NOW,
  open,
  publish,
  rule,
  send,
  startRun,
  step,
  storeTest,
} from "./helpers.ts";

const MB = 1024 * 1024;
const retention = { bytes: 256 * MB, identities: 30 * DAY, verdicts: 5 };

/** Drops all that may go; then there is room again. */
async function dropAll(store: Store): Promise<void> {
  await pruneAll(store, { bytes: 1, verdicts: 0 });
  await store.prune(retention, NOW);
}

async function pruneAll(store: Store, changes: Partial<typeof retention>, now = NOW): Promise<void> {
  while (await store.prune({ ...retention, ...changes }, now));
}

/** Takes in events with a large body; those whose number is in `finish` are run to their end. */
async function fill(store: Store, count: number, finish: (at: number) => boolean): Promise<void> {
  for (let at = 0; at < count; at++) {
    const one = arrival(`e${at}`, [candidate({ max: 1_000 })]);
    one.event.data = "x".repeat(10_000);
    const [{ runs: [id] }] = await store.accept([one], [], NOW + at);
    if (!finish(at)) continue;
    await store.claimRuns("me", 1_000, NOW + at);
    await store.recordStep(id, step("a", { output: "y".repeat(10_000) }), {}, NOW + at);
    await store.finishRun(id, { state: "succeeded", output: "z".repeat(100), spent: 1 }, NOW + at);
  }
}

storeTest("identities go when their time is over, and only then", async (store) => {
  await send(store, "old");
  await store.accept([arrival("short", [candidate()], 1_000)], [], NOW);
  await send(store, "new", {}, NOW + DAY);
  await pruneAll(store, { identities: 30 * DAY }, NOW + 30 * DAY - 1);
  assert.equal((await store.stats()).identities, 2);
  await pruneAll(store, { identities: 30 * DAY }, NOW + 30 * DAY);
  assert.equal((await store.stats()).identities, 1);
  assert.equal((await store.stats()).events, 3, "below the cap nothing else goes");
});

storeTest(
  "by bytes: finished traces and bodies go first, oldest first; live runs and identities stay",
  async (store) => {
    await fill(store, 40, (at) => at % 4 !== 0);
    const before = (await store.stats()).bytes;
    await pruneAll(store, { bytes: before * 0.8 });
    assert.ok((await store.stats()).bytes <= before * 0.8);
    const events = (await store.listEvents({ limit: 99 })).reverse();
    assert.equal(events.length, 40, "what happened is still listed");
    const bare = events.filter(({ event }) => event.data === null).map(({ event }) => event.id);
    assert.ok(bare.includes("e1") && !bare.includes("e39"));
    assert.ok(!bare.some((id) => Number(id.slice(1)) % 4 === 0), "bodies of live runs stay");
    const dropped = (await store.listRuns({ event: events[1].event, limit: 1 }))[0];
    assert.deepEqual([dropped.state, dropped.output], ["succeeded", undefined]);
    assert.deepEqual((await store.getRun(dropped.id))?.steps, []);
    assert.equal((await store.stats()).identities, 40);
    assert.equal(await store.replayRun(dropped.id, undefined, "anna", NOW), undefined);
  },
);

storeTest("then verdict detail: the newest of each rule stay, counters for ever", async (store) => {
  await fill(store, 40, (at) => at !== 3);
  await store.accept([arrival("other", [candidate({}, "other")])], [], NOW + 99);
  await pruneAll(store, { bytes: 1 });
  const events = (await store.listEvents({ rule: "shop/pay", limit: 99 })).map(({ event }) => event.id);
  assert.deepEqual(events, ["e39", "e38", "e37", "e36", "e35", "e3"]);
  assert.equal((await store.listEvents({ rule: "other", limit: 9 })).length, 1);
  assert.deepEqual((await store.countVerdicts())["shop/pay"], { started: 40 });
  assert.equal((await store.countRuns()).succeeded, 39);
  assert.equal((await send(store, "e7")).delivery, "duplicate");
});

storeTest(
  "verdicts that were all needed are looked at again once as many traces as a twentieth of them have gone",
  async (store) => {
    const all = { bytes: 1, verdicts: 0 };
    await fill(store, 100, () => false);
    await pruneAll(store, all);
    const runs = (await store.claimRuns("me", 1_000, NOW + DAY)).map(({ run }) => run.id);
    const listed = async () => (await store.listEvents({ rule: "shop/pay", limit: 200 })).length;
    for (const run of runs.slice(0, 4)) await store.finishRun(run, { state: "succeeded", spent: 1 }, NOW);
    await pruneAll(store, all);
    assert.equal(await listed(), 100);
    await store.finishRun(runs[4], { state: "succeeded", spent: 1 }, NOW);
    await pruneAll(store, all);
    assert.equal(await listed(), 95);
  },
);

Deno.test("at the cap intake makes room; with nothing left to drop it is refused", async () => {
  const store = await open();
  await store.prune({ ...retention, bytes: 1.5 * MB }, NOW);
  await fill(store, 300, () => true);
  assert.ok((await store.stats()).bytes <= 1.6 * MB);
  const refused = fill(store, 600, () => false);
  await assert.rejects(refused, (error) => error instanceof StoreFullError && error.retryAfter > 0);
  assert.equal((await send(store, "e0")).delivery, "duplicate", "which takes nothing in");
  assert.ok((await store.stats()).bytes <= 1.6 * MB);
  assert.ok((await claimIds(store, 9, NOW + DAY)).length > 0, "what is inside goes on");
  await store.close();
});

storeTest(
  "what retention is holds before anything is dropped by it: for identities, and for what intake makes room by",
  async (store) => {
    store.retain({ bytes: 1.5 * MB, identities: 60 * DAY, verdicts: 5 });
    await send(store, "e0");
    assert.equal((await send(store, "e0", {}, NOW + 59 * DAY)).delivery, "duplicate");
    assert.equal((await send(store, "e0", {}, NOW + 60 * DAY)).delivery, "accepted");
    await assert.rejects(fill(store, 600, () => false), StoreFullError);
  },
);

const plain: Step = {
  id: "s",
  kind: "log",
  at: { line: 1, column: 1 },
  args: {},
  children: {},
};

function waitFor(type: string | string[]): Step {
  return { ...plain, kind: "waitFor", args: { waitFor: type } };
}

storeTest(
  "events that a live run may still wait for stay: those since it began, of the types in its version",
  async (store) => {
    const version = rule("v1", {
      then: [
        { ...plain, children: { then: [{ ...plain, onTimeout: [waitFor(["paid.in", "late"])] }] } },
        { ...plain, onError: [waitFor("failing")] },
      ],
      onError: [waitFor("broken")],
      actions: { "tell.yaml": { inputs: {}, then: [waitFor("action.*")] } },
    });
    await store.putVersions([version]);
    const all = async (when: string) => {
      for (const type of ["paid.in", "late", "failing", "broken", "action.x.y", "other", "paid"]) {
        await publish(
          store,
          `${when} ${type}`,
          type,
          {},
        );
      }
    };
    const left = async () => {
      await dropAll(store);
      const events = await store.listEvents({ limit: 99 });
      return events.filter(({ event }) => event.data !== null).map(({ event }) => event.id).reverse();
    };
    await all("before");
    const run = await startRun(store, "e1");
    await all("since");
    assert.deepEqual(await left(), [
      "e1",
      "since paid.in",
      "since late",
      "since failing",
      "since broken",
      "since action.x.y",
    ]);
    await all("after");
    assert.equal((await left()).length, 11);
    const wait = { kind: "event", types: ["late"], match: {} } as const;
    const found = await beginWait(store, run, "w", { ...wait, types: [...wait.types] });
    assert.equal((found.output as { id: string }).id, "since late");
    await store.finishRun(run, { state: "succeeded", spent: 1 }, NOW);
    assert.deepEqual(await left(), []);
  },
);

storeTest("more events than are looked at in one go may be expected; what may go behind them goes", async (store) => {
  await store.putVersions([rule("v1", { then: [waitFor("paid.in")] })]);
  const run = await startRun(store, "e1");
  for (let at = 0; at < 600; at++) await publish(store, `p${at}`, "paid.in", {});
  for (let at = 0; at < 20; at++) await publish(store, `o${at}`, "other", {});
  await dropAll(store);
  assert.equal((await store.stats()).events, 601);
  for (let at = 20; at < 40; at++) await publish(store, `o${at}`, "other", {});
  await store.finishRun(run, { state: "succeeded", spent: 1 }, NOW);
  await dropAll(store);
  assert.equal((await store.stats()).events, 0);
});

storeTest("what versions wait for is forgotten with them", async (store) => {
  await store.putVersions([rule("v1", { then: [waitFor("paid.in")] })]);
  await store.dropVersions([]);
  await store.putVersions([rule("v1", { then: [] })]);
  await startRun(store, "e1");
  await publish(store, "p1", "paid.in", {});
  await dropAll(store);
  assert.equal((await store.stats()).events, 1, "that of the live run");
});
