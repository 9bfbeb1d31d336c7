import assert from "node:assert/strict";
import { type Background, storeTasks } from "../../runtime/store/background.ts";
import { Folding, type FoldingOptions } from "../../runtime/store/folding.ts";
import { History } from "../../runtime/store/history/history.ts";
import { readPart } from "../../runtime/store/history/part_reader.ts";
import { Unfolded } from "../../runtime/store/history/unfolded.ts";
import { Rows } from "../../runtime/store/ledger/rows.ts";
import { SegmentLog } from "../../runtime/store/log/segment_log.ts";
import type { Store } from "../../runtime/store/store.ts";
import { FaultyDisk } from "../faults/faulty_disk.ts";
import {
  arrival,
  candidate,
  claimIds,
  DAY,
  FOLDER,
  NOW,
  open,
  publish,
  RETENTION,
  rule,
  send,
  startRun,
  step,
  storeTest,
} from "./helpers.ts";
import { eventLine } from "./history/helpers.ts";

const error = { name: "Error", message: "it broke" };

function fail(store: Store, run: string): Promise<void> {
  return store.finishRun(run, { state: "failed", error, failedStep: "a", spent: 1 }, NOW);
}

/** Pages through a listing, two at a time. */
async function pages<T>(list: (before?: string) => Promise<T[]>, idOf: (item: T) => string): Promise<T[]> {
  const all: T[] = [];
  for (let page; (page = await list(all.length > 0 ? idOf(all[all.length - 1]) : undefined)).length > 0;) {
    all.push(...page);
  }
  return all;
}

storeTest(
  "listings page in order of creation over live runs, ended ones, and parts with runs that ended late",
  async (store) => {
    const runs: string[] = [];
    for (let at = 0; at < 9; at++) runs.push(await startRun(store, `e${at}`));
    const finish = (at: number) => store.finishRun(runs[at], { state: "succeeded", spent: 1 }, NOW);
    // The oldest ends last; one stays live.
    await finish(7);
    await finish(2);
    await store.checkpoint();
    await finish(8);
    await finish(5);
    await finish(0);
    await store.checkpoint();
    await finish(1);
    await finish(4);
    const listed = await pages((before) => store.listRuns({ limit: 2, ...before && { before } }), ({ id }) => id);
    assert.deepEqual(listed.map(({ id }) => id), runs.toReversed());
    assert.deepEqual(listed.map(({ event }) => (event.data as { id: string }).id), runs.map((_, at) => `e${8 - at}`));
    const filter = { state: "succeeded" as const, limit: 2 };
    const ended = await pages((before) => store.listRuns({ ...filter, ...before && { before } }), ({ id }) => id);
    assert.deepEqual(ended.map(({ id }) => id), [8, 7, 5, 4, 2, 1, 0].map((at) => runs[at]));
    const events = await pages((before) => store.listEvents({ limit: 2, ...before && { before } }), ({ key }) => key);
    assert.deepEqual(events.map(({ event }) => event.id), runs.map((_, at) => `e${8 - at}`));
    assert.deepEqual((await store.listRuns({ event: arrival("e2").event, limit: 9 })).map(({ id }) => id), [runs[2]]);
  },
);

Deno.test("the trace of an ended run is complete, whatever was folded meanwhile, also after a crash", async () => {
  const disk = new FaultyDisk();
  let store = await open({ disk });
  const run = await startRun(store, "e1");
  for (const path of ["a", "b", "c"]) {
    await store.recordStep(run, step(path, { output: path }), {}, NOW);
    await store.checkpoint();
  }
  disk.cut();
  store = await open({ disk });
  await store.finishRun(run, { state: "succeeded", output: 1, spent: 9 }, NOW + 5);
  const check = async () => {
    const trace = (await store.getRun(run))!;
    assert.deepEqual(trace.steps, ["a", "b", "c"].map((path) => step(path, { output: path })));
    const { state, endedAt, spent, output, event } = trace.run;
    assert.deepEqual([state, endedAt, spent, output, event], ["succeeded", NOW + 5, 9, 1, arrival("e1").event]);
  };
  await check();
  await store.checkpoint();
  await check();
  await store.close();
});

Deno.test("a run in a part is retried and replayed; one that ends again is listed once, in its newest state", async () => {
  const disk = new FaultyDisk();
  const store = await open({ disk });
  await store.putVersions([rule("v1")]);
  const run = await startRun(store, "e1");
  await store.recordStep(run, step("a", { state: "failed", error }), {}, NOW);
  await fail(store, run);
  await store.checkpoint();
  const list = async (of = store) => (await of.listRuns({ limit: 9 })).map(({ id, state }) => [id, state]);
  assert.deepEqual(await list(), [[run, "failed"]]);
  assert.equal((await store.retryRun(run, "anna", NOW + 1))?.kind, "done");
  assert.deepEqual(await list(), [[run, "queued"]], "it lives");
  assert.deepEqual((await store.listRuns({ state: "failed", limit: 9 })).length, 0);
  assert.equal((await store.retryRun(run, "anna", NOW + 1))?.kind, "refused");
  await store.checkpoint();
  const [claimed] = await store.claimRuns("me", 1, NOW + 1);
  assert.deepEqual(claimed.run.event.data, { id: "e1" });
  await store.finishRun(run, { state: "succeeded", spent: 2 }, NOW + 2);
  const replayed = (await store.replayRun(run, undefined, "anna", NOW + 3))!;
  for (const next of [() => {}, () => store.checkpoint(), () => disk.cut()]) {
    await next();
    const copy = await open({ disk: disk.copy() });
    assert.deepEqual(await list(copy), [[replayed, "queued"], [run, "succeeded"]]);
    const { notes, steps } = (await copy.getRun(run))!;
    assert.deepEqual(notes.map(({ text }) => text.split(" ")[0]), ["Retried", "Replayed"]);
    assert.deepEqual(steps.map(({ state }) => state), ["retrying"]);
    const counts = { queued: 1, running: 0, waiting: 0, succeeded: 1, failed: 0, cancelled: 0 };
    assert.deepEqual(await copy.countRuns(), counts);
    const ends = { runs: { succeeded: 1, failed: 1, cancelled: 0 }, succeededAt: NOW + 2 };
    assert.deepEqual([...(await copy.countEnds()).values()], [ends], "the failure before the retry counts, too");
    await copy.close();
  }
});

Deno.test("changes of an event after it was folded are merged: deliveries, verdict, ended waits, reply", async () => {
  const disk = new FaultyDisk();
  const store = await open({ disk });
  const asks = { asksFirst: true } as const;
  const waiting = await startRun(store, "e0");
  const { runs: [run] } = await send(store, "e1", asks);
  await publish(store, "p1", "paid.in", {});
  await store.checkpoint();
  await send(store, "e1", asks);
  const [{ run: claimed }] = await store.claimRuns("me", 1, NOW);
  assert.equal(claimed.id, run);
  await store.answerCondition(run, step("if", { kind: "if", output: true }), "yes", NOW);
  await store.checkpoint();
  await store.claimRuns("me", 1, NOW);
  await store.recordStep(run, step("r"), { reply: { status: 201, headers: {}, body: "first" } }, NOW);
  await store.recordStep(run, step("r2"), { reply: { status: 500, headers: {}, body: "second" } }, NOW);
  const wait = { kind: "event" as const, types: ["paid.in"], match: {} };
  await store.recordStep(waiting, step("w", { kind: "event", state: "waiting" }), { wait }, NOW);
  await send(store, "e1", asks);
  for (const end of [run, waiting]) await store.finishRun(end, { state: "succeeded", spent: 1 }, NOW);
  const check = async (now: Store) => {
    const [paid, e1] = await now.listEvents({ limit: 2 });
    assert.deepEqual([e1.event.id, e1.deliveries, e1.delivery], ["e1", 3, "accepted"]);
    assert.deepEqual(e1.verdicts.map(({ verdict }) => verdict), [{ kind: "started", run }]);
    assert.deepEqual([paid.delivery, paid.ended], ["accepted", [{ rule: "shop/pay", run: waiting, step: "w" }]]);
    assert.equal((await now.getReply(e1.event))?.body, "first");
  };
  await check(store);
  await store.checkpoint();
  await check(store);
  disk.cut();
  const again = await open({ disk });
  await check(again);
  await again.close();
});

Deno.test("a duplicate names its runs, verdicts and reply, even from a part and after its run has ended", async () => {
  const disk = new FaultyDisk();
  let store = await open({ disk });
  const both = [candidate(), candidate({}, "audit")];
  const [first] = await store.accept([arrival("e1", both)], [], NOW);
  await store.claimRuns("me", 9, NOW);
  const reply = { status: 200, headers: { a: "b" }, body: "ok" };
  await store.recordStep(first.runs[0], step("r"), { reply }, NOW);
  for (const run of first.runs) await store.finishRun(run, { state: "succeeded", spent: 1 }, NOW);
  for (let round = 0; round < 3; round++) {
    const [again] = await store.accept([arrival("e1", both)], [], NOW + 29 * DAY);
    assert.deepEqual(again, { ...first, delivery: "duplicate" });
    assert.deepEqual(await store.getReply(first.event), reply);
    await store.checkpoint();
    disk.cut();
    store = await open({ disk });
  }
  await store.close();
});

Deno.test("a clock rollback costs one row for all identities, and they expire in time", async () => {
  const disk = new FaultyDisk();
  let store = await open({ disk });
  const far = Date.UTC(2099, 0, 1);
  for (let at = 0; at < 1_000; at++) await publish(store, `p${at}`, "paid.in", {}, far);
  await store.checkpoint();
  const { journalBytes } = await store.stats();
  await store.rollBackClock(far - NOW, NOW);
  assert.ok((await store.stats()).journalBytes < journalBytes + 1_000);
  for (const restart of [false, true]) {
    if (restart) {
      await store.checkpoint();
      disk.cut();
      store = await open({ disk });
    }
    assert.equal((await publish(store, "p1", "paid.in", {}, NOW + 30 * DAY - 1)).delivery, "duplicate");
  }
  assert.equal((await publish(store, "p1", "paid.in", {}, NOW + 30 * DAY)).delivery, "unmatched");
  assert.deepEqual(await claimIds(store), []);
  await store.close();
});

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
    readPart: async (question) => (await readPart(disk, FOLDER, question)).result,
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
    isShared: false,
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
