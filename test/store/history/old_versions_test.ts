import assert from "node:assert/strict";
import { findOutlived } from "../../../runtime/store/history/trim.ts";
import { Archive, eventLine, runId, runLine } from "./helpers.ts";

const of = (versions: string[]) => versions.map((version) => ({ version, length: 10 }));

Deno.test("history names the versions of its runs, folded or not", async () => {
  const archive = new Archive();
  archive.add(eventLine(1, 1), runLine(1, 1, { version: "old" }), runLine(2, 2, { version: 'quo"ted', listed: false }));
  archive.add(eventLine(3, 3), runLine(3, 3, { version: "mid" }));
  const uses = () => ["old", 'quo"ted', "mid", "none", "ld"].map((version) => archive.history.lastUseOf(version));
  assert.deepEqual(uses(), [Infinity, Infinity, Infinity, undefined, undefined]);
  await archive.fold();
  archive.add(eventLine(4, 4), runLine(4, 4, { version: "mid" }));
  await archive.fold();
  assert.deepEqual(uses(), [3, 3, 4, undefined, undefined]);
  archive.dropOldest(0);
  assert.deepEqual(uses(), [undefined, undefined, 4, undefined, undefined]);
});

Deno.test("a part with more versions than its catalogue counts may have any", async () => {
  const archive = new Archive();
  for (let nth = 1; nth <= 300; nth++) archive.add(runLine(nth, nth, { version: `v${nth}` }));
  const { runs } = await archive.fold();
  assert.equal(runs.versions, "many");
  assert.equal(archive.history.lastUseOf("v7"), 300);
  assert.ok(await archive.history.getRun(runId(7)));
});

Deno.test("of the versions that only history needs the most recently used stay", () => {
  const uses: Record<string, number> = { a: 3, b: Infinity, c: 1, d: 2 };
  const outlived = (most: number) => findOutlived(of(["a", "b", "c", "d", "gone"]), (version) => uses[version], most);
  assert.deepEqual(outlived(40), ["gone"]);
  assert.deepEqual(outlived(29).sort(), ["c", "d", "gone"]);
  assert.deepEqual(outlived(0).sort(), ["a", "b", "c", "d", "gone"]);
});
