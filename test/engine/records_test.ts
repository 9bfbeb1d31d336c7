import assert from "node:assert/strict";
import { ManualClock } from "../../runtime/host/clock.ts";
import type { Run, StepRecord, StepState } from "../../runtime/model/run.ts";
import { Interruption } from "../../runtime/engine/outcome.ts";
import { Records } from "../../runtime/engine/records.ts";
import type { StepEffects, StepResult } from "../../runtime/store/store.ts";

function record(path: string, state: StepState, more: Partial<StepRecord> = {}): StepRecord {
  return { path, kind: "call", state, attempts: 1, startedAt: 5, ...more };
}

/** Records over a store that keeps all writes, and answers when released. */
function opened(earlier: StepRecord[] = []) {
  const written: StepRecord[] = [];
  const store = {
    answer: (record: StepRecord): StepResult | Promise<StepResult> => ({ record }),
    recordStep: async (_run: string, record: StepRecord, _effects: StepEffects) => {
      written.push(record);
      return await store.answer(record);
    },
  };
  const records = new Records({ id: "r" } as Run, earlier, store, new ManualClock(0), {});
  return { records, written, store };
}

Deno.test("a step has begun if it, or an item, turn or branch of it, has a record", () => {
  const { records } = opened([
    record("lines[3]/save", "succeeded", { startedAt: 7 }),
    record("lines[2]/save", "failed", { startedAt: 6 }),
    record("both/a/inner", "waiting"),
  ]);
  assert.equal(records.begunAt("lines"), 6);
  assert.equal(records.begunAt("lines[3]"), 7);
  assert.deepEqual(["lines[3]", "lines[1]", "both", "both/a", "both/b", "line"].map((path) => records.isBegun(path)), [
    true,
    false,
    true,
    true,
    false,
    false,
  ]);
});

Deno.test("after the decision nothing of a lost branch is recorded, however late it arrives", async () => {
  const { records, written, store } = opened();
  const decided = Promise.withResolvers<StepResult>();
  store.answer = () => decided.promise;
  const decision = records.write(record("race", "succeeded"), { cancels: ["race/b", "lines[1]"] });
  for (const path of ["race/b", "race/b/late", "race/b/x[1]/y", "lines[1]/save"]) {
    await assert.rejects(records.write(record(path, "succeeded")), Interruption, path);
  }
  decided.resolve({ record: record("race", "succeeded") });
  await decision;
  store.answer = (record) => ({ record });
  for (const path of ["race/bb", "race/a", "lines[11]/save"]) await records.write(record(path, "succeeded"));
  assert.deepEqual(written.map(({ path }) => path), ["race", "race/bb", "race/a", "lines[11]/save"]);
  assert.deepEqual(["race/b", "race/a"].map((path) => records.hasLost(path)), [true, false]);
});

Deno.test("a wait that the store ended stays ended, whether its end or its start is learnt first", async () => {
  const { records, store } = opened([record("pause", "waiting")]);
  const ended = record("pause", "skipped", { output: null });
  records.refresh([ended, record("other", "retrying")]);
  assert.equal(records.get("pause"), ended);
  assert.equal(records.get("other"), undefined);

  const begun = Promise.withResolvers<StepResult>();
  store.answer = () => begun.promise;
  const writing = records.write(record("pay", "waiting"));
  const paid = record("pay", "succeeded", { output: 1 });
  records.refresh([paid]);
  begun.resolve({ record: record("pay", "waiting") });
  assert.equal(await writing, paid);
  records.refresh([record("pay", "failed")]);
  assert.equal(records.get("pay"), paid);
});

Deno.test("times that the store shifted after a clock rollback are adopted, except for steps that have ended", () => {
  const { records } = opened([
    record("pause", "waiting", { due: 9 }),
    record("again", "retrying"),
    record("done", "failed"),
  ]);
  const turned = [record("pause", "waiting", { startedAt: 1, due: 4 }), record("again", "retrying", { due: 2 })];
  records.refresh([...turned, record("done", "retrying")]);
  assert.deepEqual(["pause", "again"].map((path) => records.get(path)), turned);
  assert.equal(records.get("done")!.state, "failed");
});

Deno.test("recorded steps that were not asked for are named, except those inside a step that has ended", () => {
  const { records } = opened([
    record("a", "succeeded"),
    record("check", "succeeded", { kind: "if" }),
    record("check/then/x", "succeeded"),
    record("both", "succeeded"),
    record("both/a/x", "succeeded"),
    record("mod[0]/x", "succeeded"),
  ]);
  records.get("check");
  records.get("both");
  records.get("new");
  assert.deepEqual(records.unasked(), ["a", "check/then/x", "mod[0]/x"]);
  assert.deepEqual(records.asked, ["check", "both", "new"]);
});

Deno.test("a text with which people could act as others is recorded redacted, at any depth", async () => {
  const { records, written } = opened();
  records.hide("https://h/f?sig=$&a", "https://h/f?***");
  const input = { to: ["https://h/f?sig=$&a"], text: 'say "https://h/f?sig=$&a"' };
  await records.write(record("tell", "succeeded", { input, output: input }));
  const shown = { to: ["https://h/f?***"], text: 'say "https://h/f?***"' };
  assert.deepEqual([written[0].input, written[0].output], [shown, shown]);
});
