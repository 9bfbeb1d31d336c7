import assert from "node:assert/strict";
import { Database } from "../../runtime/store/sqlite/database.ts";
import { Journal } from "../../runtime/store/sqlite/journal.ts";
import { CommitQueue } from "../../runtime/store/sqlite/queue.ts";
import { type Store, StoreFullError } from "../../runtime/store/store.ts";
import { FaultyDisk } from "../host/faulty_disk.ts";
import { FOLDER, NOW, open, send, settle } from "./helpers.ts";

/** A disk whose next sync waits until it is let go; from the second on they pass. */
class HeldDisk extends FaultyDisk {
  readonly #reached = Promise.withResolvers<void>();
  readonly #released = Promise.withResolvers<void>();

  /** Resolves once a sync waits. */
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

Deno.test("what comes while the disk syncs is one group behind it, in order, however many turns it takes to come", async () => {
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
  assert.equal(disk.syncs, before + 2, "one sync for what was held, one for all that came meanwhile");
  await store.close();
});

Deno.test("what fails while the disk syncs takes nothing with it, also when it comes turns later", async () => {
  const disk = new HeldDisk();
  const store = await open({ disk });
  await send(store, "before");
  const held = disk.hold();
  const first = send(store, "e0");
  await held;
  const results: Promise<unknown>[] = [];
  for (const id of ["e1", "bad", "e2", "worse", "e3"]) {
    // deno-lint-ignore no-explicit-any
    const type: any = id.startsWith("e") ? "paid" : { not: "text" };
    const event = { id, source: "/hooks/pay", type, time: new Date(NOW).toISOString(), data: null };
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

Deno.test("when the disk begins to refuse, what was done meanwhile is undone: intake is sent away, the rest waits", async () => {
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
  assert.equal(await cancelled, "cancelled");
  assert.deepEqual(await ids(store), ["before", "e0"]);
  disk.cut();
  const again = await open({ disk });
  assert.equal((await again.getRun(run))!.run.state, "cancelled");
  assert.deepEqual(await ids(again), ["before", "e0"]);
  await again.close();
});

Deno.test("what takes longer than a slice and fails is done once more, alone, and not for ever", async () => {
  const database = await Database.live((text) => text);
  const journal = new Journal(0, [], { disk: new FaultyDisk(), folder: FOLDER, onWarning() {}, onRefused() {} });
  const queue = new CommitQueue(database, journal, () => {});
  let attempts = 0;
  const failing = queue.add("change", () => {
    const until = performance.now() + 20;
    while (performance.now() < until);
    if (++attempts < 5) throw new Error("It has no room");
  });
  const other = queue.add("change", () => "done");
  await assert.rejects(failing, /It has no room/);
  assert.equal(await other, "done");
  await queue.close();
});

Deno.test("what was done behind a frame that never came to the disk does not come there either", async () => {
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
