import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from "node:fs/promises";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { realDisk } from "../../runtime/host/disk.ts";
import { acquireLock, lockedDisk } from "../../runtime/host/lock.ts";

async function inFolder(work: (folder: string) => Promise<void> | void): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "whenthen-lock-"));
  try {
    await work(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Another process that holds the lock, once it says so. */
async function holder(folder: string) {
  const url = new URL("../../runtime/host/lock.ts", import.meta.url).href;
  const code = `const { acquireLock } = await import(${JSON.stringify(url)});
    console.log(acquireLock(${JSON.stringify(folder)}) ? "held" : "refused");
    await new Promise((resolve) => setTimeout(resolve, 60_000));`;
  const child = spawn(process.execPath, ["eval", code], { stdio: ["ignore", "pipe", "inherit"] });
  const [said] = await once(child.stdout, "data");
  return { child, said: String(said).trim() };
}

Deno.test("a data folder has one runtime at a time, within a process", () =>
  inFolder((folder) => {
    const lock = acquireLock(folder);
    assert.ok(lock);
    assert.equal(acquireLock(folder), undefined);
    lock.release();
    const again = acquireLock(folder);
    assert.ok(again);
    again.release();
  }));

Deno.test("a data folder has one runtime at a time, between processes; a killed one leaves no lock behind", () =>
  inFolder(async (folder) => {
    const { child, said } = await holder(folder);
    const ended = once(child, "close");
    assert.equal(said, "held");
    assert.equal(acquireLock(folder), undefined);
    child.kill("SIGKILL");
    await ended;
    const lock = acquireLock(folder);
    assert.ok(lock);
    lock.release();
  }));

Deno.test("a missing folder is an error that names it", () => {
  assert.throws(
    () => acquireLock("/nonexistent/data"),
    /^UsageError: Cannot lock the data folder "\/nonexistent\/data"/,
  );
});

Deno.test("a folder that is deleted, replaced, or has another lock file is lost, and stays so", async () => {
  const losses: ((data: string) => Promise<unknown>)[] = [
    (data) => rm(data, { recursive: true }),
    (data) => rename(data, `${data}.old`).then(() => mkdir(data)),
    (data) => writeFile(join(data, "other"), "").then(() => rename(join(data, "other"), join(data, "lock"))),
  ];
  for (const lose of losses) {
    await inFolder(async (folder) => {
      const data = join(folder, "data");
      await mkdir(data);
      const lock = acquireLock(data)!;
      lock.assertHeld();
      await lose(data);
      assert.throws(() => lock.assertHeld(), { name: "FolderLostError", message: /was deleted or replaced/ });
      await mkdir(data, { recursive: true });
      assert.throws(() => lock.assertHeld(), { name: "FolderLostError" });
      lock.release();
    });
  }
});

Deno.test("lockedDisk() changes nothing in a folder that replaced the locked one", () =>
  inFolder(async (folder) => {
    const data = join(folder, "data");
    await mkdir(data);
    const lock = acquireLock(data)!;
    const disk = lockedDisk(realDisk, lock);
    const file = await disk.create(join(data, "a"));
    await rename(data, `${data}.old`);
    await mkdir(data);
    await writeFile(join(data, "theirs"), "");
    const lost = { name: "FolderLostError" };
    await assert.rejects(disk.create(join(data, "b")), lost);
    await assert.rejects(disk.append(join(data, "theirs")), lost);
    await assert.rejects(disk.remove(join(data, "theirs")), lost);
    await assert.rejects(disk.rename(join(data, "theirs"), join(data, "b")), lost);
    await assert.rejects(file.write(new Uint8Array(1)), lost, "already known");
    await file.close();
    assert.deepEqual(await readdir(data), ["theirs"]);
    lock.release();
  }));
