import assert from "node:assert/strict";
import type { Segment } from "../../../runtime/store/log/segment_log.ts";
import { FaultyDisk } from "../../faults/faulty_disk.ts";
import { FOLDER, names, openLog, recovered } from "./helpers.ts";
import { check, frameText } from "./workload.ts";

const MB = 1024 * 1024;

/** Waits until a warning has come. */
function warned(): { onWarning: (message: string) => void; first: Promise<string>; all: string[] } {
  const { promise, resolve } = Promise.withResolvers<string>();
  const all: string[] = [];
  const onWarning = (message: string) => {
    all.push(message);
    resolve(message);
  };
  return { onWarning, first: promise, all };
}

Deno.test("append() resolves once the frame is synced", async () => {
  const disk = new FaultyDisk();
  const log = openLog(disk);
  const held = Promise.withResolvers<void>();
  const asked = Promise.withResolvers<void>();
  disk.beforeSync = () => {
    asked.resolve();
    return held.promise;
  };
  let isDone = false;
  const appending = log.append(frameText(1)).then(() => isDone = true);
  await asked.promise;
  assert.deepEqual([isDone, log.lastSeq], [false, 0]);
  held.resolve();
  await appending;
  disk.cut();
  assert.deepEqual(await check(disk, 1), []);
});

Deno.test("a segment is sealed at 6 MB", async () => {
  const sealed: Segment[] = [];
  const log = openLog(new FaultyDisk(), 0, { onSealed: (segment) => sealed.push(segment) });
  for (let at = 0; at < 7; at++) await log.append(`run/a\t"${"x".repeat(2 * MB)}"\n`);
  assert.deepEqual(sealed.map(({ firstSeq, lastSeq }) => [firstSeq, lastSeq]), [[1, 3], [4, 6]]);
  assert.deepEqual(log.sealed, sealed);
  assert.ok(sealed[0].bytes > 6 * MB && log.bytes > 14 * MB);
  log.forget(sealed[0]);
  assert.deepEqual(log.sealed, [sealed[1]]);
});

Deno.test("a record may be larger than a segment", async () => {
  const disk = new FaultyDisk();
  const log = openLog(disk);
  const text = JSON.stringify("ü".repeat(5 * MB));
  await log.append(`run/a\t${text}\nrun/b\t${text}\n`);
  await log.append("run/a\t\n");
  disk.cut();
  const { sink, segments } = await recovered(disk);
  assert.equal(segments.length, 2);
  assert.ok(sink.rows.get("run/b") === text && sink.rows.size === 1);
});

Deno.test("seal() ends the segment after the frame that is being written, also under steady load", async () => {
  const sealed: Segment[] = [];
  const log = openLog(new FaultyDisk(), 0, { onSealed: (segment) => sealed.push(segment) });
  await log.append("a/1\t1\n");
  let isSealed = false;
  const load = (async () => {
    for (let at = 0; at < 20 && !isSealed; at++) await log.append("a/1\t1\n");
  })();
  const seq = await log.seal().finally(() => isSealed = true);
  await load;
  assert.equal(seq, sealed[0].lastSeq);
  assert.ok(seq < 5, `${seq}`);
  const idle = await log.seal();
  assert.equal(idle, log.lastSeq);
  assert.equal(await log.seal(), idle, "nothing is left to seal");
});

for (const fault of ["failWrites", "failSyncs"] as const) {
  Deno.test(`after ${fault} the frame goes into a new segment, and nothing is lost`, async () => {
    const disk = new FaultyDisk();
    const { onWarning, first, all } = warned();
    let refused = 0;
    const sealed: Segment[] = [];
    const log = openLog(disk, 0, { onWarning, onRefused: () => refused++, onSealed: (each) => sealed.push(each) });
    await log.append(frameText(1));
    await log.append(frameText(2));
    disk[fault] = "EIO";
    const begun = log.append(frameText(3));
    assert.match(await first, /^Cannot write to "\/data": EIO.*nothing new is accepted/);
    assert.match(log.refusal!, /EIO/);
    disk[fault] = undefined;
    await begun;
    await log.append(frameText(4));
    assert.deepEqual([log.refusal, refused, all.length], [undefined, 1, 2]);
    assert.deepEqual(sealed.map(({ firstSeq, lastSeq }) => [firstSeq, lastSeq]), [[1, 2]]);
    disk.cut();
    assert.deepEqual(await names(disk), ["log-001", "log-003"]);
    assert.deepEqual(await check(disk, 4), []);
  });
}

Deno.test("a seal requested while writes fail comes after the frame", async () => {
  const disk = new FaultyDisk();
  const { onWarning, first } = warned();
  const log = openLog(disk, 0, { onWarning });
  await log.append(frameText(1));
  disk.failWrites = "ENOSPC";
  const begun = log.append(frameText(2));
  await first;
  const sealing = log.seal();
  disk.failWrites = undefined;
  assert.equal(await sealing, 2);
  await begun;
  assert.deepEqual(log.sealed.map(({ firstSeq, lastSeq }) => [firstSeq, lastSeq]), [[1, 1], [2, 2]]);
});

Deno.test("a stopped log does not try again", async () => {
  const disk = new FaultyDisk();
  const { onWarning, first } = warned();
  const log = openLog(disk, 0, { onWarning });
  await log.append(frameText(1));
  disk.failWrites = "ENOSPC";
  const begun = assert.rejects(log.append(frameText(2)), { code: "ENOSPC" });
  await first;
  log.stop();
  await begun;
  disk.failWrites = undefined;
  assert.equal(await log.seal(), 1);
  disk.cut();
  await recovered(disk);
  assert.deepEqual(await check(disk, 1), []);
  assert.ok((await disk.read(`${FOLDER}/log-000000000001`)).length > 0);
});

Deno.test("after a start the last segment is continued, until it is full", async () => {
  const disk = new FaultyDisk();
  const first = openLog(disk);
  await first.append(frameText(1));
  await first.close();
  for (let start = 2; start <= 4; start++) {
    const { seq, segments } = await recovered(disk);
    const log = openLog(disk, seq, {}, segments);
    await log.append(frameText(start));
    await log.close();
  }
  assert.deepEqual(await names(disk), ["log-001"]);
  disk.cut();
  assert.deepEqual(await check(disk, 4), []);
  const { seq, segments } = await recovered(disk);
  const sealed: Segment[] = [];
  const log = openLog(disk, seq, { onSealed: (segment) => sealed.push(segment) }, segments);
  await log.append(`run/a\t"${"x".repeat(7 * MB)}"\n`);
  assert.deepEqual(sealed.map(({ firstSeq, lastSeq }) => [firstSeq, lastSeq]), [[1, 5]]);
});

Deno.test("a segment that cannot be continued is sealed, and the frame goes into a new one", async () => {
  const disk = new FaultyDisk();
  const before = openLog(disk);
  await before.append(frameText(1));
  const { seq, segments } = await recovered(disk);
  const refusing = warned();
  disk.failSyncs = "EIO";
  const log = openLog(disk, seq, { onWarning: refusing.onWarning }, segments);
  const appending = log.append(frameText(2));
  await refusing.first;
  disk.failSyncs = undefined;
  await appending;
  assert.deepEqual(log.sealed.map(({ lastSeq }) => lastSeq), [1]);
  disk.cut();
  assert.deepEqual(await check(disk, 2), []);
});

Deno.test("frames left unsynced by a kill are durable after recovery", async () => {
  const disk = new FaultyDisk();
  const held = Promise.withResolvers<void>();
  const written = Promise.withResolvers<void>();
  disk.beforeSync = () => {
    written.resolve();
    return held.promise;
  };
  const log = openLog(disk);
  log.append(frameText(1)).catch(() => {});
  await written.promise;
  disk.beforeSync = () => {};
  assert.equal((await recovered(disk)).seq, 1);
  disk.cut();
  assert.deepEqual(await check(disk, 1), []);
});
