import fc from "fast-check";
import assert from "node:assert/strict";
import { turn } from "../../runtime/host/large_work.ts";
import type { Json } from "../../runtime/model/json.ts";
import { encode, type FrameLog, Ledger } from "../../runtime/store/ledger/ledger.ts";
import { Rows } from "../../runtime/store/ledger/rows.ts";
import { type Admission, type Store, StoreFullError } from "../../runtime/store/store.ts";
import { HeldDisk } from "../faults/held_disk.ts";
import { FaultyDisk } from "../faults/faulty_disk.ts";
import { arrival, candidate, claimIds, NOW, open, publish, send, settle, step, storeTest } from "./helpers.ts";
import { dump, execute, operation, rebuilt, State } from "./state.ts";

async function ids(store: Store): Promise<string[]> {
  return (await store.listEvents({ limit: 99 })).map(({ event }) => event.id).reverse();
}

Deno.test("transitions during a sync form one group after it, in order, over any number of event loop turns", async () => {
  const disk = new HeldDisk();
  const store = await open({ disk });
  await send(store, "before");
  const held = disk.hold();
  const order: string[] = [];
  const sending = [send(store, "e0").then(() => order.push("e0"))];
  await held;
  const before = disk.syncs;
  for (const id of ["e1", "e2", "e3"]) {
    sending.push(send(store, id).then(() => order.push(id)));
    await settle();
  }
  const read = ids(store);
  await settle();
  assert.deepEqual(order, []);
  disk.release();
  await Promise.all(sending);
  assert.deepEqual(order, ["e0", "e1", "e2", "e3"]);
  assert.deepEqual(await read, ["before", ...order]);
  assert.equal(disk.syncs, before + 2, "one sync for the delayed transition, one for all later ones");
  await store.close();
});

Deno.test("a transition that fails during a sync takes no other with it, even turns later", async () => {
  const disk = new HeldDisk();
  const store = await open({ disk });
  await send(store, "before");
  const held = disk.hold();
  const first = send(store, "e0");
  await held;
  const results: Promise<unknown>[] = [];
  for (const id of ["e1", "bad", "e2", "worse", "e3"]) {
    const event = { id, source: "/hooks/pay", type: "paid", time: new Date(NOW).toISOString(), data: null };
    if (!id.startsWith("e")) Object.defineProperty(event, "type", { get: () => assert.fail("it breaks") });
    results.push(store.accept([{ event, candidates: [] }], [], NOW));
    await settle();
  }
  disk.release();
  const settled = await Promise.allSettled(results);
  assert.deepEqual(settled.map(({ status }) => status[0]), ["f", "r", "f", "r", "f"]);
  await first;
  assert.deepEqual(await ids(store), ["before", "e0", "e1", "e2", "e3"]);
  await store.close();
});

Deno.test("when writes begin to fail, transitions made meanwhile are undone: intake is refused, the rest waits", async () => {
  const disk = new HeldDisk();
  const store = await open({ disk, onWarning() {} });
  const { runs: [run] } = await send(store, "before");
  const held = disk.hold();
  const first = send(store, "e0");
  await held;
  const sentAway = assert.rejects(send(store, "e1"), StoreFullError);
  const cancelled = store.cancelRun(run, "an operator", NOW);
  await settle();
  disk.failSyncs = "EIO";
  disk.release();
  await sentAway;
  disk.failSyncs = undefined;
  await first;
  assert.deepEqual(await cancelled, { kind: "asked", state: "cancelled", ended: true });
  assert.deepEqual(await ids(store), ["before", "e0"]);
  disk.cut();
  // A copy: the first store lives on, and folds the segment whose sync failed.
  const again = await open({ disk: disk.copy() });
  assert.equal((await again.getRun(run))!.run.state, "cancelled");
  assert.deepEqual(await ids(again), ["before", "e0"]);
  await again.close();
});

Deno.test("a transition that exceeds a slice and fails runs once, and takes no other with it", async () => {
  const log: FrameLog = { lastSeq: 0, refusal: undefined, append: () => Promise.resolve(), stop() {} };
  const ledger = new Ledger({ rows: new Rows(), log, onHistory() {} });
  let attempts = 0;
  const failing = ledger.add("change", () => {
    const until = performance.now() + 20;
    while (performance.now() < until);
    attempts++;
    throw new Error("It has no room");
  });
  const other = ledger.add("change", () => "done");
  await assert.rejects(failing, /It has no room/);
  assert.equal(await other, "done");
  assert.equal(attempts, 1);
  await ledger.close();
});

Deno.test("changes too large for one string fail together, and later ones are written", async () => {
  const rows = new Rows();
  const frames: string[] = [];
  const log: FrameLog = {
    lastSeq: 0,
    refusal: undefined,
    append: (text) => Promise.resolve(void frames.push(text)),
    stop() {},
  };
  const ledger = new Ledger({ rows, log, onHistory() {} });
  // One of them can be written, but not two.
  let written = 0;
  const moody = { toJSON: () => ++written % 2 === 1 ? assert.fail("too much") : 1 } as unknown as Json;
  const failing = ledger.add("change", () => rows.put("mark", "a", moody));
  await assert.rejects(failing, /too much/);
  assert.equal(rows.get("mark", "a"), undefined);
  await ledger.add("change", () => rows.put("mark", "b", 1));
  assert.deepEqual(frames, ["mark*/b\t1\n"]);
  await ledger.close();
});

Deno.test("transitions after a frame that was never written are not written either", async () => {
  const disk = new FaultyDisk();
  const store = await open({ disk, onWarning() {} });
  await store.setPaused("before", "by hand");
  let closing = false;
  let fails = 1;
  disk.beforeSync = () => {
    disk.failSyncs = !closing || fails-- > 0 ? "EIO" : undefined;
  };
  const first = assert.rejects(store.setPaused("first", "by hand"), /EIO/);
  await settle();
  const second = assert.rejects(store.setPaused("second", "by hand"), /EIO/);
  await settle();
  closing = true;
  await store.close();
  await Promise.all([first, second]);
  disk.cut();
  const again = await open({ disk });
  assert.deepEqual(await again.listPaused(), { before: "by hand" });
  await again.close();
});

Deno.test("an undo restores rows, indexes, counts, bytes and pending writes", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(operation, fc.boolean()), { minLength: 20, maxLength: 80 }), (operations) => {
      const state = new State();
      const { rows } = state;
      const groups = new Map();
      for (const [each, isFrame] of operations) {
        state.now += 500;
        const before = [dump(rows, groups), rows.bytes, rows.changes()];
        const copy = structuredClone(before);
        const mark = rows.mark();
        execute(state, each);
        rows.undo(mark);
        assert.deepEqual([dump(rows, groups), rows.bytes, rows.changes()], copy);
        execute(state, each);
        if (isFrame) state.remember(encode(rows).history);
      }
    }),
    { numRuns: 80 },
  );
});

Deno.test("indexes and counts agree with the rows, after any changes", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(operation, fc.boolean()), { minLength: 40, maxLength: 120 }), (operations) => {
      const state = new State();
      const groups = new Map();
      for (const [each, isRead] of operations) {
        state.now += 500;
        execute(state, each);
        state.remember(encode(state.rows).history);
        // New rows enter an index when it is read, so it is not read after each operation.
        if (isRead) assert.deepEqual(dump(state.rows, groups), dump(rebuilt(state.rows), groups));
      }
    }),
    { numRuns: 60 },
  );
});

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
  assert.equal(await store.reclaimRuns({ kept: ["another start"] }, NOW), 1);
  const [{ run, again }] = await store.claimRuns("another start", 9, NOW);
  assert.deepEqual([run.event.id, again], ["e1", true]);
});

Deno.test("what follows from a decision shares its frame, and delays no frame twice, however much comes", async () => {
  const disk = new FaultyDisk();
  const store = await open({ disk });
  await publish(store, "before", "paid", null);
  const accept = (id: string) => {
    let decided: string | undefined;
    const accepting = store.accept(
      [arrival(id, [candidate({ max: 1_000 })])],
      [],
      NOW,
      { owner: "me", max: 1 },
      ([{ run }]) => {
        decided = run.id;
        const end = { state: "succeeded", output: null, spent: 0 } as const;
        recorded.push(Promise.resolve().then(() => store.recordStep(run.id, step("only"), { end }, NOW)));
        return true;
      },
    );
    return { accepting, run: () => decided };
  };
  const recorded: Promise<unknown>[] = [];
  const before = disk.syncs;
  const one = accept("one");
  const [receipt] = await one.accepting;
  assert.deepEqual(receipt.runs, [one.run()]);
  await Promise.all(recorded);
  assert.equal(disk.syncs, before + 1, "one sync for the event, the run, its step and its end");
  const again = await open({ disk: disk.copy() });
  assert.equal((await again.getRun(one.run()!))!.run.state, "succeeded");
  await again.close();
  // In each turn comes another one.
  const stream = accept("first");
  let isAccepted = false;
  const first = stream.accepting.then(() => isAccepted = true);
  let turns = 0;
  for (const others: Promise<unknown>[] = []; !isAccepted; await turn()) {
    assert.ok(++turns < 100, "the first one is accepted although others keep coming");
    others.push(accept(`other ${turns}`).accepting);
  }
  await first;
  await store.close();
});
