import assert from "node:assert/strict";
import type { Json } from "../../runtime/model/json.ts";
import { type FrameLog, Ledger } from "../../runtime/store/ledger/ledger.ts";
import { Rows } from "../../runtime/store/ledger/rows.ts";
import { type Store, StoreFullError } from "../../runtime/store/store.ts";
import { FaultyDisk } from "../faults/faulty_disk.ts";
import { NOW, open, send, settle } from "./helpers.ts";

/** A disk whose next sync waits until it is released; later ones pass. */
class HeldDisk extends FaultyDisk {
  readonly #reached = Promise.withResolvers<void>();
  readonly #released = Promise.withResolvers<void>();

  /** Resolves when a sync waits. */
  hold(): Promise<void> {
    this.beforeSync = () => {
      this.beforeSync = () => {};
      this.#reached.resolve();
      return this.#released.promise;
    };
    return this.#reached.promise;
  }

  release(): void {
    this.#released.resolve();
  }
}

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
