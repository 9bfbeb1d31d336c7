import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { type Disk, realDisk } from "../../runtime/host/disk.ts";
import { Background } from "../../runtime/store/background.ts";
import { FaultyDisk } from "../faults/faulty_disk.ts";
import { fixtureTasks } from "./background_tasks_fixture.ts";

async function withBackground(
  disk: Disk,
  work: (background: Background<typeof fixtureTasks>, started: () => number) => Promise<void>,
) {
  const folder = await mkdtemp(join(tmpdir(), "whenthen-background-"));
  let started = 0;
  const background = new Background({
    disk,
    folder,
    tasks: () => Promise.resolve(fixtureTasks),
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
