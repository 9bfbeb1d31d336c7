import assert from "node:assert/strict";
import { once } from "node:events";
import { getPriority } from "node:os";
import process from "node:process";
import { Worker } from "node:worker_threads";

/** The niceness of a thread after it gave way. @param before what it had */
async function afterGivingWay(before: number): Promise<number> {
  const worker = new Worker(new URL("./give_way_worker_fixture.ts", import.meta.url), { workerData: { before } });
  const [niceness] = await once(worker, "message");
  await worker.terminate();
  return niceness;
}

Deno.test({
  name: "a thread that gives way has less priority than before, never more; the others keep theirs",
  ignore: process.platform !== "linux",
  async fn() {
    const own = getPriority();
    assert.equal(await afterGivingWay(0), Math.max(own, 5));
    assert.equal(await afterGivingWay(15), 15);
    assert.equal(getPriority(), own);
  },
});
