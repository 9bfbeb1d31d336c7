import assert from "node:assert/strict";
import { access, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { Json } from "../../runtime/model/json.ts";
import { sortFiles } from "../../runtime/store/log/files.ts";
import { openStore } from "../../runtime/store/open_store.ts";
import { type Arrival, type Store, StoreFullError } from "../../runtime/store/store.ts";
import { FaultyDisk } from "../faults/faulty_disk.ts";
import { arrival, candidate, claimIds, FOLDER, NOW, open, rule, send, settle, step } from "./helpers.ts";

/** Delays syncs until it is called. */
function holdSyncs(disk: FaultyDisk): () => void {
  let release = () => {};
  const held = new Promise<void>((resolve) => release = resolve);
  disk.beforeSync = () => held;
  return () => {
    disk.beforeSync = () => {};
    release();
  };
}

/** Everything that a store shows. */
async function contents(store: Store) {
  const { events, identities, runs: count } = await store.stats();
  const runs = await store.listRuns({ limit: 1e6 });
  return {
    stats: { events, identities, count },
    events: await store.listEvents({ limit: 1e6 }),
    traces: await Promise.all(runs.map(({ id }) => store.getRun(id))),
    verdicts: await store.countVerdicts(),
    counts: await store.countRuns(),
    paused: await store.listPaused(),
    due: await store.nextDue(),
  };
}

Deno.test("nothing is answered before it is synced: neither the first delivery, nor its duplicate, nor a reader", async () => {
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

Deno.test("transitions that wait together share frames and syncs", async () => {
  const disk = new FaultyDisk();
  const store = await open({ disk });
  await send(store, "first");
  const before = disk.syncs;
  await Promise.all(Array.from({ length: 20 }, (_, at) => send(store, `e${at}`)));
  // One group, unless the machine is so slow that it was split to keep the event loop responsive.
  assert.ok(disk.syncs < before + 20);
  await store.close();
});

Deno.test("a killed store resumes where it was", async () => {
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
  assert.equal(await again.reclaimRuns({ kept: ["other"] }, NOW), 1);
  await again.close();
});

Deno.test("a checkpoint and the later log give the live state, also across another checkpoint", async () => {
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

Deno.test("a checkpoint leaves a part, an ids file and a delta; closing leaves a small log to replay", async () => {
  const disk = new FaultyDisk();
  const store = await open({ disk });
  const kinds = () => disk.paths().map((path) => /^\/data\/(\w+)-/.exec(path)![1]);
  await send(store, "e1");
  assert.deepEqual(kinds(), ["log"]);
  await store.checkpoint();
  await send(store, "e2");
  assert.deepEqual(kinds(), ["delta", "ids", "log", "part"]);
  await store.close();
  assert.deepEqual(kinds(), ["delta", "ids", "log", "part"]);
  const again = await open({ disk });
  assert.equal((await again.stats()).events, 2);
  await again.close();
});

Deno.test("concurrent requests for checkpoints run one after the other, while events arrive", async () => {
  const disk = new FaultyDisk();
  const store = await open({ disk });
  const asked: Promise<unknown>[] = [];
  for (let at = 0; at < 9; at++) {
    asked.push(send(store, `e${at}`), store.checkpoint(), store.checkpoint());
    if (at % 3 === 0) await settle();
  }
  await Promise.all(asked);
  const before = await contents(store);
  disk.cut();
  const again = await open({ disk });
  assert.deepEqual(await contents(again), before);
  await again.close();
});

Deno.test("many deltas become a base; two bases are kept, with the deltas after the older one", async () => {
  const disk = new FaultyDisk();
  const store = await open({ disk });
  for (let at = 0; at < 400; at++) {
    await store.setPaused(`r${at}`, "by hand");
    await store.checkpoint();
  }
  const { bases, deltas, ids } = sortFiles(await disk.list(FOLDER));
  assert.equal(bases.length, 2);
  assert.equal(deltas[0].first, bases[0].last + 1);
  assert.ok(deltas.length < 300 && ids.length === deltas.length + 2);
  await store.close();
  const again = await open({ disk });
  assert.equal(Object.keys(await again.listPaused()).length, 400);
  await again.close();
});

Deno.test("parts and ids files open in any SQLite shell", async () => {
  const folder = await mkdtemp(join(tmpdir(), "whenthen-store-"));
  const store = await openStore({ folder, now: NOW, onWarning: assert.fail });
  await send(store, "e1");
  await store.checkpoint();
  await store.close();
  const { parts, ids } = sortFiles(await readdir(folder));
  for (const { name } of [...parts, ...ids]) {
    const shell = new DatabaseSync(join(folder, name), { readOnly: true });
    assert.deepEqual({ ...shell.prepare("PRAGMA integrity_check").get() }, { integrity_check: "ok" });
    shell.close();
  }
  await rm(folder, { recursive: true });
});

Deno.test("many identities, which a thread reads, are known after a restart", async () => {
  const folder = await mkdtemp(join(tmpdir(), "whenthen-store-"));
  const all = Array.from({ length: 8_000 }, (_, index) => arrival(`e${index}`, []));
  const store = await openStore({ folder, now: NOW, onWarning: assert.fail });
  await store.accept(all, [], NOW);
  await store.checkpoint();
  await store.close();
  const again = await openStore({ folder, now: NOW, onWarning: assert.fail });
  assert.equal((await again.stats()).identities, all.length);
  const receipts = await again.accept([all[0], all[7_999], arrival("new", [])], [], NOW);
  assert.deepEqual(receipts.map(({ delivery }) => delivery), ["duplicate", "duplicate", "unmatched"]);
  await again.close();
  await rm(folder, { recursive: true });
});

Deno.test("a full disk: intake is refused, nothing under way is lost, and it resumes without a restart", async () => {
  const disk = new FaultyDisk();
  const warnings: string[] = [];
  const store = await open({ disk, onWarning: (message) => warnings.push(message) });
  disk.failing = /\/log-/;
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
  disk.failing = /\/log-/;
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

Deno.test("closing on a failing disk ends, and rejects the waiting calls with the reason", async () => {
  const disk = new FaultyDisk();
  const store = await open({ disk, onWarning: () => {} });
  await send(store, "e1");
  disk.failWrites = "ENOSPC";
  // Its sender may try again.
  const sent = assert.rejects(
    send(store, "e2"),
    (error) => error instanceof StoreFullError && /ENOSPC/.test(error.message),
  );
  const begun = assert.rejects(store.setPaused("shop/pay", "now"), { code: "ENOSPC" });
  await settle();
  await store.close();
  await Promise.all([sent, begun]);
  await assert.rejects(send(store, "e3"), /The store is closed/);
});

Deno.test("a checkpoint that cannot be written is an error for the caller and does no harm", async () => {
  const disk = new FaultyDisk();
  const warnings: string[] = [];
  const store = await open({ disk, onWarning: (message) => warnings.push(message) });
  await send(store, "e1");
  disk.failing = /\.tmp$/;
  disk.failWrites = "ENOSPC";
  await assert.rejects(store.checkpoint(), { code: "ENOSPC" });
  assert.equal((await send(store, "e2")).delivery, "accepted");
  assert.deepEqual(disk.paths().filter((path) => path.endsWith(".tmp")), []);
  await store.close();
  const again = await open({ disk: disk.copy() });
  assert.equal((await again.stats()).events, 2);
  await again.close();
});

Deno.test("a checkpoint whose sync fails does not count: the log stays, and the next one is complete", async () => {
  const disk = new FaultyDisk();
  const store = await open({ disk, onWarning: () => {} });
  await send(store, "e1");
  disk.failing = /\/delta-.*\.tmp$/;
  disk.failSyncs = "EIO";
  await assert.rejects(store.checkpoint(), { code: "EIO" });
  await send(store, "e2");
  const before = await contents(store);
  assert.ok(disk.paths().every((path) => !path.includes("delta")), "no piece of it is left");
  const cut = disk.copy();
  cut.cut();
  const copy = await open({ disk: cut });
  assert.deepEqual(await contents(copy), before);
  await copy.close();
  disk.failSyncs = undefined;
  await store.checkpoint();
  assert.equal(disk.paths().filter((path) => path.includes("/delta-")).length, 2);
  disk.cut();
  const again = await open({ disk });
  assert.deepEqual(await contents(again), before);
  await again.close();
});

Deno.test("the store keeps data unchanged, byte for byte", async () => {
  const disk = new FaultyDisk();
  const store = await open({ disk });
  const odd = 'hunter2 4711 é \ud800 \u0000 \t \n \r \u2028 \\u0000 " \ufeff \u{1f600}';
  const data = { [odd]: [odd, 471100, 1.5e300, true, null, "", {}] };
  const one: Arrival = arrival(odd, [candidate({ key: odd })]);
  one.event = { ...one.event, subject: odd, source: odd, data };
  const trigger = { rule: odd, trigger: odd };
  const put: [string, Json][] = [[odd, { odd }]];
  const [{ runs: [run] }] = await store.accept([one], [{ ...trigger, mark: odd, baseline: { put, remove: [] } }], NOW);
  await store.claimRuns("me", 1, NOW);
  const reply = { status: 200, headers: { odd }, body: odd };
  await store.recordStep(run, step(odd, { output: data, input: odd }), { reply }, NOW);
  await store.recordStep(run, step("state"), { state: { key: odd, value: data } }, NOW);
  await store.setPaused(odd, odd);
  const check = async (store: Store) => {
    const trace = (await store.getRun(run))!;
    assert.deepEqual([trace.run.event, trace.run.key], [one.event, odd]);
    assert.deepEqual(trace.steps[0], step(odd, { output: data, input: odd }));
    assert.deepEqual(await store.getReply(one.event), reply);
    assert.deepEqual((await store.listEvents({ limit: 1 }))[0].event, one.event);
    assert.deepEqual((await store.listRuns({ event: one.event, limit: 1 }))[0].id, run);
    assert.deepEqual(await store.getState([odd], NOW), { [odd]: data });
    assert.equal(await store.getMark(trigger), odd);
    assert.deepEqual(await store.getBaseline(trigger, 9), new Map(put));
    assert.deepEqual(await store.listPaused(), { [odd]: odd });
    assert.equal((await store.accept([one], [], NOW))[0].delivery, "duplicate");
  };
  await check(store);
  disk.cut();
  const replayed = await open({ disk });
  await check(replayed);
  await replayed.finishRun(run, { state: "succeeded", output: data, spent: 1 }, NOW);
  await replayed.checkpoint();
  await check(replayed);
  disk.cut();
  const folded = await open({ disk });
  await check(folded);
  assert.deepEqual((await folded.getRun(run))!.run.output, data);
  await folded.close();
});

Deno.test("a volatile store answers like any other and leaves nothing behind", async () => {
  const folder = join(tmpdir(), `whenthen-volatile-${crypto.randomUUID()}`);
  const mark = { rule: "r", trigger: "t" };
  const store = await open({ folder, disk: undefined, volatile: true });
  await store.accept([], [{ ...mark, mark: 1 }], NOW);
  assert.equal(await store.getMark(mark), 1);
  await store.close();
  await assert.rejects(access(folder));
  const again = await open({ folder, disk: undefined, volatile: true });
  assert.equal(await again.getMark(mark), undefined);
  await again.close();
});
