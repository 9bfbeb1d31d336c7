import fc from "fast-check";
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { BlockWriter, readBlocks } from "../../../runtime/store/log/blocks.ts";
import { DamagedError } from "../../../runtime/store/log/files.ts";
import {
  encodeFrame,
  encodeHead,
  isDrop,
  lines,
  newerFrameAfter,
  readFrame,
  rowNameOf,
  splitHistory,
  versionOf,
  withoutBirth,
} from "../../../runtime/store/log/log_frame.ts";
import { mergeBlocks } from "../../../runtime/store/log/merge.ts";
import { FaultyDisk } from "../../faults/faulty_disk.ts";
import { FOLDER } from "./helpers.ts";

type Rows = Map<string, string | undefined>;

async function encode(rows: Rows): Promise<Buffer> {
  const written: Uint8Array[] = [];
  const writer = collect(written);
  for (const key of [...rows.keys()].sort()) {
    const text = rows.get(key);
    await writer.add(key, text === undefined ? undefined : Buffer.from(text));
  }
  await writer.close();
  return Buffer.concat(written);
}

function collect(written: Uint8Array[]): BlockWriter {
  return new BlockWriter((bytes) => {
    written.push(Uint8Array.from(bytes));
    return Promise.resolve();
  });
}

async function decode(bytes: Uint8Array, chunk?: number) {
  const disk = new FaultyDisk();
  disk.put(`${FOLDER}/file`, bytes);
  const rows: Rows = new Map();
  const sizes: number[] = [];
  for await (const { body, rows: count, first, last } of readBlocks(await disk.open(`${FOLDER}/file`), "file", chunk)) {
    const found = [...lines(body)];
    assert.deepEqual([found[0].key, found.at(-1)!.key, found.length], [first, last, count]);
    for (const { key, from, to } of found) rows.set(key, from === to ? undefined : body.toString("utf8", from, to));
    sizes.push(body.length);
  }
  return { rows, sizes };
}

/** The files merged, older first, and how many blocks there were. */
async function merge(files: Rows[]) {
  const disk = new FaultyDisk();
  const names = files.map((_, at) => `file-${at}`);
  for (const [at, rows] of files.entries()) disk.put(`${FOLDER}/${names[at]}`, await encode(rows));
  const written: Uint8Array[] = [];
  const writer = collect(written);
  await mergeBlocks(disk, FOLDER, names, writer);
  await writer.close();
  return await decode(Buffer.concat(written));
}

/** The model of a merge. */
function replay(files: Rows[]): Rows {
  const all = new Map(files.flatMap((rows) => [...rows]));
  const kept = [...all].filter(([, text]) => text !== undefined).sort(([a], [b]) => a < b ? -1 : 1);
  return new Map(kept);
}

function largeRows(count: number, bytes: number, prefix = "run/"): Rows {
  return new Map(
    Array.from({ length: count }, (_, at) => [`${prefix}${String(at).padStart(6, "0")}`, "x".repeat(bytes)]),
  );
}

Deno.test("rows are read as they were written, in blocks of about 64 kB, whatever the chunk", async () => {
  const rows: Rows = largeRows(2_000, 200);
  rows.set("step/ü", "{}").set("step/🎉", undefined).set("wait/long", "y".repeat(300_000)).set("zone/a", "1");
  const bytes = await encode(rows);
  for (const chunk of [1, 1_000, 128 * 1024, 1024 * 1024]) {
    const read = await decode(bytes, chunk);
    assert.deepEqual(read.rows, rows);
    assert.ok(read.sizes.filter((size) => size > 65_536).length === 1, "a long row has a block to itself");
  }
});

Deno.test("an empty file is a closing block", async () => {
  assert.deepEqual(await decode(await encode(new Map())), { rows: new Map(), sizes: [] });
});

Deno.test("a cut, a flipped bit, or bytes after the end are damage", async () => {
  const bytes = await encode(new Map([["run/a", '{"a":1}'], ["run/b", undefined]]));
  for (let at = 0; at < bytes.length; at++) {
    await assert.rejects(decode(bytes.subarray(0, at)), DamagedError);
    for (let bit = 0; bit < 8; bit++) {
      const flipped = Buffer.from(bytes);
      flipped[at] ^= 1 << bit;
      await assert.rejects(decode(flipped), DamagedError);
    }
  }
  await assert.rejects(decode(Buffer.concat([bytes, bytes])), DamagedError);
});

Deno.test("a missing or misplaced block is damage", async () => {
  const bytes = await encode(largeRows(3, 60_000));
  const length = (bytes.length - 32) / 3;
  const [a, b, c, closing] = [0, 1, 2, 3].map((at) => bytes.subarray(at * length, (at + 1) * length));
  await decode(Buffer.concat([a, b, c, closing]));
  for (const wrong of [[a, c, closing], [b, a, c, closing], [a, a, b, closing], [a, b, c]]) {
    await assert.rejects(decode(Buffer.concat(wrong)), DamagedError);
  }
});

Deno.test("merges of random files equal their replay", async () => {
  const key = fc.integer({ min: 0, max: 40 }).map((at) => `run/${at}`);
  // Rows of some kB fill blocks, so that some are copied.
  const text = fc.option(fc.integer({ min: 1, max: 9_000 }).map((length) => "x".repeat(length)), { nil: undefined });
  const file = fc.array(fc.tuple(key, text), { maxLength: 40 }).map((rows): Rows => new Map(rows));
  await fc.assert(
    fc.asyncProperty(fc.array(file, { minLength: 1, maxLength: 6 }), async (files) => {
      assert.deepEqual((await merge(files)).rows, replay(files));
    }),
    { numRuns: 60 },
  );
});

Deno.test("a merge copies untouched blocks, and drops tombstones of keys that only the oldest file has", async () => {
  const base = largeRows(1_000, 500);
  const sizes = (await decode(await encode(base))).sizes;
  const { rows, sizes: merged } = await merge([base, new Map([["run/000000", undefined], ["run/none", undefined]])]);
  assert.equal(rows.size, 999);
  assert.deepEqual(merged.slice(1), sizes.slice(1));
});

Deno.test("a block whose last key is also in a newer file is not copied", async () => {
  const old: Rows = largeRows(50, 1_000);
  const last = [...old.keys()].at(-1)!;
  const { rows } = await merge([old, new Map([[last, "new"]])]);
  assert.deepEqual([rows.size, rows.get(last)], [50, "new"]);
});

Deno.test("many merges leave blocks of a reasonable size", async () => {
  let rows: Rows = largeRows(500, 1_000);
  let sizes: number[] = [];
  for (let round = 0; round < 20; round++) {
    const changes: Rows = new Map(Array.from({ length: 20 }, (_, at) => [`run/${at * 25 + round}`, "y".repeat(round)]));
    ({ rows, sizes } = await merge([rows, changes]));
  }
  const average = sizes.reduce((sum, size) => sum + size, 0) / sizes.length;
  assert.ok(average > 20_000, `${average} bytes`);
});

Deno.test("a frame is read as it was written", () => {
  fc.assert(fc.property(fc.string({ unit: "grapheme" }), fc.nat(), (text, seq) => {
    const frame = readFrame(Buffer.concat([Buffer.from("xyz"), encodeFrame(seq, text)]), 3)!;
    assert.equal(frame.payload.toString(), text);
    assert.equal(frame.seq, seq);
  }));
});

Deno.test("a frame cut at any byte, or with any bit flipped, is invalid", () => {
  const bytes = encodeFrame(7, 'run/a\t{"x":1}\n');
  for (let at = 0; at < bytes.length; at++) {
    assert.equal(readFrame(bytes.subarray(0, at), 0), undefined);
    for (let bit = 0; bit < 8; bit++) {
      const flipped = Uint8Array.from(bytes);
      flipped[at] ^= 1 << bit;
      assert.equal(readFrame(flipped, 0), undefined);
    }
  }
});

Deno.test("a newer frame after damage is found, an older one does not count", () => {
  const bytes = Buffer.concat([Buffer.from("damage"), encodeFrame(7, "a")]);
  assert.equal(newerFrameAfter(bytes, 0, 6), true);
  assert.equal(newerFrameAfter(bytes, 0, 7), false);
});

Deno.test("a header has its version; other text is damage", () => {
  const head = readFrame(encodeHead(5, 3), 0)!;
  assert.deepEqual([head.seq, versionOf(head)], [4, 3]);
  assert.throws(() => versionOf(readFrame(encodeFrame(1, "{}"), 0)!), DamagedError);
  assert.throws(() => versionOf(readFrame(encodeFrame(1, "x\t\n"), 0)!), DamagedError);
});

Deno.test("lines() finds keys and the rest of each line", () => {
  const bytes = Buffer.from('run*/ü\t{"a":1}\nstep/b\t\n+run\t["x"]\t{"b":2}\nstate/a*/b\t1\n');
  const [put, drop, history, other] = [...lines(bytes)];
  assert.equal(bytes.toString("utf8", put.from, put.to), '{"a":1}');
  assert.deepEqual(rowNameOf(bytes, put), { table: "run", key: "ü", born: true });
  assert.deepEqual(rowNameOf(bytes, other), { table: "state", key: "a*/b", born: false });
  assert.deepEqual(withoutBirth(put.key), { key: "run/ü", born: true });
  assert.deepEqual([isDrop(put), isDrop(drop), drop.key], [false, true, "step/b"]);
  const { header, text } = splitHistory(bytes, history);
  assert.deepEqual([header, text.toString()], ['["x"]', '{"b":2}']);
});

Deno.test("a line that is not whole is damage", () => {
  for (const text of ["a/b", "a/b\t", "a/b\n"]) assert.throws(() => [...lines(Buffer.from(text))], DamagedError);
  const nothing = Buffer.from("nothing\t1\n");
  for (const line of lines(nothing)) assert.throws(() => rowNameOf(nothing, line), DamagedError);
  const history = Buffer.from("+run\t[]\nrun/a\t{}\n");
  assert.throws(() => splitHistory(history, [...lines(history)][0]), DamagedError);
});
