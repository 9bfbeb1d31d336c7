import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { acquireLock } from "../../runtime/host/lock.ts";

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
    const release = acquireLock(folder);
    assert.ok(release);
    assert.equal(acquireLock(folder), undefined);
    release();
    const again = acquireLock(folder);
    assert.ok(again);
    again();
  }));

Deno.test("a data folder has one runtime at a time, between processes; a killed one leaves nothing behind", () =>
  inFolder(async (folder) => {
    const { child, said } = await holder(folder);
    const ended = once(child, "close");
    assert.equal(said, "held");
    assert.equal(acquireLock(folder), undefined);
    child.kill("SIGKILL");
    await ended;
    const release = acquireLock(folder);
    assert.ok(release);
    release();
  }));

Deno.test("a folder that is not there is an error that names it", () => {
  assert.throws(
    () => acquireLock("/nonexistent/data"),
    /^UsageError: Cannot lock the data folder "\/nonexistent\/data"/,
  );
});
