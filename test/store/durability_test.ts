import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { diskError } from "../../runtime/host/forgetful_disk.ts";
import { openStore } from "../../runtime/store/open.ts";
import { type Store, StoreFullError } from "../../runtime/store/store.ts";
import { FaultyDisk } from "../host/faulty_disk.ts";
import { arrival, candidate, claimIds, FOLDER, NOW, open, rule, send, settle, step } from "./helpers.ts";

/** Holds syncs until it is called. */
function holdSyncs(disk: FaultyDisk): () => void {
  let release = () => {};
  const held = new Promise<void>((resolve) => release = resolve);
  disk.beforeSync = () => held;
  return () => {
    disk.beforeSync = () => {};
    release();
  };
}

/** All that a store shows. */
async function contents(store: Store) {
  const { journalBytes: _, bytes: __, ...stats } = await store.stats();
  const runs = await store.listRuns({ limit: 1e6 });
  return {
    stats,
    events: await store.listEvents({ limit: 1e6 }),
    traces: await Promise.all(runs.map(({ id }) => store.getRun(id))),
    verdicts: await store.countVerdicts(),
    counts: await store.countRuns(),
    paused: await store.listPaused(),
    due: await store.nextDue(),
  };
}

Deno.test("nothing is answered before it is synced: not the first, not its duplicate, not a reader", async () => {
  const disk = new FaultyDisk();
  const store = await open({ disk });
  const release = holdSyncs(disk);
  const order: string[] = [];
  const first = send(store, "e1").then(() => order.push("first"));
  await settle();
  const second = send(store, "e1").then(({ delivery }) => order.push(delivery));
  const read = store.listEvents({ limit: 9 }).then((events) => order.push(`${events.length} event`));
  const claim = store.claimRuns("me", 9, NOW).then((runs) => order.push(`${runs.length} run`));
  await settle();
  assert.deepEqual(order, []);
  release();
  await Promise.all([first, second, read, claim]);
  assert.equal(order[0], "first");
  assert.deepEqual(order.slice(1).sort(), ["1 event", "1 run", "duplicate"]);
  await store.close();
});

Deno.test("what waits together shares frames and syncs", async () => {
  const disk = new FaultyDisk();
  const store = await open({ disk });
  await send(store, "first");
  const before = disk.syncs;
  await Promise.all(Array.from({ length: 20 }, (_, at) => send(store, `e${at}`)));
  // One group, unless the machine is so slow that it had to be split for the event loop's sake.
  assert.ok(disk.syncs < before + 20);
  await store.close();
});

Deno.test("a store that was killed goes on where it was", async () => {
  const disk = new FaultyDisk();
  const store = await open({ disk });
  await store.putVersions([rule("v1")]);
  for (const id of ["e1", "e2", "e3"]) await send(store, id, { key: "ü\ud800\u0000'" });
  const [claimed] = await store.claimRuns("me", 2, NOW);
  await store.recordStep(claimed.run.id, step("a", { output: [1.5, -0, 1e300, "\u2028"] }), {}, NOW);
  await store.finishRun(claimed.run.id, { state: "succeeded", output: null, spent: 1 }, NOW);
  const before = await contents(store);
  disk.cut();
  const again = await open({ disk });
  assert.deepEqual(await contents(again), before);
  assert.deepEqual(await again.getVersion("v1"), rule("v1"));
  assert.equal((await send(again, "e1")).delivery, "duplicate");
  assert.equal(await again.reclaimRuns("other", NOW), 1);
  await again.close();
});

Deno.test("a checkpoint with what came after it equals the live state, also through another checkpoint", async () => {
  const disk = new FaultyDisk();
  const store = await open({ disk });
  for (let round = 0; round < 3; round++) {
    for (let at = 0; at < 5; at++) await send(store, `e${round}-${at}`, { limit: { count: 3, per: 1_000 } });
    await claimIds(store, 2);
    await store.checkpoint();
    await send(store, `behind-${round}`);
    const before = await contents(store);
    const copy = await open({ disk: disk.copy() });
    assert.deepEqual(await contents(copy), before);
    await copy.close();
  }
  await store.close();
});

Deno.test("the newest two checkpoints are kept, with the segments behind the older one", async () => {
  const disk = new FaultyDisk();
  const store = await open({ disk });
  for (let at = 0; at < 4; at++) {
    await send(store, `e${at}`);
    await store.checkpoint();
    await store.checkpoint();
  }
  await store.close();
  const names = disk.paths().map((path) => path.slice(FOLDER.length + 1).replace(/-[0-9a-f]{8}\.sqlite/, ""));
  assert.deepEqual(names, ["checkpoint-000000000003", "checkpoint-000000000004", "journal-000000000004"]);
});

Deno.test("a checkpoint opens in any SQLite shell", async () => {
  const folder = await mkdtemp(join(tmpdir(), "whenthen-store-"));
  const store = await openStore({ folder, now: NOW, onWarning: assert.fail });
  await send(store, "e1");
  await store.close();
  const name = (await Array.fromAsync(Deno.readDir(folder))).find((entry) => entry.name.endsWith(".sqlite"))!.name;
  const shell = new DatabaseSync(join(folder, name), { readOnly: true });
  assert.deepEqual({ ...shell.prepare("SELECT type, deliveries FROM events").get() }, { type: "paid", deliveries: 1 });
  assert.deepEqual({ ...shell.prepare("PRAGMA integrity_check").get() }, { integrity_check: "ok" });
  shell.close();
  await rm(folder, { recursive: true });
});

Deno.test("a full disk: intake is refused, nothing that was begun is lost, and it goes on without a restart", async () => {
  const disk = new FaultyDisk();
  const warnings: string[] = [];
  const store = await open({ disk, onWarning: (message) => warnings.push(message) });
  await send(store, "before");
  disk.failWrites = "ENOSPC";
  const begun = send(store, "begun");
  while (warnings.length === 0) await settle();
  await assert.rejects(
    send(store, "refused"),
    (error) => error instanceof StoreFullError && /ENOSPC/.test(error.message) && error.retryAfter > 0,
  );
  let read = false;
  const reading = store.countVerdicts().then((counted) => {
    read = true;
    return counted;
  });
  await settle();
  assert.equal(read, false, "a reader waits, too");
  disk.failWrites = undefined;
  assert.equal((await begun).delivery, "accepted");
  assert.deepEqual(await reading, { "shop/pay": { started: 2 } });
  assert.equal((await send(store, "after")).delivery, "accepted");
  assert.equal(warnings.length, 2);
  const before = await contents(store);
  disk.cut();
  const again = await open({ disk });
  assert.deepEqual(await contents(again), before);
  await again.close();
});

Deno.test("a failed sync is not retried in place: the frame goes into a new segment", async () => {
  const disk = new FaultyDisk();
  const warnings: string[] = [];
  const store = await open({ disk, onWarning: (message) => warnings.push(message) });
  for (const id of ["e1", "e2"]) {
    await send(store, `before-${id}`);
    disk.failSyncs = "EIO";
    const begun = send(store, id);
    while (warnings.length % 2 === 0) await settle();
    disk.failSyncs = undefined;
    await begun;
  }
  const before = await contents(store);
  disk.cut();
  const again = await open({ disk });
  assert.deepEqual(await contents(again), before);
  await again.checkpoint();
  await send(again, "e3");
  const last = await contents(again);
  disk.cut();
  const third = await open({ disk });
  assert.deepEqual(await contents(third), last);
  await third.close();
});

Deno.test("closing with a disk that refuses ends, and says what became of those who waited", async () => {
  const disk = new FaultyDisk();
  const store = await open({ disk, onWarning: () => {} });
  await send(store, "e1");
  disk.failWrites = "ENOSPC";
  const begun = assert.rejects(send(store, "e2"), { code: "ENOSPC" });
  await settle();
  await store.close();
  await begun;
  await assert.rejects(send(store, "e3"), /The store is closed/);
});

Deno.test("a checkpoint that cannot be written is an error to the caller and harms nothing", async () => {
  const disk = new FaultyDisk();
  const store = await open({ disk, onWarning: () => {} });
  await send(store, "e1");
  const create = disk.create.bind(disk);
  disk.create = (path) => path.endsWith(".tmp") ? Promise.reject(new Error("ENOSPC")) : create(path);
  await assert.rejects(store.checkpoint(), /ENOSPC/);
  assert.equal((await send(store, "e2")).delivery, "accepted");
  await store.close();
  const again = await open({ disk: disk.copy() });
  assert.equal((await again.stats()).events, 2);
  await again.close();
});

Deno.test("a checkpoint whose sync fails is none: the journal stands for it, and the next one is whole", async () => {
  const disk = new FaultyDisk();
  const store = await open({ disk, onWarning: () => {} });
  await send(store, "e1");
  const create = disk.create.bind(disk);
  disk.create = async (path) => {
    const file = await create(path);
    return path.endsWith(".tmp") ? { ...file, sync: () => Promise.reject(diskError("EIO", path)) } : file;
  };
  await assert.rejects(store.checkpoint(), { code: "EIO" });
  await send(store, "e2");
  const before = await contents(store);
  assert.ok(disk.paths().every((path) => !path.includes("checkpoint")), "no piece of it is left");
  const cut = disk.copy();
  cut.cut();
  assert.deepEqual(await contents(await open({ disk: cut })), before);
  disk.create = create;
  await store.checkpoint();
  assert.ok(disk.paths().some((path) => path.endsWith(".sqlite")));
  disk.cut();
  assert.deepEqual(await contents(await open({ disk })), before);
});

Deno.test("secrets reach neither the database nor the journal, and leave JSON whole", async () => {
  const folder = await mkdtemp(join(tmpdir(), "whenthen-store-"));
  const mask = (text: string) => text.replaceAll("hunter2", "***").replaceAll("4711", "***");
  const store = await openStore({ folder, now: NOW, onWarning: assert.fail, mask });
  const secret = arrival("hunter2-id", [candidate({ key: "hunter2" })]);
  secret.event.data = { hunter2: ["a hunter2 b", 471100, true] };
  const trigger = { rule: "shop/pay", trigger: "poll hunter2" };
  const [receipt] = await store.accept([secret], [{
    ...trigger,
    mark: 4711,
    baseline: { put: [["hunter2", "hunter2"]], remove: [] },
  }], NOW);
  const [claimed] = await store.claimRuns("me", 1, NOW);
  assert.deepEqual(claimed.run.event.data, { "***": ["a *** b", "***00", true] });
  assert.equal(claimed.run.key, "***");
  const output = { status: 200, body: "hunter2" };
  const effects = { reply: { status: 200, headers: {}, body: "hunter2" }, state: { key: "hunter2", value: "hunter2" } };
  await store.recordStep(receipt.runs[0], step("hunter2", { output }), effects, NOW);
  await store.parkRun(receipt.runs[0], { state: "waiting", waitingFor: "hunter2", spent: 1 }, NOW);
  await store.cancelRun(receipt.runs[0], "hunter2", NOW);
  await store.setPaused("shop/pay", "hunter2");
  assert.equal((await store.accept([secret], [], NOW))[0].delivery, "duplicate");
  assert.deepEqual(await store.getState(["hunter2"], NOW), { hunter2: "***" });
  assert.equal(await store.getMark(trigger), "***");
  await store.checkpoint();
  await store.putVersions([rule("v1")]);
  await store.close();
  for await (const { name } of Deno.readDir(folder)) {
    const bytes = await readFile(join(folder, name), "latin1");
    assert.ok(!bytes.includes("hunter2") && !bytes.includes("4711"), name);
  }
  await rm(folder, { recursive: true });
});
