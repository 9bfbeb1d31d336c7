import assert from "node:assert/strict";
import type { Background } from "../../runtime/store/background.ts";
import { Folding, type FoldingOptions } from "../../runtime/store/folding.ts";
import { History } from "../../runtime/store/history/history.ts";
import { readPart } from "../../runtime/store/history/part_reader.ts";
import { Unfolded } from "../../runtime/store/history/unfolded.ts";
import { Rows } from "../../runtime/store/ledger/rows.ts";
import { SegmentLog } from "../../runtime/store/log/segment_log.ts";
import { storeTasks } from "../../runtime/store/tasks.ts";
import { FaultyDisk } from "../faults/faulty_disk.ts";
import { FOLDER, NOW, RETENTION } from "./helpers.ts";
import { eventLine } from "./history/helpers.ts";

/** The folding of a store whose background thread dies once, after it has written all files of a fold. */
function dyingFolding(disk: FaultyDisk) {
  let answers = 0;
  const run = async (_: "fold", segment: Parameters<typeof storeTasks.fold>[2]) => {
    const { result } = await storeTasks.fold(disk, FOLDER, segment);
    if (answers++ === 0) throw new Error("the background thread ended with code 1");
    return result;
  };
  const warnings: string[] = [];
  const onWarning = (message: string) => warnings.push(message);
  const log = new SegmentLog(0, [], {
    disk,
    folder: FOLDER,
    onWarning,
    onSealed: (segment) => folding.add(segment),
    onRefused: () => assert.fail("refused"),
  });
  const history = new History({
    call: async (_, question) => (await readPart(disk, FOLDER, question)).result,
    catalogues: [],
    recent: new Unfolded(),
    syncedSeq: () => log.lastSeq,
    onWarning,
  });
  const rows = new Rows();
  const folding: Folding = new Folding({
    disk,
    folder: FOLDER,
    log,
    background: { run, close: () => Promise.resolve() } as unknown as Background<typeof storeTasks>,
    ledger: { add: <T>(_: string, work: () => T) => Promise.resolve(work()) } as unknown as FoldingOptions["ledger"],
    rows,
    history,
    base: undefined,
    deltas: [],
    retention: RETENTION,
    onWarning,
    volatile: false,
    now: NOW,
  });
  return { log, folding, history, rows, warnings };
}

Deno.test("a thread that dies between the commit of a fold and its reply loses nothing", async () => {
  const disk = new FaultyDisk();
  const { log, folding, history, rows, warnings } = dyingFolding(disk);
  const { header, text } = eventLine(1, 7);
  await log.append(`+event\t${JSON.stringify(header)}\t${text}\n`);
  await folding.foldAll();
  // The first attempt began as the segment was sealed.
  assert.deepEqual(warnings.map((warning) => warning.split(";")[0]), [
    "Cannot fold the log of the store: the background thread ended with code 1",
  ]);
  assert.equal((await history.getEvent(7))?.event.id, "id-7");
  assert.equal(rows.size("part"), 1);
  assert.equal(folding.logBytes, 0);
  await folding.close();
});
