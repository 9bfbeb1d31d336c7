import assert from "node:assert/strict";
import type { Rule } from "../../runtime/model/rule.ts";
import { StoreFullError } from "../../runtime/store/store.ts";
import { HeldDisk } from "../faults/held_disk.ts";
import { open, settle } from "../store/helpers.ts";
import { ingestOf, line, outside, reply, warmUp } from "./ahead.ts";
import { type Bench, makeRule, withBench } from "./harness.ts";

/** A bench on a disk whose syncs are held and counted, on which a run of the rule has ended: its version is in memory. */
function withRule(rule: Rule, use: (bench: Bench, disk: HeldDisk) => Promise<void>): Promise<void> {
  const disk = new HeldDisk();
  const openStore = () => open({ disk, onWarning() {} });
  return withBench(async (bench) => {
    await warmUp(bench, rule);
    await use(bench, disk);
  }, { openStore });
}

Deno.test("a run that begins with a log line or a reply is on disk together with its event; nothing shows before", async () => {
  for (const first of [line, reply]) {
    const rule = makeRule([first]);
    await withRule(rule, async (bench, disk) => {
      const before = disk.syncs;
      const held = disk.hold();
      const accepting = ingestOf(bench, rule)("e");
      await held;
      await settle();
      assert.deepEqual([bench.lines, bench.replies, bench.finished], [[], [], []]);
      disk.release();
      const [{ runs: [run] }] = await accepting;
      await bench.finish();
      assert.deepEqual(bench.finished.map(({ id, state }) => [id, state]), [[run, "succeeded"]]);
      assert.equal(bench.lines.length + bench.replies.length, 1);
      assert.equal(disk.syncs, before + 1, "one sync for the event, the step and the end of the run");
    });
  }
});

Deno.test("a step that reaches outside waits until the event, and each step before it, is on disk", async () => {
  for (const then of [[outside], [line, outside]]) {
    const rule = makeRule(then);
    await withRule(rule, async (bench, disk) => {
      const held = disk.hold();
      const accepting = ingestOf(bench, rule)("e");
      await held;
      await settle();
      assert.deepEqual(bench.calls, []);
      disk.release();
      await accepting;
      await bench.finish();
      assert.deepEqual(bench.calls, ["ask"]);
    });
  }
});

Deno.test("a run whose event is refused after it began never was: no line, no end, no trace; sent again, it runs once", async () => {
  const rule = makeRule([line, outside]);
  await withRule(rule, async (bench, disk) => {
    const deliver = ingestOf(bench, rule);
    const known = (await bench.store.listRuns({ limit: 99 })).length;
    const held = disk.hold();
    const written = bench.store.setPaused("ops/other", "while the disk is slow");
    await held;
    const refused = assert.rejects(deliver("e"), StoreFullError);
    await settle();
    disk.failSyncs = "EIO";
    disk.release();
    await refused;
    disk.failSyncs = undefined;
    await written;
    await bench.finish();
    assert.deepEqual([bench.lines, bench.finished, bench.calls, bench.errors], [[], [], [], []]);
    assert.equal((await bench.store.listRuns({ limit: 99 })).length, known);
    assert.ok(bench.runner.idle);
    await deliver("e");
    await bench.finish();
    assert.deepEqual([bench.lines, bench.calls, bench.finished.length], [["hello"], ["ask"], 1]);
    assert.equal((await bench.store.listRuns({ limit: 99 })).length, known + 1);
  });
});
