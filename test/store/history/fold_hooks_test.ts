import assert from "node:assert/strict";
import { PackedIdentities, readIds } from "../../../runtime/store/history/ids_file.ts";
import { mergeIds, openHistory, openIds } from "../../../runtime/store/history/fold_hooks.ts";
import { eventLine, makePart, moreLine, NOW, runLine } from "./helpers.ts";

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
