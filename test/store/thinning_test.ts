import assert from "node:assert/strict";
import type { Disk } from "../../runtime/host/disk.ts";
import type { Store } from "../../runtime/store/store.ts";
import { FaultyDisk } from "../faults/faulty_disk.ts";
import {
  arrival,
  candidate,
  dropHistory,
  NOW,
  open,
  pruneAll,
  publish,
  RETENTION,
  rule,
  send,
  step,
  supersede,
} from "./helpers.ts";
import { CuttingDisk } from "./log/cutting_disk.ts";

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
