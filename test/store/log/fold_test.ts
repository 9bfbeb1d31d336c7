import assert from "node:assert/strict";
import { readBlocks } from "../../../runtime/store/log/blocks.ts";
import { mergeDue, mergeFiles } from "../../../runtime/store/log/merge.ts";
import { DamagedError } from "../../../runtime/store/log/files.ts";
import { foldSegment } from "../../../runtime/store/log/fold.ts";
import { diskError } from "../../faults/simulated_disk.ts";
import { FaultyDisk } from "../../faults/faulty_disk.ts";
import { EXPIRY, foldAll, FOLDER, hooks, names, partLines, recovered, writeSegment } from "./helpers.ts";
import { appendSegments, check, merge } from "./workload.ts";

/** The lines of all blocks of a file. */
async function blockLines(disk: FaultyDisk, name: string): Promise<string[]> {
  const lines: string[] = [];
  for await (const { body } of readBlocks(await disk.open(`${FOLDER}/${name}`), name)) {
    lines.push(...body.toString().split("\n").slice(0, -1));
  }
  return lines;
}

/** Folds segments with these frames. @returns the lines of each delta */
async function deltas(...segments: string[][]): Promise<string[][]> {
  const disk = new FaultyDisk();
  let first = 1;
  const found: string[][] = [];
  for (const frames of segments) {
    await writeSegment(disk, first, frames);
    await foldAll(disk);
    first += frames.length;
    found.push(await blockLines(disk, (await disk.list(FOLDER)).filter((name) => /^delta/.test(name)).sort().at(-1)!));
  }
  return found;
}

Deno.test("a delta has the last put or drop of each key, in order", async () => {
  const frames = ["b/1\t1\nb/1\t2\na/1\t1\n", "b/1\t\n", "a/1\t\na/1\t3\nc/1\t\n"];
  assert.deepEqual(await deltas(frames), [["a/1\t3", "b/1\t", "c/1\t"]]);
});

Deno.test("a row created and dropped in one segment leaves nothing; put again, it stays", async () => {
  assert.deepEqual(await deltas(["run*/a\t1\nrun*/b\t1\n", "run/a\t2\nrun/a\t\nrun/b\t\n", "run/b\t3\n"]), [[
    "run/b\t3",
  ]]);
});

Deno.test("a drop across segments stays: only the first entry shows whether a key is new", async () => {
  const segments = [["run*/a\t1\n"], ["run/a\t\nrun*/a\t2\nrun/a\t\n"], ["run*/a\t3\nrun/a\t\n"]];
  assert.deepEqual(await deltas(...segments), [["run/a\t1"], ["run/a\t"], []]);
});

Deno.test("a drop of a key that only the base has removes it from the next base", async () => {
  const disk = new FaultyDisk();
  await writeSegment(disk, 1, ["state/a\t1\nstate/b\t1\n"]);
  await foldAll(disk);
  await merge(disk);
  await writeSegment(disk, 2, ["state/a\t\n"]);
  await foldAll(disk);
  await merge(disk);
  assert.deepEqual(await blockLines(disk, "base-000000000002"), ["state/b\t1"]);
  assert.deepEqual([...(await recovered(disk)).sink.rows], [["state/b", "1"]]);
});

Deno.test("a part has the history in order; an event without a text uses that of its row", async () => {
  const disk = new FaultyDisk();
  const frame = [
    'event*/0000000000000007\t{"e":7}\n+event\t[7,1]\t\n+more\t["event",7]\t{"deliveries":1}\n',
    '+event\t[8,1]\t{"e":8}\n+run\t["x"]\t{"r":1}\nevent/0000000000000007\t\n',
  ];
  await writeSegment(disk, 1, frame);
  const [segment] = (await recovered(disk)).segments;
  const { catalogue } = await foldSegment(disk, FOLDER, segment, hooks);
  const part = disk.paths().find((path) => path.includes("/part-"))!;
  assert.deepEqual(partLines(await disk.read(part)), [
    ["event", "[7,1]", '{"e":7}'],
    ["more", '["event",7]', '{"deliveries":1}'],
    ["event", "[8,1]", '{"e":8}'],
    ["run", '["x"]', '{"r":1}'],
  ]);
  assert.deepEqual(catalogue, { lines: 4 });
});

Deno.test("an event without a text whose row is not in the frame is not folded", async () => {
  const disk = new FaultyDisk();
  await writeSegment(disk, 1, ["event*/0000000000000007\t{}\n", "+event\t[7,1]\t\n"]);
  const segment = { name: "log-000000000001", firstSeq: 1, lastSeq: 2, bytes: 0 };
  await assert.rejects(
    foldSegment(disk, FOLDER, segment, hooks),
    /event\/0000000000000007 is not put before its event/,
  );
  assert.deepEqual(await names(disk), ["log-001"]);
});

Deno.test("a repeated fold writes the same files", async () => {
  const disk = new FaultyDisk();
  await appendSegments(disk, 0, [20]);
  const again = disk.copy();
  await foldAll(disk);
  await foldAll(again);
  assert.deepEqual(disk.contents(), again.contents());
});

Deno.test("a fold whose reply was lost is done: a repeated request gets the same reply, and the segment is removed", async () => {
  for (const isThere of [false, true]) {
    const disk = new FaultyDisk();
    await appendSegments(disk, 0, [20]);
    const { segments: [segment] } = await recovered(disk);
    const path = `${FOLDER}/${segment.name}`;
    const bytes = await disk.read(path);
    const folded = await foldSegment(disk, FOLDER, segment, hooks);
    if (isThere) disk.put(path, bytes);
    assert.deepEqual(await foldSegment(disk, FOLDER, segment, hooks), folded);
    assert.deepEqual(await names(disk), ["delta-001-020", "ids-001-020", "part-001-020"]);
  }
});

Deno.test("folds keep their order, and a damaged segment is not folded", async () => {
  const disk = new FaultyDisk();
  await appendSegments(disk, 0, [5, 5]);
  const [first, second] = (await recovered(disk)).segments;
  await assert.rejects(foldSegment(disk, FOLDER, second, hooks), /frames from 1 to 5 come first/);
  disk.put(`${FOLDER}/${first.name}`, (await disk.read(`${FOLDER}/${first.name}`)).subarray(0, first.bytes - 1));
  await assert.rejects(foldSegment(disk, FOLDER, first, hooks), DamagedError);
  assert.deepEqual(await names(disk), ["log-001", "log-006"]);
});

Deno.test("a fold or merge that cannot be written does no harm and can be repeated", async () => {
  const disk = new FaultyDisk();
  const seq = await appendSegments(disk, 0, [5]);
  const { segments: [segment] } = await recovered(disk);
  disk.failWrites = "ENOSPC";
  await assert.rejects(foldSegment(disk, FOLDER, segment, hooks), { code: "ENOSPC" });
  disk.failWrites = undefined;
  assert.deepEqual(await names(disk), ["log-001"]);
  await foldSegment(disk, FOLDER, segment, hooks);
  disk.failSyncs = "EIO";
  await assert.rejects(merge(disk), { code: "EIO" });
  disk.failSyncs = undefined;
  assert.deepEqual(await check(disk, seq), []);
  await merge(disk);
  assert.deepEqual(await check(disk, seq), []);
});

Deno.test("a file whose name could not be synced does not count", async () => {
  const disk = new FaultyDisk();
  await appendSegments(disk, 0, [5]);
  const { segments: [segment] } = await recovered(disk);
  disk.syncFolder = () => Promise.reject(diskError("EIO", FOLDER));
  await assert.rejects(foldSegment(disk, FOLDER, segment, hooks), { code: "EIO" });
  assert.deepEqual(await names(disk), ["log-001"]);
});

Deno.test("two bases stay, with the deltas after the older one; ids files are merged without expired entries", async () => {
  const disk = new FaultyDisk();
  let seq = 0;
  for (let round = 0; round < 3; round++) {
    seq = await appendSegments(disk, seq, [3, 3]);
    await foldAll(disk);
    await merge(disk);
  }
  const kept = (await names(disk)).filter((name) => !name.startsWith("part"));
  assert.deepEqual(kept, [
    ...["base-012", "base-018", "delta-013-015", "delta-016-018"],
    ...["ids-001-012", "ids-001-018", "ids-013-015", "ids-016-018"],
  ]);
  const { sink } = await recovered(disk);
  assert.ok([...sink.ids.values()].every((text) => JSON.parse(text)[1] === EXPIRY.now));
  assert.equal(await merge(disk), undefined, "nothing is left to merge");
});

Deno.test("a merge skips a damaged base", async () => {
  const disk = new FaultyDisk();
  let seq = 0;
  for (const isMerged of [true, true, false]) {
    seq = await appendSegments(disk, seq, [4]);
    await foldAll(disk);
    if (isMerged) await merge(disk);
  }
  disk.put(`${FOLDER}/base-000000000008`, new Uint8Array(50));
  assert.equal((await mergeFiles(disk, FOLDER, EXPIRY, hooks))!.base.name, "base-000000000012");
  assert.deepEqual((await names(disk)).filter((name) => /^base/.test(name)), ["base-004", "base-012"]);
  assert.deepEqual(await check(disk, seq), []);
});

Deno.test("a merge is due by bytes, in proportion to the base, or by files", () => {
  const file = (bytes: number) => ({ name: "", bytes });
  const mb = 1024 * 1024;
  assert.equal(mergeDue(undefined, [file(32 * mb)]), false);
  assert.equal(mergeDue(undefined, [file(32 * mb), file(1)]), true);
  assert.equal(mergeDue(file(100 * mb), [file(50 * mb)]), false);
  assert.equal(mergeDue(file(100 * mb), [file(50 * mb), file(1)]), true);
  assert.equal(mergeDue(undefined, Array(127).fill(file(1))), false);
  assert.equal(mergeDue(undefined, Array(128).fill(file(1))), true);
});
