import assert from "node:assert/strict";
import { FolderLostError } from "../../../runtime/host/lock.ts";
import type { Rule } from "../../../runtime/model/rule.ts";
import { ingestOf, line, outside, reply, warmUp } from "../../engine/ahead.ts";
import { type Bench, makeRule, until, withBench } from "../../engine/harness.ts";
import { settle } from "../helpers.ts";
import { type Replica, SharedPlace } from "./place.ts";

/** The runner of a program that decides, on a store that others share; a run of the rule has ended. */
async function withDecider(
  rule: Rule,
  use: (bench: Bench, decider: Replica, place: SharedPlace) => Promise<void>,
): Promise<void> {
  const place = new SharedPlace();
  const decider = await place.start({ intakeTimeout: 50 });
  await withBench(async (bench) => {
    await warmUp(bench, rule);
    await use(bench, decider, place);
  }, { openStore: () => Promise.resolve(decider.store), owner: decider.id });
}

/** Holds the appends of a program. */
function hold(decider: Replica): { reached: Promise<void>; release(): void } {
  const reached = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  decider.before.append = () => {
    reached.resolve();
    return released.promise;
  };
  return {
    reached: reached.promise,
    release() {
      delete decider.before.append;
      released.resolve();
    },
  };
}

const seen = (
  { lines, replies, calls, finished }: Bench,
) => [lines.length, replies.length, calls.length, finished.length];

Deno.test("who decides appends an event, its first step and its end in one frame; nothing shows before", async () => {
  for (const first of [line, reply]) {
    const rule = makeRule([first]);
    await withDecider(rule, async (bench, decider, place) => {
      const before = place.frames.length;
      const append = hold(decider);
      const accepting = ingestOf(bench, rule)("e");
      await append.reached;
      await settle();
      assert.deepEqual(seen(bench), [0, 0, 0, 0]);
      append.release();
      const [{ runs: [run] }] = await accepting;
      await bench.finish();
      assert.deepEqual(bench.finished.map(({ id, state }) => [id, state]), [[run, "succeeded"]]);
      assert.equal(bench.lines.length + bench.replies.length, 1);
      assert.equal(place.frames.length, before + 1);
    });
  }
});

Deno.test("of an event whose frame is refused, as another program has taken over, nothing is left, here and there", async () => {
  const rule = makeRule([line, outside]);
  await withDecider(rule, async (bench, decider, place) => {
    const other = await place.start();
    const known = (await other.store.listRuns({ limit: 99 })).length;
    const append = hold(decider);
    const accepting = assert.rejects(ingestOf(bench, rule)("e"), /has taken over/);
    await append.reached;
    await place.promote(other);
    append.release();
    await accepting;
    await until(() => bench.runner.running() === 0);
    assert.deepEqual(seen(bench), [0, 0, 0, 0]);
    assert.deepEqual(bench.errors, []);
    await other.store.retire(decider.id, bench.clock.now());
    assert.equal((await other.store.listRuns({ limit: 99 })).length, known);
    assert.equal((await other.store.listEvents({ limit: 99 })).length, known);
    await other.store.close();
  });
});

Deno.test("if the frame is there although the answer to it was lost, with the right to decide: another program continues after the recorded step", async () => {
  const rule = makeRule([line, outside]);
  await withDecider(rule, async (bench, decider, place) => {
    const other = await place.start();
    const { append } = decider.elsewhere;
    decider.elsewhere.append = async (seq, frame) => {
      await append(seq, frame);
      throw new FolderLostError("no answer");
    };
    await assert.rejects(ingestOf(bench, rule)("e"), /no answer/);
    await until(() => bench.runner.running() === 0);
    assert.deepEqual(seen(bench), [0, 0, 0, 0]);
    assert.deepEqual(bench.errors, []);
    await place.promote(other);
    const now = bench.clock.now();
    await other.store.retire(decider.id, now);
    const [{ run: { event: { id } }, steps }, ...more] = await other.store.claimRuns(other.id, 99, now);
    assert.deepEqual([id, steps.map(({ path }) => path), more], ["e", ["log"], []]);
    await other.store.close();
  });
});

Deno.test("an event that was refused after its time and is durable later: each step of its run is executed once, and its end is reported", async () => {
  for (const [then, expected] of [[[line], [1, 0, 0, 1]], [[reply], [0, 1, 0, 1]], [[line, outside], [1, 0, 1, 1]]]) {
    const rule = makeRule(then as Rule["then"]);
    await withDecider(rule, async (bench, decider, place) => {
      const deliver = ingestOf(bench, rule);
      const before = place.frames.length;
      decider.store.watch(({ isClaimable }) => isClaimable && bench.runner.wake());
      const append = hold(decider);
      await assert.rejects(deliver("e"), { name: "StoreFullError", retryAfter: 1 });
      assert.deepEqual(seen(bench), [0, 0, 0, 0]);
      assert.equal(place.frames.length, before);
      append.release();
      await until(() => bench.finished.length > 0);
      await bench.finish();
      assert.deepEqual(seen(bench), expected);
      const [{ delivery, runs: [run] }] = await deliver("e");
      assert.deepEqual([delivery, run], ["duplicate", bench.finished[0].id]);
      const { run: { state }, steps } = await bench.trace(run);
      assert.deepEqual([state, steps.length], ["succeeded", rule.then.length]);
      assert.deepEqual(bench.errors, []);
    });
  }
});
