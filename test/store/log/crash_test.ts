import assert from "node:assert/strict";
import fc from "fast-check";
import type { Disk } from "../../../runtime/host/disk.ts";
import { foldSegment } from "../../../runtime/store/log/fold.ts";
import type { SegmentLog } from "../../../runtime/store/log/segment_log.ts";
import { FaultyDisk } from "../../faults/faulty_disk.ts";
import { CuttingDisk, PowerCut } from "./cutting_disk.ts";
import { foldAll, FOLDER, hooks, names, openLog, recovered } from "./helpers.ts";
import { appendSegments, check, frameText, merge } from "./workload.ts";

/** How much of the unsynced data survives: nothing, everything, changing parts. */
const SURVIVORS: (() => () => number)[] = [
  () => () => 0,
  () => () => 1,
  () => {
    let calls = 0;
    return () => [0.5, 0, 1, 0.3, 0.8][calls++ % 5];
  },
];

/**
 * Cuts the power before each step of some work, on copies of a disk. After each cut the state must equal the model, accept
 * worked on, and has no leftovers.
 * @returns how many steps there were
 */
async function cutEverywhere(start: FaultyDisk, seq: number, work: (disk: Disk) => Promise<void>): Promise<number> {
  const whole = new CuttingDisk(start.copy());
  await work(whole);
  for (let step = 0; step < whole.steps; step++) {
    for (const survivors of SURVIVORS) {
      const disk = start.copy();
      await work(new CuttingDisk(disk, step, survivors())).catch(onlyPowerCuts);
      assert.deepEqual(await check(disk, seq), [], `cut before step ${step}`);
      await foldAll(disk);
      await merge(disk);
      assert.deepEqual(await check(disk, seq), []);
      assert.ok((await names(disk)).every((name) => !/^log|tmp$|aside/.test(name)));
    }
  }
  assert.equal(await check(whole.disk, seq).then((warnings) => warnings.length), 0);
  return whole.steps;
}

/** A removal that fails is no error. */
function onlyPowerCuts(error: unknown): void {
  assert.match(String(error), /the power was cut/);
}

/** Two bases, a delta after each. */
async function mergedTwice(): Promise<{ disk: FaultyDisk; seq: number }> {
  const disk = new FaultyDisk();
  let seq = 0;
  for (const lengths of [[7, 5], [6, 4], [5]]) {
    seq = await appendSegments(disk, seq, lengths);
    await foldAll(disk);
    if (lengths.length > 1) await merge(disk);
  }
  disk.cut(() => 1);
  return { disk, seq };
}

Deno.test("a power cut at any step of a fold loses nothing", async () => {
  const { disk, seq } = await mergedTwice();
  const last = await appendSegments(disk, seq, [6, 3]);
  const steps = await cutEverywhere(disk.copy(), last, async (cutting) => {
    const segments = [
      { name: "log-000000000028", firstSeq: 28, lastSeq: 33, bytes: 0 },
      { name: "log-000000000034", firstSeq: 34, lastSeq: 36, bytes: 0 },
    ];
    for (const segment of segments) await foldSegment(cutting, FOLDER, segment, hooks);
  });
  assert.ok(steps >= 30);
});

Deno.test("a power cut at any step of a merge and its removals loses nothing", async () => {
  const { disk, seq } = await mergedTwice();
  const steps = await cutEverywhere(disk, seq, async (cutting) => void await merge(cutting));
  assert.ok(steps >= 15);
});

Deno.test("a power cut at any step of the first merge loses nothing", async () => {
  const disk = new FaultyDisk();
  const seq = await appendSegments(disk, 0, [9, 8]);
  await foldAll(disk);
  disk.cut(() => 1);
  await cutEverywhere(disk, seq, async (cutting) => void await merge(cutting));
});

Deno.test("a power cut at any step of a start loses nothing", async () => {
  const { disk, seq } = await mergedTwice();
  // A merge and a fold that were interrupted before their removals, a draft.
  const before = disk.copy();
  const last = await appendSegments(before, seq, [4]);
  const segment = await before.read(`${FOLDER}/log-000000000028`);
  await foldAll(before);
  await merge(before);
  for (const [path, bytes] of disk.contents()) before.put(path, bytes);
  before.put(`${FOLDER}/log-000000000028`, segment);
  before.put(`${FOLDER}/delta-000000000099-000000000100.tmp`, segment);
  await cutEverywhere(before, last, async (cutting) => void await recovered(cutting));
});

Deno.test("a power cut at any step of a set-aside leaves no partial state", async () => {
  const { disk, seq } = await mergedTwice();
  await appendSegments(disk, seq, [4, 4]);
  disk.put(`${FOLDER}/log-000000000028`, new Uint8Array(100));
  const whole = new CuttingDisk(disk.copy());
  await recovered(whole);
  for (let step = 0; step < whole.steps; step++) {
    for (const survivors of SURVIVORS) {
      const copy = disk.copy();
      await assert.rejects(recovered(new CuttingDisk(copy, step, survivors())), PowerCut);
      const found = await recovered(copy);
      assert.deepEqual([found.seq, found.sink.rows.size, found.sink.ids.size, found.parts], [0, 0, 0, []]);
    }
  }
});

Deno.test("a power cut at any moment of writing, folding and merging: every frame that was acknowledged is there", async () => {
  const operation = fc.constantFrom("append", "append", "append", "seal", "fold", "merge", "restart");
  await fc.assert(
    fc.asyncProperty(
      fc.array(operation, { minLength: 1, maxLength: 40 }),
      fc.nat(150),
      fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 5 }),
      async (operations, cutBefore, parts) => {
        const disk = new FaultyDisk();
        let survived = 0;
        const cutting = new CuttingDisk(disk, cutBefore, () => parts[survived++ % parts.length]);
        const acknowledged = await execute(operations, cutting);
        disk.cut(cutting.survives);
        const { seq } = await recovered(disk);
        assert.ok(seq === acknowledged || seq === acknowledged + 1, `${seq}, ${acknowledged}`);
        await check(disk, seq);
      },
    ),
    { numRuns: 150 },
  );
});

/** Appends during folds and merges. @returns the last frame that was acknowledged */
async function execute(operations: string[], disk: CuttingDisk): Promise<number> {
  let acknowledged = 0;
  let log = openLog(disk);
  // One at a time, in order; after a cut nothing follows.
  let background = Promise.resolve();
  let isCut = false;
  const inBackground = (work: () => Promise<unknown>) => {
    background = background.then(() => isCut ? undefined : work()).then(() => {}, (error) => {
      isCut = true;
      onlyPowerCuts(error);
    });
  };
  try {
    for (const operation of operations) {
      if (operation === "append") {
        // Once the power is cut no attempt succeeds.
        log.stop();
        await log.append(frameText(acknowledged + 1));
        acknowledged++;
      } else if (operation === "seal") await log.seal();
      else if (operation === "merge") inBackground(() => merge(disk));
      else if (operation === "fold") inBackground(() => foldOldest(log, disk));
      else {
        await background;
        const { seq, segments } = await recovered(disk);
        log = openLog(disk, seq);
        for (const segment of segments) await foldSegment(disk, FOLDER, segment, hooks);
      }
    }
  } catch (error) {
    onlyPowerCuts(error);
  }
  await background;
  return acknowledged;
}

async function foldOldest(log: SegmentLog, disk: Disk): Promise<void> {
  const [segment] = log.sealed;
  if (!segment) return;
  await foldSegment(disk, FOLDER, segment, hooks);
  log.forget(segment);
}
