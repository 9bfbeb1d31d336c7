import assert from "node:assert/strict";
import { Checkpointer } from "../../runtime/store/sqlite/checkpoint.ts";
import { Journal } from "../../runtime/store/sqlite/journal.ts";
import { recover } from "../../runtime/store/sqlite/recover.ts";
import { segmentName } from "../../runtime/store/sqlite/segment.ts";
import { FaultyDisk } from "../host/faulty_disk.ts";
import { arrival, FOLDER, NOW, open, settle } from "./helpers.ts";

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

Deno.test("a checkpoint that takes too long is given up between two pieces, and leaves nothing", async () => {
  const disk = new FaultyDisk();
  const store = await open({ disk });
  const { event, ...rest } = arrival("large");
  await store.accept([{ ...rest, event: { ...event, data: "x".repeat(3_000_000) } }], [], NOW);
  disk.cut();
  const options = { disk, folder: FOLDER, onWarning: assert.fail };
  const recovered = await recover({ ...options, mask: (text) => text, now: NOW });
  const journal = new Journal(recovered.seq, recovered.segments, { ...options, onRefused: assert.fail });
  const checkpointer = new Checkpointer(recovered.checkpoints, recovered.checkpointBytes, journal, options);
  const late = new AbortController();
  let pieces = 0;
  const create = disk.create.bind(disk);
  disk.create = async (path) => {
    const file = await create(path);
    const sync = async () => {
      pieces++;
      late.abort(new Error("it is late"));
      await file.sync();
    };
    return path.endsWith(".tmp") ? { ...file, sync } : file;
  };
  await assert.rejects(checkpointer.make(late.signal), /it is late/);
  assert.equal(pieces, 1);
  assert.ok(disk.paths().every((path) => !path.includes("checkpoint")), disk.paths().join());
  await checkpointer.make();
  assert.ok(pieces > 3, `${pieces} pieces`);
  assert.ok(disk.paths().some((path) => path.endsWith(".sqlite")));
});
