import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ManualClock } from "../../runtime/host/clock.ts";
import { type Disk, realDisk } from "../../runtime/host/disk.ts";
import { turn } from "../../runtime/host/large_work.ts";
import { RunFiles } from "../../runtime/host/run_files.ts";
import { Uploads } from "../../runtime/host/uploads.ts";
import { type Store, StoreFullError } from "../../runtime/store/store.ts";
import { Upkeep } from "../../runtime/store/upkeep.ts";
import { FaultyDisk } from "../faults/faulty_disk.ts";
import {
  arrival,
  candidate,
  claimIds,
  DAY,
  dropHistory,
  NOW,
  open,
  pruneAll,
  publish,
  RETENTION,
  rule,
  send,
  startRun,
  step,
  storeTest,
  supersede,
} from "./helpers.ts";
import { CuttingDisk } from "./log/cutting_disk.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const KEPT = { bytes: 1e9, identities: 2 * HOUR, live: 1e9 };

/** Started upkeep; `live` runs the clock for so many minutes. @returns what a last delivery of `e1` is, after both have ended */
function keepUp(store: Store, clock: ManualClock) {
  let passed = () => {};
  const upkeep = new Upkeep({
    store,
    files: { sweep: () => Promise.resolve() },
    uploads: { sweep: () => Promise.resolve() },
    clock,
    retention: () => KEPT,
    liveVersions: () => {
      passed();
      return [];
    },
    onError: (_message, error) => assert.fail(String(error)),
  });
  upkeep.start();
  const live = async (minutes: number) => {
    for (const end = clock.now() + minutes * MINUTE; clock.now() < end;) {
      const pass = new Promise<void>((resolve) => passed = resolve);
      await clock.advanceTo(clock.now() + 10_000);
      await pass;
      await store.stats();
      await turn();
    }
  };
  const assertForgottenInTime = async () => {
    clock.jumpTo(NOW + 10 * HOUR);
    await live(15);
    clock.jumpTo(NOW + HOUR);
    assert.equal((await send(store, "e1", {}, clock.now())).delivery, "accepted", "it has expired");
    await upkeep.stop();
    await store.close();
  };
  return { live, assertForgottenInTime };
}

Deno.test("a clock that shows 2099 for a while expires no identity; a running clock expires it in time", async () => {
  const clock = new ManualClock(NOW);
  const store = await open();
  const { live, assertForgottenInTime } = keepUp(store, clock);
  await send(store, "e1");
  await live(1);
  clock.jumpTo(Date.UTC(2099, 0, 1));
  await live(5);
  clock.jumpTo(NOW + 6 * MINUTE);
  await live(1);
  assert.equal((await send(store, "e1", {}, clock.now())).delivery, "duplicate");
  await assertForgottenInTime();
});

Deno.test("a clock corrected after the start still expires identities in time", async () => {
  const clock = new ManualClock(0);
  const store = await open();
  await send(store, "e1");
  const { live, assertForgottenInTime } = keepUp(store, clock);
  await live(1);
  await assertForgottenInTime();
});

Deno.test("files of a run are removed when it leaves history; those of live runs and of each rule's last run stay", async () => {
  const folder = await mkdtemp(join(tmpdir(), "upkeep-"));
  const files = new RunFiles(folder, realDisk);
  const store = await open();
  const runs: Record<string, string> = {};
  for (const name of ["live", "old", "older", "last"]) {
    const run = runs[name] = await startRun(store, name, { max: 10 });
    const draft = await files.create({ run, step: "get", name: "a.txt", what: "an answer" });
    await draft.keep("text/plain");
    if (name === "live") continue;
    await store.finishRun(run, { state: "succeeded", output: null, spent: 1 }, NOW);
    await store.checkpoint();
  }
  const clock = new ManualClock(NOW);
  let bytes = 1e9;
  let passed = Promise.withResolvers<void>();
  const upkeep = new Upkeep({
    store,
    files,
    uploads: new Uploads(folder, files, realDisk),
    clock,
    retention: () => ({ ...KEPT, bytes }),
    liveVersions: () => {
      passed.resolve();
      return [];
    },
    onError: (_message, error) => assert.fail(String(error)),
  });
  const pass = async () => {
    passed = Promise.withResolvers();
    upkeep.start();
    await passed.promise;
    return (await readdir(folder)).sort();
  };
  assert.deepEqual(await pass(), Object.values(runs).sort());
  bytes = 0;
  assert.deepEqual(await pass(), [runs.live, runs.last].sort());
  assert.equal(await store.getRun(runs.old), undefined);
  await upkeep.stop();
  await store.close();
  await rm(folder, { recursive: true });
});

Deno.test("versions of rules are dropped also if saved files cannot be checked", async () => {
  const store = await open();
  const passed = Promise.withResolvers<void>();
  const errors: string[] = [];
  const fail = { sweep: () => Promise.reject(new Error("EMFILE")) };
  const upkeep = new Upkeep({
    ...{ store, files: fail, uploads: fail, clock: new ManualClock(NOW), retention: () => KEPT },
    liveVersions: () => {
      passed.resolve();
      return [];
    },
    onError: (message, error) => errors.push(`${message}: ${error}`),
  });
  upkeep.start();
  await passed.promise;
  await upkeep.stop();
  assert.deepEqual(errors, Array(2).fill("Saved files could not be checked: Error: EMFILE"));
  await store.close();
});

Deno.test("versions of rules stay as long as another replica may have other rules in force", async () => {
  const store = await open();
  await store.putVersions([rule("v1")]);
  await store.putVersions([rule("v2")]);
  const pass = async (isKnown: boolean) => {
    const passed = Promise.withResolvers<void>();
    const nothing = { sweep: () => Promise.resolve() };
    const upkeep = new Upkeep({
      ...{ store, files: nothing, uploads: nothing, clock: new ManualClock(NOW), retention: () => KEPT },
      liveVersions: () => ["v1"],
      knowsLiveVersions: () => {
        passed.resolve();
        return Promise.resolve(isKnown);
      },
      onError: (_message, error) => assert.fail(String(error)),
    });
    upkeep.start();
    await passed.promise;
    await upkeep.stop();
    const found = await Promise.all(["v1", "v2"].map((version) => store.getVersion(version)));
    return found.map((rule) => rule?.version);
  };
  assert.deepEqual(await pass(false), ["v1", "v2"]);
  assert.deepEqual(await pass(true), ["v1", undefined]);
  await store.close();
});

const MB = 1024 * 1024;

/** Accepts events with a body of 10 kB; runs of those whose number is in `finish` end. @returns their runs */
async function fill(store: Store, from: number, to: number, finish: (at: number) => boolean): Promise<string[]> {
  const runs: string[] = [];
  for (let at = from; at < to; at++) {
    const one = arrival(`e${at}`, [candidate({ max: 10_000 })]);
    one.event.data = "x".repeat(10_000);
    const [{ runs: [id] }] = await store.accept([one], [], NOW + at);
    runs.push(id);
    if (!finish(at)) continue;
    await store.claimRuns("me", 10_000, NOW + at);
    await store.recordStep(id, step("a", { output: "y".repeat(100) }), {}, NOW + at);
    await store.finishRun(id, { state: "succeeded", output: "z".repeat(100), spent: 1 }, NOW + at);
  }
  return runs;
}

async function eventIds(store: Store): Promise<string[]> {
  return (await store.listEvents({ limit: 1e6 })).map(({ event }) => event.id).reverse();
}

storeTest("identities are removed when they expire, and only then", async (store) => {
  await send(store, "old");
  await store.accept([arrival("short", [candidate()], 1_000)], [], NOW);
  await send(store, "new", {}, NOW + DAY);
  await pruneAll(store, {}, NOW + 30 * DAY - 1);
  assert.equal((await store.stats()).identities, 2);
  await pruneAll(store, {}, NOW + 30 * DAY);
  assert.equal((await store.stats()).identities, 1);
  assert.equal((await store.stats()).events, 3, "history is not removed by age");
});

Deno.test("by bytes: the oldest part of history is removed first, with its file; counters and identities stay", async () => {
  const disk = new FaultyDisk();
  const store = await open({ disk });
  const runs: string[] = [];
  for (const at of [0, 3, 6]) {
    runs.push(...await fill(store, at, at + 3, () => true));
    await store.checkpoint();
  }
  const parts = () => disk.paths().filter((path) => path.includes("/part-"));
  const [first, ...others] = parts();
  const { historyBytes } = await store.stats();
  await pruneAll(store, { bytes: historyBytes });
  assert.equal(parts().length, 3, "there is space");
  await pruneAll(store, { bytes: historyBytes - 1 });
  assert.deepEqual(parts(), others, first);
  assert.deepEqual(await eventIds(store), ["e3", "e4", "e5", "e6", "e7", "e8"]);
  assert.equal((await store.listRuns({ limit: 99 })).length, 6);
  assert.equal(await store.getRun(runs[0]), undefined);
  assert.equal(await store.replayRun(runs[0], undefined, "anna", NOW), undefined);
  await dropHistory(store);
  const check = async (now: Store) => {
    assert.deepEqual([await eventIds(now), (await now.listRuns({ limit: 9 })).map(({ id }) => id)], [["e8"], [
      runs[8],
    ]]);
    assert.deepEqual((await now.countVerdicts())["shop/pay"], { started: 9 });
    assert.equal((await now.countRuns()).succeeded, 9);
    const { identities, events } = await now.stats();
    assert.deepEqual([identities, events], [9, 1]);
    const again = await send(now, "e0");
    assert.deepEqual([again.delivery, again.runs], ["duplicate", [runs[0]]], "its run is still known");
  };
  await check(store);
  await store.checkpoint();
  await pruneAll(store, { bytes: 0 });
  disk.cut();
  const again = await open({ disk });
  await check(again);
  await again.close();
});

storeTest("live runs, with the events that they need, outlive all history", async (store) => {
  await store.putVersions([rule("v1")]);
  await fill(store, 0, 3, (at) => at === 1);
  await dropHistory(store);
  const live = await store.listRuns({ limit: 9 });
  assert.deepEqual(live.map(({ event }) => [event.id, (event.data as string).length]), [
    ["e2", 10_000],
    ["e1", 10_000],
    ["e0", 10_000],
  ], "e1 is the last one that ended");
  const replayed = (await store.replayRun(live[0].id, undefined, "anna", NOW))!;
  await store.cancelRun(live[0].id, "by anna", NOW);
  await dropHistory(store);
  assert.equal(((await store.getRun(replayed as string))!.run.event.data as string).length, 10_000);
  assert.deepEqual((await store.claimRuns("me", 9, NOW + 9)).map(({ run }) => run.id), [replayed]);
});

storeTest("changes of an event or run whose history was removed do no harm", async (store) => {
  const { runs: [run] } = await send(store, "e1");
  await supersede(store);
  await dropHistory(store);
  await send(store, "e1");
  await store.claimRuns("me", 1, NOW);
  const reply = { status: 200, headers: {}, body: "here" };
  await store.recordStep(run, step("a"), { reply }, NOW);
  await store.finishRun(run, { state: "failed", spent: 1 }, NOW);
  await store.checkpoint();
  const trace = (await store.getRun(run))!;
  assert.deepEqual([trace.run.state, trace.run.event], ["failed", { ...arrival("e1").event, data: null }]);
  assert.deepEqual(await eventIds(store), ["newest"]);
  assert.deepEqual(await store.getReply(arrival("e1").event), reply);
});

Deno.test("above the cap of live state intake is refused; duplicates are answered, existing runs continue", async () => {
  const store = await open();
  await pruneAll(store, { live: 1.5 * MB });
  const refused = fill(store, 0, 600, () => false);
  await assert.rejects(
    refused,
    (error) =>
      error instanceof StoreFullError && error.retryAfter > 0 && /^The store is full: 2 MB of 2 MB/.test(error.message),
  );
  const { bytes, events } = await store.stats();
  assert.ok(bytes > 1.5 * MB && bytes < 1.6 * MB, `${bytes}`);
  await dropHistory(store);
  await pruneAll(store, { live: 1.5 * MB });
  await assert.rejects(send(store, "new"), StoreFullError, "history does not count");
  assert.equal((await send(store, "e0")).delivery, "duplicate");
  const [{ run }] = await store.claimRuns("me", 1, NOW + DAY);
  await store.recordStep(run.id, step("a"), { state: { key: "k", value: 1 } }, NOW);
  for (const { id } of await store.listRuns({ limit: 20 })) await store.cancelRun(id, "by anna", NOW);
  assert.equal((await send(store, "new")).delivery, "accepted", "there is space again");
  assert.ok(events > 100);
  await store.close();
});

Deno.test("history does not count as live state", async () => {
  const store = await open();
  await pruneAll(store, { live: MB });
  await fill(store, 0, 300, () => true);
  assert.ok((await store.stats()).bytes < 0.5 * MB);
  assert.equal((await eventIds(store)).length, 300);
  await store.close();
});

storeTest("the retention setting applies before anything is removed", async (store) => {
  store.retain({ ...RETENTION, live: 1.5 * MB, identities: 60 * DAY });
  await send(store, "e0");
  assert.equal((await send(store, "e0", {}, NOW + 59 * DAY)).delivery, "duplicate");
  assert.equal((await send(store, "e0", {}, NOW + 60 * DAY)).delivery, "accepted");
  await assert.rejects(fill(store, 1, 600, () => false), StoreFullError);
});

storeTest("an expired identity frees its space, in memory and in the store", async (store) => {
  for (let at = 0; at < 1_000; at++) await publish(store, `p${at}`, "paid.in", {});
  await store.checkpoint();
  assert.equal((await store.stats()).identities, 1_000);
  const { bytes } = await store.stats();
  await pruneAll(store, {}, NOW + 31 * DAY);
  assert.equal((await store.stats()).identities, 0);
  assert.ok((await store.stats()).bytes < bytes);
});

storeTest("memory across runs is removed when its ttl is over", async (store) => {
  const run = await startRun(store, "e1");
  for (let at = 0; at < 300; at++) {
    await store.recordStep(run, step(`s${at}`), { state: { key: `k${at}`, value: at, ttl: 1_000 + at } }, NOW);
  }
  await store.recordStep(run, step("ever"), { state: { key: "ever", value: 1 } }, NOW);
  await pruneAll(store, {}, NOW + 1_200);
  const keys = Object.keys(await store.getState(["k0", "k200", "k201", "k299", "ever"], NOW));
  assert.deepEqual(keys.sort(), ["ever", "k201", "k299"]);
  assert.deepEqual(await claimIds(store), []);
});

/** Retention: so many bytes of history, plus thinned parts. */
const CAP = 400_000;

const condition = { kind: "condition", reason: "It was not paid" } as const;

/** Accepts an event that also matches the rule "ops/rare". */
async function sendRare(store: Store, id: string, outcome = candidate({}, "ops/rare").outcome): Promise<string> {
  const [{ runs }] = await store.accept([arrival(id, [{ ...candidate({}, "ops/rare"), outcome }])], [], NOW);
  return runs[0];
}

/** A rule that ran once, and whose condition failed once; it has been removed from the folder. */
async function runRarely(store: Store): Promise<string> {
  await store.putVersions([rule("v1", { id: "ops/rare" })]);
  const run = await sendRare(store, "rare");
  await store.claimRuns("me", 1, NOW);
  await store.recordStep(run, step("tell", { output: "told" }), {}, NOW);
  await store.finishRun(run, { state: "succeeded", output: 7, spent: 1 }, NOW);
  await sendRare(store, "unpaid", condition);
  await store.putVersions([]);
  await store.checkpoint();
  // A second delivery: an amendment in a later part.
  await sendRare(store, "rare");
  await store.checkpoint();
  return run;
}

/** Parts of other rules' history, each of 100 kB and more. */
async function runOthers(store: Store, from: number, count: number): Promise<void> {
  for (let at = from; at < from + count; at++) {
    const one = arrival(`e${at}`);
    one.event.data = "x".repeat(100_000);
    const [{ runs: [run] }] = await store.accept([one], [], NOW + at);
    await store.cancelRun(run, "by anna", NOW + at);
    await store.checkpoint();
  }
}

async function assertShown(store: Store, run: string): Promise<void> {
  const trace = (await store.getRun(run))!;
  assert.deepEqual([trace.run.state, trace.run.output, trace.run.event.data], ["succeeded", 7, { id: "rare" }]);
  assert.deepEqual(trace.steps.map(({ output }) => output), ["told"]);
  assert.deepEqual((await store.listRuns({ rule: "ops/rare", limit: 9 })).map(({ id }) => id), [run]);
  const events = await store.listEvents({ rule: "ops/rare", limit: 9 });
  assert.deepEqual(events.map(({ event, verdicts, deliveries }) => [event.id, verdicts[0].verdict, deliveries]), [
    ["unpaid", condition, 1],
    ["rare", { kind: "started", run }, 2],
  ]);
}

function parts(disk: FaultyDisk): string[] {
  return disk.paths().filter((path) => /\/part-.*sqlite$/.test(path));
}

/** Whether there are two files of one range of frames. */
function hasPairs(disk: FaultyDisk): boolean {
  const ranges = parts(disk).map((path) => path.slice(0, -"-01234567.sqlite".length));
  return new Set(ranges).size < ranges.length;
}

Deno.test("each rule's last run and verdicts stay, with their later changes, however active other rules are", async () => {
  const disk = new FaultyDisk();
  const store = await open({ disk });
  const run = await runRarely(store);
  for (let round = 0; round < 5; round++) {
    await runOthers(store, round * 4, 4);
    await pruneAll(store, { bytes: CAP });
  }
  await assertShown(store, run);
  const { historyBytes, events } = await store.stats();
  assert.ok(historyBytes < CAP && events < 6, "thinned parts are small, the others are removed");
  await dropHistory(store);
  await assertShown(store, run);
  assert.deepEqual((await store.listRuns({ limit: 9 })).map(({ rule }) => rule), ["shop/pay", "ops/rare"]);
  await store.close();
  const again = await open({ disk });
  await assertShown(again, run);
  await again.close();
});

Deno.test("a thinned part is removed when other runs and verdicts are the last ones", async () => {
  const disk = new FaultyDisk();
  const store = await open({ disk });
  const run = await runRarely(store);
  await supersede(store);
  await dropHistory(store);
  const thinned = parts(disk);
  assert.equal(thinned.length, 3);
  await store.cancelRun(await sendRare(store, "rare again"), "by anna", NOW);
  await store.checkpoint();
  await pruneAll(store);
  // "unpaid" is still the last event for which the condition failed.
  assert.deepEqual((await store.listEvents({ rule: "ops/rare", limit: 9 })).map(({ event }) => event.id), [
    "rare again",
    "unpaid",
  ]);
  assert.equal(await store.getRun(run), undefined);
  await sendRare(store, "unpaid again", condition);
  await store.checkpoint();
  await pruneAll(store);
  assert.ok(parts(disk).every((path) => path === thinned[2] || !thinned.includes(path)));
  assert.equal(parts(disk).length, 3);
  await store.close();
});

Deno.test("a damaged part cannot be thinned: it is removed with a warning, the others are thinned", async () => {
  const disk = new FaultyDisk();
  const before = await open({ disk });
  const run = await runRarely(before);
  await supersede(before);
  await before.checkpoint();
  await before.close();
  const [first] = parts(disk);
  const bytes = await disk.read(first);
  bytes[5_000] ^= 1;
  disk.put(first, bytes);
  const warnings: string[] = [];
  const store = await open({ disk, onWarning: (message) => warnings.push(message) });
  await pruneAll(store, { bytes: 0 });
  assert.deepEqual(warnings, [
    `Cannot read ${first.split("/").at(-1)}, which is removed from history with all its content: its checksum differs`,
  ]);
  assert.equal(await store.getRun(run), undefined);
  assert.equal((await store.listRuns({ limit: 9 })).length, 1);
  await store.close();
});

Deno.test("an event and a run in a part that cannot be read count as known, so that their files stay", async () => {
  const disk = new FaultyDisk();
  const before = await open({ disk });
  const run = await startRun(before, "e1");
  await before.finishRun(run, { state: "succeeded", output: null, spent: 1 }, NOW);
  const { event } = (await before.getRun(run))!.run;
  const key = (await before.findEventKey(event))!;
  await before.checkpoint();
  await before.close();
  const [part] = parts(disk);
  const bytes = await disk.read(part);
  bytes[5_000] ^= 1;
  disk.put(part, bytes);
  const warnings: string[] = [];
  const store = await open({ disk, onWarning: (message) => warnings.push(message) });
  assert.deepEqual([await store.hasEvent(key), await store.hasRun(run)], [true, true]);
  assert.deepEqual([await store.hasEvent(key), await store.getRun(run)], [true, undefined]);
  assert.deepEqual([warnings.length, await store.hasEvent("1")], [1, false]);
  await store.close();
});

/** Opens a store and thins its history, until that is done or writes fail. */
async function thin(disk: Disk): Promise<void> {
  const failed = Promise.withResolvers<void>();
  const store = await open({ disk, onWarning: () => failed.resolve() });
  const pruned = pruneAll(store, { bytes: 0 }).catch(() => {});
  await Promise.race([pruned, failed.promise]);
  await store.close();
  await pruned;
}

Deno.test("a power cut at any step of thinning loses no last run or verdict, and leaves one file for each part", async () => {
  const disk = new FaultyDisk();
  const store = await open({ disk });
  const run = await runRarely(store);
  await runOthers(store, 0, 2);
  await publish(store, "end", "paid.in", {});
  disk.cut();
  const whole = new CuttingDisk(disk.copy());
  await thin(whole);
  let pairs = 0;
  for (let cut = 0; cut < whole.steps; cut++) {
    for (const survives of [0, 1]) {
      const copy = disk.copy();
      await thin(new CuttingDisk(copy, cut, () => survives)).catch(() => {});
      copy.cut(() => survives);
      if (hasPairs(copy)) pairs++;
      const again = await open({ disk: copy });
      await assertShown(again, run);
      assert.ok(!hasPairs(copy), `one file for each range after a cut before step ${cut}`);
      await pruneAll(again, { bytes: 0 });
      await assertShown(again, run);
      await again.close();
    }
  }
  assert.ok(pairs > 0, "some cuts leave two files of one range");
});

Deno.test("a kill between the rename and the removal: the catalogue says which file stays", async () => {
  const disk = new FaultyDisk();
  const store = await open({ disk });
  const run = await runRarely(store);
  await supersede(store);
  await store.checkpoint();
  const whole = disk.copy();
  await pruneAll(store, { bytes: 0 });
  await store.close();
  for (const path of parts(whole)) disk.put(path, await whole.read(path));
  assert.equal(parts(disk).length, 6);
  const again = await open({ disk });
  assert.equal(parts(disk).length, 3);
  await assertShown(again, run);
  await again.prune(RETENTION, NOW);
  await send(again, "goes on");
  await again.close();
});
