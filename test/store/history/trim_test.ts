import assert from "node:assert/strict";
import { join } from "node:path";
import { diskError } from "../../faults/simulated_disk.ts";
import { type Catalogue, Part } from "../../../runtime/store/history/catalogue.ts";
import { thinPart } from "../../../runtime/store/history/thin_part.ts";
import { type Kept, nextToTrim } from "../../../runtime/store/history/trim.ts";
import { Archive, eventLine, FOLDER, moreLine, NOW, runId, runLine } from "./helpers.ts";

function keptOf(events: number[], runs: number[] = []): Kept {
  return { events: new Set(events), runs: new Set(runs.map(runId)) };
}

/** Parts of ten events and runs each. */
async function archiveOf(count: number): Promise<{ archive: Archive; parts: Catalogue[] }> {
  const archive = new Archive();
  const parts: Catalogue[] = [];
  for (let part = 0; part < count; part++) {
    for (let key = part * 10 + 1; key <= part * 10 + 10; key++) archive.add(eventLine(key, key), runLine(key, key));
    parts.push(await archive.fold());
  }
  return { archive, parts };
}

Deno.test("the oldest complete part is next, with the kept rows that may be in it", async () => {
  const { parts } = await archiveOf(3);
  const next = (most: number, kept: Kept) => nextToTrim(parts.map((one) => new Part(one)), most, () => kept);
  const bytes = parts.reduce((sum, one) => sum + one.bytes, 0);
  assert.equal(next(bytes, keptOf([1])), undefined);
  assert.deepEqual(next(bytes - 1, keptOf([25, 3], [14, 4])), { part: parts[0], ids: [3, runId(4)] });
  parts[0].thinned = 2;
  assert.deepEqual(next(bytes - 1, keptOf([25])), { part: parts[1], ids: [] });
  parts[1].thinned = parts[2].thinned = 1;
  assert.equal(next(0, keptOf([3, 13, 23])), undefined, "all are thinned");
  assert.deepEqual(next(bytes, keptOf([13, 23])), { part: parts[0], ids: [] }, "it has nothing left to keep");
});

Deno.test("thinned parts leave at least half of the bytes to complete ones", async () => {
  const { parts } = await archiveOf(4);
  for (const part of parts.slice(0, 3)) [part.thinned, part.bytes] = [1, 1_000_000];
  parts[3].bytes = 500;
  const next = (most: number) => nextToTrim(parts.map((one) => new Part(one)), most, () => keptOf([1, 11, 21]));
  assert.equal(next(1_000), undefined);
  assert.equal(next(999)?.part, parts[3]);
});

Deno.test("a part is thinned again once less than half of it is kept", async () => {
  const { parts: [part] } = await archiveOf(1);
  part.thinned = 4;
  const next = (kept: Kept) => nextToTrim([new Part(part)], 1e9, () => kept);
  assert.equal(next(keptOf([1, 2])), undefined);
  assert.deepEqual(next(keptOf([1])), { part, ids: [1] });
});

Deno.test("a thinned part keeps its events and runs, with changes of them and of older ones", async () => {
  const archive = new Archive();
  archive.add(eventLine(1, 1), runLine(1, 1));
  await archive.fold();
  const note = (seq: number, text: string) => moreLine(seq, runId(2), { note: { at: NOW, text } });
  archive.add(eventLine(2, 2), eventLine(2, 3), runLine(2, 2, { state: "failed" }), note(3, "old"), eventLine(3, 4));
  archive.add(runLine(4, 2, { notes: ["whole"] }), runLine(4, 3), note(5, "later"), moreLine(5, 4, { deliveries: 1 }));
  archive.add(moreLine(6, 1, { deliveries: 1 }), runLine(7, 4));
  const part = await archive.fold();
  const shown = async () => ({
    events: await Promise.all([1, 2, 4].map((key) => archive.history.getEvent(key))),
    run: await archive.history.getRun(runId(2)),
  });
  const before = await shown();
  const ids = [1, 4, 2, runId(2), 99, runId(99)];
  const { result } = await thinPart(archive.disk, FOLDER, { file: part.file, ids });
  assert.ok(result.kind === "thinned");
  const { catalogue } = result;
  assert.deepEqual([catalogue.thinned, catalogue.events.count, catalogue.runs.count], [4, 2, 1]);
  assert.deepEqual([catalogue.first, catalogue.last], [part.first, part.last]);
  await archive.disk.remove(join(FOLDER, part.file));
  archive.history.addPart(catalogue);
  assert.deepEqual(await shown(), before);
  assert.equal(await archive.history.getEvent(3), undefined);
  assert.equal((await archive.history.listRuns({ limit: 9 })).rows.length, 2);
  assert.deepEqual(archive.warnings, []);
});

Deno.test("nothing to keep and an unreadable part are reported as results", async () => {
  const { archive, parts: [{ file }] } = await archiveOf(1);
  const thinned = async () => (await thinPart(archive.disk, FOLDER, { file, ids: [99] })).result;
  assert.deepEqual(await thinned(), { kind: "nothing" });
  const { read } = archive.disk;
  archive.disk.read = (path) => Promise.reject(diskError("EMFILE", path));
  await assert.rejects(thinned(), { code: "EMFILE" });
  archive.disk.read = read;
  const bytes = await archive.disk.read(join(FOLDER, file));
  bytes[9_000] ^= 1;
  archive.disk.put(join(FOLDER, file), bytes);
  assert.deepEqual(await thinned(), { kind: "damaged", reason: "its checksum differs" });
  await archive.disk.remove(join(FOLDER, file));
  assert.deepEqual(await thinned(), { kind: "nothing" });
});
