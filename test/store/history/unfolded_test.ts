import assert from "node:assert/strict";
import { join } from "node:path";
import { openHistory, openIds } from "../../../runtime/store/background.ts";
import { Part } from "../../../runtime/store/history/catalogue.ts";
import type { Catalogue } from "../../../runtime/store/ledger/tables.ts";
import { mergeIds, PackedIdentities, readIds } from "../../../runtime/store/history/ids_file.ts";
import { type Kept, nextToTrim, thinPart } from "../../../runtime/store/history/trim.ts";
import { Unfolded, type UnfoldedView } from "../../../runtime/store/history/unfolded.ts";
import { diskError } from "../../faults/simulated_disk.ts";
import { Archive, eventLine, FOLDER, type Line, makePart, moreLine, NOW, runId, runLine } from "./helpers.ts";

function add(recent: Unfolded, ...lines: Line[]): void {
  for (const { seq, table, header, text } of lines) recent.add(seq, table, JSON.stringify(header), text);
}

const keys = (view: UnfoldedView) => [...view.eventsBefore()].map((line) => line.header()[0]);
const runs = (view: UnfoldedView) => [...view.runsBefore()].map((line) => [line.header()[0], line.header()[2]]);

Deno.test("a view has the frames after one and up to another", () => {
  const recent = new Unfolded();
  add(
    recent,
    eventLine(1, 10),
    eventLine(2, 11),
    eventLine(2, 12),
    eventLine(3, 13),
    moreLine(1, 10, 1),
    moreLine(3, 10, 2),
  );
  assert.deepEqual(keys(recent.view(0, recent.lastSeq)), [13, 12, 11, 10]);
  const view = recent.view(1, 2);
  assert.deepEqual(keys(view), [12, 11]);
  assert.deepEqual([...view.eventsBefore(12)].map((line) => line.header()[0]), [11]);
  assert.deepEqual([...view.eventsAfter(11)].map((line) => line.header()[0]), [12]);
  assert.deepEqual([10, 11, 12, 13, 14].map((key) => view.event(key)?.seq), [undefined, 2, 2, undefined, undefined]);
  assert.deepEqual(view.more(10), []);
  assert.deepEqual(recent.view(0, 3).more(10).map(({ text }) => text), ["1", "2"]);
});

Deno.test("runs are in order of creation, whatever the order of their ends, each with its last end", () => {
  const recent = new Unfolded();
  add(recent, runLine(1, 3), runLine(2, 1, { state: "failed" }), runLine(3, 2), runLine(4, 1));
  assert.deepEqual(runs(recent.view(0, 3)), [[runId(3), "succeeded"], [runId(2), "succeeded"], [runId(1), "failed"]]);
  add(recent, runLine(5, 5), runLine(6, 4));
  assert.deepEqual(runs(recent.view(0, 6)).map(([id]) => id), [5, 4, 3, 2, 1].map(runId));
  assert.deepEqual(runs(recent.view(0, 6)).at(-1), [runId(1), "succeeded"]);
  assert.deepEqual([...recent.view(0, 6).runsBefore(runId(3))].map((line) => line.header()[0]), [2, 1].map(runId));
});

Deno.test("folded frames are dropped, but stay in an open view", () => {
  const recent = new Unfolded();
  add(
    recent,
    eventLine(1, 1),
    runLine(1, 1, { state: "failed" }),
    moreLine(1, runId(1), 1),
    eventLine(2, 2),
    runLine(2, 1),
  );
  const before = recent.view(0, 2);
  recent.drop(1);
  add(recent, eventLine(3, 3), runLine(3, 2));
  assert.deepEqual(recent.counts(), { events: 2, runs: 2 });
  assert.deepEqual(keys(recent.view(0, 3)), [3, 2]);
  assert.deepEqual(recent.view(0, 3).more(runId(1)), []);
  assert.equal(recent.view(0, 1).run(runId(1)), undefined);
  assert.deepEqual(keys(before), [2, 1]);
  assert.deepEqual(runs(before), [[runId(1), "succeeded"]]);
  assert.equal(before.more(runId(1)).length, 1);
  recent.drop(9);
  assert.deepEqual(recent.counts(), { events: 0, runs: 0 });
});

Deno.test("nothing is parsed before it is read", () => {
  const recent = new Unfolded();
  recent.add(1, "event", "[1,no JSON", "no JSON");
  recent.add(1, "run", '["00000000000000000001",no JSON', "no JSON");
  recent.add(1, "more", '["event",1]', "no JSON");
  const line = recent.view(0, 1).event(1)!;
  assert.throws(() => line.header(), SyntaxError);
});

const LINES = Array.from({ length: 300 }, (_, at) => [
  eventLine(at + 1, at + 1, { subject: `customer-${at}` }),
  runLine(at + 1, at + 1),
  moreLine(at + 1, at + 1, { deliveries: 1 }),
]).flat();

async function fold() {
  const sink = await openHistory({ first: 1, last: 300 }, 100_000);
  for (const { table, header, text } of LINES) sink[table](JSON.stringify(header), new TextEncoder().encode(text));
  return sink.finish();
}

Deno.test("the lines of a segment make the same part each time", async () => {
  const [once, again] = [await fold(), await fold()];
  assert.equal(once.catalogue.file, again.catalogue.file);
  assert.ok(once.bytes.every((byte, at) => byte === again.bytes[at]));
  assert.deepEqual(once.catalogue.runs, (await makePart(LINES)).catalogue.runs);
});

Deno.test("the identities of a segment make the same file each time, which merges", async () => {
  const fold = async () => {
    const sink = await openIds();
    sink.id("00112233445566778899aabbccddeeff", JSON.stringify([7, NOW, null, 2, 1]));
    sink.id("ffeeddccbbaa99887766554433221100", JSON.stringify([8, NOW, 1000, 0, 0]));
    return await sink.finish();
  };
  const [once, again] = [await fold(), await fold()];
  assert.deepEqual(once, again);
  const packed = new PackedIdentities(await readIds(await mergeIds([once], { now: NOW + 1000, retention: 2000 })));
  assert.deepEqual([packed.count, packed.get(0)], [1, { event: 7, at: NOW, within: null, runs: 2, flags: 1 }]);
  assert.equal(packed.hashWord(0, 0), 0x00112233);
});

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
