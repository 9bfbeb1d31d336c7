import assert from "node:assert/strict";
import { Checkpointer } from "../../runtime/store/sqlite/checkpoint.ts";
import { Journal } from "../../runtime/store/sqlite/journal.ts";
import { segmentName } from "../../runtime/store/sqlite/segment.ts";
import { FaultyDisk } from "../host/faulty_disk.ts";
import { FOLDER, settle } from "./helpers.ts";

Deno.test("a checkpoint that cannot be made is not attempted again with each commit, however many segments there are", async () => {
  const warnings: string[] = [];
  const options = { disk: new FaultyDisk(), folder: FOLDER, onWarning: (message: string) => warnings.push(message) };
  const segments = Array.from({ length: 100 }, (_, index) => ({
    name: segmentName(index + 1),
    firstSeq: index + 1,
    bytes: 1,
  }));
  const journal = new Journal(100, segments, { ...options, onRefused() {} });
  const checkpointer = new Checkpointer([], 0, journal, options);
  for (let commit = 0; commit < 5; commit++) {
    checkpointer.makeIfDue();
    await settle();
  }
  assert.equal(warnings.length, 1, warnings.join("; "));
  assert.match(warnings[0], /Cannot write a checkpoint: ENOENT/, "the files of these segments are gone");
});
