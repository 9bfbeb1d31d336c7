import fc from "fast-check";
import assert from "node:assert/strict";
import type { Disk } from "../../../runtime/host/disk.ts";
import { generationOf, NewerFormatError, OlderStoreError, sortFiles } from "../../../runtime/store/log/files.ts";
import { foldSegment } from "../../../runtime/store/log/fold.ts";
import { encodeHead } from "../../../runtime/store/log/log_frame.ts";
import { recover } from "../../../runtime/store/log/recover.ts";
import type { SegmentLog } from "../../../runtime/store/log/segment_log.ts";
import { FaultyDisk } from "../../faults/faulty_disk.ts";
import { CuttingDisk, PowerCut } from "./cutting_disk.ts";
import { foldAll, FOLDER, hooks, names, openLog, recovered, TestSink } from "./helpers.ts";
import { appendSegments, check, frameText, merge } from "./workload.ts";

const DROPPED = /^The last \d+ bytes of log-\d+ are not a whole commit and were dropped/;
const SET_ASIDE = /^THE STORE IS DAMAGED AND WAS SET ASIDE/;

/** Two bases, deltas after each, unfolded segments. */
async function fullDisk(): Promise<{ disk: FaultyDisk; seq: number }> {
  const disk = new FaultyDisk();
  let seq = 0;
  for (let round = 0; round < 3; round++) {
    seq = await appendSegments(disk, seq, [4, 3]);
    await foldAll(disk);
    if (round < 2) await merge(disk);
  }
  seq = await appendSegments(disk, seq, [3, 2]);
  return { disk, seq };
}

async function damage(disk: FaultyDisk, part: string, change: (bytes: Uint8Array) => Uint8Array | void) {
  const path = disk.paths().find((path) => path.includes(part))!;
  const bytes = await disk.read(path);
  disk.put(path, change(bytes) ?? bytes);
}

function flip(at: number, bit = 0): (bytes: Uint8Array) => void {
  return (bytes) => void (bytes[Math.floor(at * bytes.length)] ^= 1 << bit);
}

/** The store is empty, and everything was set aside. */
async function assertSetAside(disk: FaultyDisk): Promise<string> {
  const { seq, sink, warnings, segments, parts, base } = await recovered(disk);
  assert.deepEqual([seq, sink.rows.size, sink.ids.size, sink.lines, segments, parts, base], [
    0,
    0,
    0,
    [],
    [],
    [],
    undefined,
  ]);
  assert.match(warnings[0], SET_ASIDE);
  assert.deepEqual(await names(disk), []);
  return warnings[0];
}

Deno.test("an empty folder is an empty store", async () => {
  const { seq, segments, deltas, parts, warnings } = await recovered(new FaultyDisk());
  assert.deepEqual([seq, segments, deltas, parts, warnings], [0, [], [], [], []]);
});

Deno.test("base, deltas, ids files and unfolded segments give the last commit", async () => {
  const { disk, seq } = await fullDisk();
  assert.deepEqual(await check(disk, seq), []);
  const { segments, base, deltas } = await recovered(disk);
  assert.deepEqual(segments.map(({ firstSeq, lastSeq }) => [firstSeq, lastSeq]), [[22, 24], [25, 26]]);
  const short = (files: { name: string }[]) => files.map(({ name }) => name.replace(/-[0-9a-f]{8}\.sqlite/, ""));
  assert.deepEqual(short([base!, ...deltas]), [
    ...["base-000000000014", "delta-000000000015-000000000018", "delta-000000000019-000000000021"],
  ]);
  const files = sortFiles(await disk.list(FOLDER));
  assert.deepEqual(short(generationOf(files, files.bases.at(-1)).ids), [
    ...["ids-000000000001-000000000014", "ids-000000000015-000000000018", "ids-000000000019-000000000021"],
  ]);
  for (const { name, bytes } of [base!, ...deltas]) {
    assert.equal((await disk.read(`${FOLDER}/${name}`)).length, bytes);
  }
});

Deno.test("a last frame that is cut at any byte is dropped with a warning", async () => {
  const disk = new FaultyDisk();
  const log = openLog(disk);
  const path = `${FOLDER}/log-000000000001`;
  await log.append(frameText(1));
  await log.append(frameText(2));
  const start = log.bytes;
  await log.append(frameText(3));
  disk.cut();
  const bytes = await disk.read(path);
  for (let length = start; length < bytes.length; length++) {
    const torn = disk.copy();
    torn.put(path, bytes.subarray(0, length));
    const warnings = await check(torn, 2);
    assert.equal((await torn.read(path)).length, start);
    assert.equal(warnings.length, length === start ? 0 : 1);
    if (length > start) assert.match(warnings[0], DROPPED);
  }
});

Deno.test("a last segment without a whole frame is removed", async () => {
  const head = encodeHead(3, 1);
  for (const [length, count] of [[0, 0], [13, 1], [head.length, 0]]) {
    const disk = new FaultyDisk();
    await appendSegments(disk, 0, [2]);
    disk.put(`${FOLDER}/log-000000000003`, head.subarray(0, length));
    assert.equal((await check(disk, 2)).length, count);
    assert.deepEqual(await names(disk), ["log-001"]);
  }
});

Deno.test("any flipped bit in any file: the last commit, or everything set aside, never half", async () => {
  const { disk: whole, seq } = await fullDisk();
  const paths = whole.paths().filter((path) => !path.includes("part"));
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...paths),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      fc.nat(7),
      async (path, at, bit) => {
        const disk = whole.copy();
        await damage(disk, path, flip(at, bit));
        const copy = disk.copy();
        const { seq: found, sink, warnings } = await recovered(copy);
        if (found === 0) {
          assert.ok(sink.rows.size === 0 && sink.ids.size === 0 && SET_ASIDE.test(warnings[0]));
          return;
        }
        // A flip within the very last frame looks like a torn write.
        const isTorn = found === seq - 1 && path === paths.filter((name) => name.includes("log")).at(-1);
        assert.equal(isTorn && DROPPED.test(warnings[0]), found !== seq);
        assert.ok(isTorn || warnings.length < 2);
        await check(disk, found);
        assert.deepEqual(await check(copy, found), []);
      },
    ),
    { numRuns: 150 },
  );
});

Deno.test("any cut file: the last commit, or everything set aside, never half", async () => {
  const { disk: whole, seq } = await fullDisk();
  for (const path of whole.paths().filter((path) => !/part|log-000000000025/.test(path))) {
    for (const at of [0, 0.3, 0.999]) {
      const disk = whole.copy();
      await damage(disk, path, (bytes) => bytes.subarray(0, Math.floor(at * bytes.length)));
      const { seq: found, sink } = await recovered(disk.copy());
      if (found === 0) assert.equal(sink.rows.size, 0);
      else await check(disk, seq);
    }
  }
});

for (const part of ["base-000000000014", "ids-000000000001-000000000014"]) {
  Deno.test(`a damaged ${part}: the base before it gives the last commit`, async () => {
    const { disk, seq } = await fullDisk();
    await damage(disk, part, flip(0.5));
    const [warning, ...others] = await check(disk, seq);
    assert.match(warning, new RegExp(`^The store had to be recovered from base-000000000007: ${part}.* is damaged`));
    assert.deepEqual(others, []);
    const left = await names(disk);
    assert.deepEqual(["base-014", "ids-001-014"].filter((name) => left.includes(name)), []);
    await foldAll(disk);
    await merge(disk);
    assert.deepEqual(await check(disk, seq), []);
  });
}

Deno.test("a damaged first base: the deltas alone give the last commit", async () => {
  const disk = new FaultyDisk();
  const seq = await appendSegments(disk, 0, [4, 3]);
  await foldAll(disk);
  await merge(disk);
  await damage(disk, "base", () => new Uint8Array(9));
  assert.match((await check(disk, seq))[0], /recovered from its deltas and log/);
});

Deno.test("a damaged base made of one delta: the delta alone gives the last commit", async () => {
  const disk = new FaultyDisk();
  const seq = await appendSegments(disk, 0, [2]);
  await foldAll(disk);
  await merge(disk);
  await damage(disk, "base", () => new Uint8Array(9));
  assert.match((await check(disk, seq))[0], /recovered from its deltas and log/);
  assert.deepEqual(await names(disk), ["delta-001-002", "ids-001-002", "part-001-002"]);
});

Deno.test("a damaged delta after the newest base: everything is set aside", async () => {
  const { disk } = await fullDisk();
  await damage(disk, "delta-000000000015", flip(0.5));
  assert.match(await assertSetAside(disk), /delta-000000000015-000000000018 is damaged/);
  assert.ok(disk.paths().every((path) => path.startsWith(`${FOLDER}/set-aside-2026-01-05T12-00-00-000Z/`)));
});

Deno.test("a missing file is damage", async () => {
  for (const part of ["delta-000000000015", "delta-000000000019", "ids-000000000019", "log-000000000022"]) {
    const { disk } = await fullDisk();
    await disk.remove(disk.paths().find((path) => path.includes(part))!);
    assert.match(await assertSetAside(disk), /missing|ends at frame/);
  }
});

Deno.test("damage before the last frame of the log: everything is set aside", async () => {
  const { disk } = await fullDisk();
  await damage(disk, "log-000000000025", flip(0.3));
  assert.match(await assertSetAside(disk), /log-000000000025 is damaged at byte \d+, where frame 25 should begin/);
});

Deno.test("a row that cannot be loaded is damage", async () => {
  const disk = new FaultyDisk();
  await appendSegments(disk, 0, [2]);
  let attempts = 0;
  const warnings: string[] = [];
  const { seq } = await recover({
    disk,
    folder: FOLDER,
    now: 0,
    onWarning: (message) => warnings.push(message),
    begin: () => {
      const sink = new TestSink();
      if (attempts++ === 0) sink.put = () => assert.fail("not like this");
      return sink;
    },
    readIds: () => {},
  });
  assert.equal(seq, 0);
  assert.match(warnings[0], /log-000000000001 cannot be read: AssertionError.*not like this/);
});

Deno.test("an internal error while ids files are read leaves the store as it is", async () => {
  const { disk } = await fullDisk();
  const before = disk.paths();
  const readIds = () => Promise.reject(new Error("the background thread ended"));
  const options = { disk, folder: FOLDER, now: 0, onWarning: assert.fail, begin: () => new TestSink(), readIds };
  await assert.rejects(recover(options), /the background thread ended/);
  assert.deepEqual(disk.paths(), before);
});

Deno.test("leftovers are removed: drafts, covered segments, parts and ids files without their delta", async () => {
  const { disk, seq } = await fullDisk();
  const before = await names(disk);
  const leftovers = ["base-000000000099.tmp", "log-000000000019", "part-000000000022-000000000024-00000000.sqlite"];
  for (
    const name of [...leftovers, "ids-000000000022-000000000024-00000000.sqlite", "delta-000000000001-000000000004"]
  ) {
    disk.put(`${FOLDER}/${name}`, new Uint8Array(9));
  }
  disk.put(`${FOLDER}/address.tmp`, new Uint8Array(1));
  assert.deepEqual(await check(disk, seq), []);
  assert.deepEqual(await names(disk), ["address.tmp", ...before]);
});

Deno.test("a store of a newer version is refused and left as it is", async () => {
  const { disk, seq } = await fullDisk();
  disk.put(`${FOLDER}/log-${String(seq + 1).padStart(12, "0")}`, encodeHead(seq + 1, 99));
  const before = disk.contents();
  await assert.rejects(recovered(disk), NewerFormatError);
  await assert.rejects(recovered(disk), /format version 99, this program knows versions up to 1/);
  assert.deepEqual(disk.contents(), before);
});

Deno.test("a store from before the format had a version is refused and left as it is", async () => {
  for (const name of ["checkpoint-000000000004-1a2b3c4d.sqlite", "journal-000000000001"]) {
    const disk = new FaultyDisk();
    disk.put(`${FOLDER}/${name}`, new Uint8Array(1));
    await assert.rejects(recovered(disk), OlderStoreError);
    await assert.rejects(recovered(disk), /move the folder away, or start with another --data folder$/);
    assert.deepEqual(disk.paths(), [`${FOLDER}/${name}`]);
  }
});

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
