import fc from "fast-check";
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { type Disk, openScratchFile, realDisk } from "../../runtime/host/disk.ts";
import { Background } from "../../runtime/store/background.ts";
import { encode } from "../../runtime/store/ledger/ledger.ts";
import { Rows } from "../../runtime/store/ledger/rows.ts";
import { type Place, Shelf } from "../../runtime/store/ledger/shelf.ts";
import type { Span } from "../../runtime/store/log/log_frame.ts";
import { FaultyDisk } from "../faults/faulty_disk.ts";
import { MemoryFile } from "../host/memory_file.ts";
import { fixtureTasks } from "./background_tasks_fixture.ts";

const MB = 1024 * 1024;
const text = (seed: number, length: number) => `${seed}ü`.repeat(Math.ceil(length / 4)).slice(0, length);

/** The text between others, as in a block. */
function spanOf(text: string): Span {
  const bytes = Buffer.from(`before ${text} after`);
  return { bytes, from: "before ".length, to: bytes.length - " after".length };
}

Deno.test("a shelf returns each text unchanged, whatever else is put and dropped", () => {
  const step = fc.record({ seed: fc.nat(9_999), length: fc.nat(90_000), drops: fc.nat(2), victim: fc.nat() });
  fc.assert(
    fc.property(fc.array(step, { minLength: 100, maxLength: 400, size: "max" }), (steps) => {
      const shelf = new Shelf(new MemoryFile());
      const places = new Map<string, Place>();
      const texts = new Map<string, string>();
      for (const [index, { seed, length, drops, victim }] of steps.entries()) {
        const [key, known] = [`k${index}`, text(seed, length)];
        places.set(key, shelf.put(places, key, seed % 2 === 0 ? spanOf(known) : known)!);
        texts.set(key, known);
        for (let drop = 0; drop < drops && texts.size > 1; drop++) {
          const gone = [...texts.keys()][victim % texts.size];
          shelf.drop(places.get(gone)!);
          places.delete(gone);
          texts.delete(gone);
        }
        const [some] = [...texts].slice(victim % texts.size);
        assert.equal(shelf.get(places.get(some[0])!), some[1]);
      }
      for (const [key, known] of texts) assert.equal(shelf.get(places.get(key)!), known);
    }),
    { numRuns: 20 },
  );
});

Deno.test("a shelf stays as small as its live texts need, even if some stay for ever", () => {
  const shelf = new Shelf(new MemoryFile());
  const places = new Map<string, Place>();
  const recent: string[] = [];
  for (let seed = 0; seed < 300_000; seed++) {
    const key = `${seed}`;
    places.set(key, shelf.put(places, key, text(seed, 500))!);
    if (seed % 200 !== 0) recent.push(key);
    if (recent.length <= 1_000) continue;
    const gone = recent.shift()!;
    shelf.drop(places.get(gone)!);
    places.delete(gone);
  }
  for (let seed = 0; seed < 300_000; seed += 200) assert.equal(shelf.get(places.get(`${seed}`)!), text(seed, 500));
  assert.ok(shelf.size < 24 * MB, `${shelf.size / MB} MB for 3`);
});

Deno.test("after long texts were moved into a new chunk, it may have no room for the next one", () => {
  const shelf = new Shelf(new MemoryFile());
  const places = new Map<string, Place>();
  const put = (seed: number, length: number) =>
    places.set(`${seed}`, shelf.put(places, `${seed}`, text(seed, length))!);
  // Each chunk has four long texts that stay, and many short ones that are dropped.
  const long: number[] = [];
  for (let seed = 0; seed < 60_000; seed += 2_000) {
    for (let index = 0; index < 2_000; index++) {
      if (index % 500 === 0) long.push(seed + index);
      put(seed + index, index % 500 === 0 ? 200_000 : 100);
    }
    for (let index = 0; index < 2_000; index++) {
      if (index % 500 === 0) continue;
      shelf.drop(places.get(`${seed + index}`)!);
      places.delete(`${seed + index}`);
    }
  }
  for (const seed of long) assert.equal(shelf.get(places.get(`${seed}`)!), text(seed, 200_000));
});

Deno.test("if the file is full, a text stays in memory, and those on the shelf stay readable", () => {
  const file = new MemoryFile();
  const shelf = new Shelf(file);
  const places = new Map<string, Place>();
  const put = (seed: number) => {
    const place = shelf.put(places, `${seed}`, text(seed, 10_000));
    if (place !== undefined) places.set(`${seed}`, place);
  };
  for (let seed = 0; seed < 150; seed++) put(seed);
  file.isFull = true;
  for (let seed = 150; seed < 400; seed++) put(seed);
  const room = places.size;
  assert.ok(room >= 150 && room < 300);
  file.isFull = false;
  for (let seed = room; seed < 400; seed++) put(seed);
  for (const [seed, place] of places) assert.equal(shelf.get(place), text(Number(seed), 10_000));
  assert.equal(shelf.put(places, "large", "x".repeat(MB)), undefined);
});

Deno.test("rows that were not changed for a while are read from the shelf, many of them with few reads", () => {
  const file = new MemoryFile();
  const rows = new Rows(undefined, new Shelf(file), 16);
  const value = (index: number) => ({ key: `k${index}`, value: text(index, 1_000) });
  for (let index = 0; index < 5_000; index++) {
    rows.put("state", `k${index}`, value(index));
    rows.put("baseline", `k${index}`, JSON.stringify(text(index, 500)));
    encode(rows);
  }
  for (let index = 0; index < 5_000; index++) {
    assert.deepEqual(rows.get("state", `k${index}`), value(index));
    assert.equal(rows.get("baseline", `k${index}`), JSON.stringify(text(index, 500)));
  }
  assert.ok(file.reads < 500, `${file.reads} reads`);
});

Deno.test("a scratch file has no name in a folder, and keeps its content", async () => {
  const folder = await mkdtemp(join(tmpdir(), "whenthen-scratch-"));
  try {
    const file = openScratchFile(join(folder, "scratch"));
    file.write(MB, Buffer.from("behind"));
    file.write(0, Buffer.from("front"));
    const into = Buffer.alloc(6);
    file.read(MB, into);
    assert.equal(into.toString(), "behind");
    if (Deno.build.os !== "windows") assert.deepEqual(await readdir(folder), []);
    file.close();
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

async function withBackground(
  disk: Disk,
  work: (background: Background<typeof fixtureTasks>, started: () => number) => Promise<void>,
) {
  const folder = await mkdtemp(join(tmpdir(), "whenthen-background-"));
  let started = 0;
  const background = new Background({
    disk,
    folder,
    tasks: fixtureTasks,
    startWorker: () => {
      started++;
      return new Worker(new URL("./background_worker_fixture.ts", import.meta.url));
    },
  });
  try {
    await writeFile(join(folder, "a1"), "");
    await work(background, () => started);
  } finally {
    await background.close();
    await rm(folder, { recursive: true });
  }
}

Deno.test("on the machine's disk tasks run in a thread, which the first task starts", () =>
  withBackground(realDisk, async (background, started) => {
    assert.equal(started(), 0);
    assert.deepEqual(await background.run("list", "a"), ["a1"]);
    const { buffer } = new Uint8Array([1, 2, 3]);
    assert.deepEqual(new Uint8Array(await background.run("add", buffer, [buffer])), new Uint8Array([2, 3, 4]));
    assert.equal(buffer.byteLength, 0, "it was handed over");
    assert.equal(started(), 1);
  }));

Deno.test("on any other disk tasks run in this thread", () =>
  withBackground(new FaultyDisk(), async (background, started) => {
    await assert.rejects(background.run("read", "none"), { code: "ENOENT" });
    assert.deepEqual(new Uint8Array(await background.run("add", new ArrayBuffer(1))), new Uint8Array([1]));
    assert.equal(started(), 0);
  }));

Deno.test("an error of a task keeps its name, message and code, and the next task runs", () =>
  withBackground(realDisk, async (background, started) => {
    await assert.rejects(background.run("read", "none"), { name: "Error", code: "ENOENT", message: /no such file/i });
    await assert.rejects(background.run("fail", "not whole"), { name: "DamagedError", message: "not whole" });
    assert.deepEqual(await background.run("list", "a"), ["a1"]);
    assert.equal(started(), 1);
  }));

Deno.test("a thread that dies fails its task, and is started again for the next", () =>
  withBackground(realDisk, async (background, started) => {
    const dying = assert.rejects(background.run("die", undefined), /the background thread ended with code 3/);
    const next = background.run("list", "a");
    await dying;
    assert.deepEqual(await next, ["a1"]);
    assert.equal(started(), 2);
  }));

Deno.test("close() waits for the running task; queued ones fail", () =>
  withBackground(realDisk, async (background) => {
    const first = background.run("list", "a");
    await Promise.resolve();
    const second = assert.rejects(background.run("list", "a"), /the background is closed/);
    await background.close();
    assert.deepEqual(await first, ["a1"]);
    await second;
    await assert.rejects(background.run("list", "a"), /the background is closed/);
  }));

Deno.test("close() with an aborted signal ends the running task", () =>
  withBackground(realDisk, async (background) => {
    const hanging = assert.rejects(background.run("hang", undefined), /the background thread ended/);
    await Promise.resolve();
    await background.close(AbortSignal.abort());
    await hanging;
  }));
