import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { once } from "node:events";
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { type CodeWorkerOptions, startCodeWorker } from "../../runtime/host/code_worker.ts";

type End = Parameters<CodeWorkerOptions["onEnd"]>[0];

/** A worker of the fixture and its messages, in order. */
function startFixture(heapLimit = 1e8) {
  const said: unknown[] = [];
  const waiting: ((message: unknown) => void)[] = [];
  const ended = Promise.withResolvers<End>();
  const worker = startCodeWorker(new URL("./code_worker_fixture.ts", import.meta.url), {
    data: { a: [1] },
    env: { COLOUR: "blue" },
    heapLimit,
    onMessage: (message) => waiting.length > 0 ? waiting.shift()!(message) : said.push(message),
    onEnd: ended.resolve,
  });
  const next = () =>
    said.length > 0 ? Promise.resolve(said.shift()) : new Promise<unknown>((resolve) => waiting.push(resolve));
  return { worker, next, ended: ended.promise };
}

Deno.test("a code worker gets its data and environment, and answers in order", async () => {
  const { worker, next } = startFixture();
  const { data, env } = await next() as { data: unknown; env: unknown };
  assert.deepEqual([data, env], [{ a: [1] }, { COLOUR: "blue" }]);
  for (let number = 0; number < 100; number++) worker.post({ number });
  for (let number = 0; number < 100; number++) assert.deepEqual(await next(), { number });
  await worker.terminate();
});

Deno.test("a looping code worker ends when terminated, and frees its memory", async () => {
  const { worker, next } = startFixture();
  await next();
  worker.post("loop");
  assert.ok(worker.memory() > 1e6, `${worker.memory()} bytes`);
  await worker.terminate();
  assert.equal(worker.memory(), 0);
});

Deno.test("a code worker that exceeds its heap ends alone and says why", async () => {
  const { worker, next, ended } = startFixture();
  await next();
  worker.post("fill");
  assert.deepEqual(await ended, { kind: "memory" });
  await worker.terminate();
});

/** Whether a process still runs: one that nobody reaps, as in a container without an init, only keeps its pid. */
function runs(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) [ZX]/s.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

Deno.test("a code worker that loops ends with its program, also when that is killed", async () => {
  const parent = new URL("./code_worker_parent.ts", import.meta.url).pathname;
  const program = spawn(Deno.execPath(), ["run", "-A", "--no-check", parent], { stdio: ["ignore", "pipe", "inherit"] });
  const [printed] = await once(program.stdout!, "data");
  const pid = Number(String(printed));
  assert.ok(runs(pid));
  process.kill(program.pid!, "SIGKILL");
  for (let rounds = 2_400; runs(pid) && rounds > 0; rounds--) await setTimeout(50);
  assert.ok(!runs(pid), "it has ended");
});
