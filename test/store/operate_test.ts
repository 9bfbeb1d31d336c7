import assert from "node:assert/strict";
import type { Wait } from "../../runtime/store/store.ts";
import { FaultyDisk } from "../faults/faulty_disk.ts";
import {
  beginWait,
  claimIds,
  NOW,
  open,
  publish,
  rule,
  send,
  startRun,
  step,
  stepOf,
  storeTest,
  suspend,
} from "./helpers.ts";

const time: Wait = { kind: "time" };

storeTest("a skipped wait has the result null, and the run resumes at once", async (store) => {
  const run = await startRun(store, "e1");
  await beginWait(store, run, "nap", time, { due: NOW + 500 });
  await suspend(store, run, NOW + 500);
  assert.deepEqual(await store.skipWait(run, undefined, "anna", NOW + 5), { kind: "done", step: "nap" });
  assert.deepEqual(await claimIds(store, 9, NOW + 5), ["e1"]);
  const record = step("nap", { kind: "time", state: "skipped", output: null, endedAt: NOW + 5 });
  assert.deepEqual(await stepOf(store, run, "nap"), record);
  assert.deepEqual((await store.getRun(run))?.notes, [{
    at: NOW + 5,
    text: 'Wait "nap" skipped by anna',
    by: "anna",
  }]);
});

storeTest("a skipped form is cancelled", async (store) => {
  const run = await startRun(store, "e1");
  await beginWait(store, run, "ask", { kind: "form", form: { id: "f", title: "?", to: ["anna"], fields: {} } });
  await store.skipWait(run, "ask", "anna", NOW);
  assert.equal((await store.getForm("f"))?.state, "cancelled");
});

storeTest("skipping is refused if nothing waits or the step is ambiguous, and names what waits", async (store) => {
  const run = await startRun(store, "e1");
  const skip = async (path?: string) => {
    const result = (await store.skipWait(run, path, "anna", NOW))!;
    return result.kind === "refused" ? result.reason : result.step;
  };
  assert.match((await skip())!, /none of its steps waits$/);
  assert.match((await skip("nap"))!, /"nap" of run .* does not wait; none does$/);
  await beginWait(store, run, "nap", time);
  await beginWait(store, run, "both/b/nap", time);
  assert.match((await skip())!, /several wait; those that do: nap, both\/b\/nap$/);
  assert.match((await skip("both"))!, /"both" of run .* does not wait; those that do: nap, both\/b\/nap$/);
  assert.equal(await skip("both/b/nap"), "both/b/nap");
  assert.equal(await skip(), "nap");
  assert.match((await skip())!, /none of its steps waits$/);
  assert.equal(await store.skipWait("nobody", undefined, "anna", NOW), undefined);
});

storeTest("a run that is not executing moves to another version of its rule", async (store) => {
  await store.putVersions([rule("v1")]);
  await store.putVersions([rule("v2"), { ...rule("v9"), id: "other" }]);
  const { runs: [run] } = await send(store, "e1");
  const move = async (version: string) => {
    const result = (await store.moveRun(run, version, "anna", NOW))!;
    return result.kind === "refused" ? result.reason : result;
  };
  assert.match(String(await move("v1")), /it is on that version already$/);
  assert.match(String(await move("v3")), /the store does not have it/);
  assert.match(String(await move("v9")), /one of other, not of shop\/pay$/);
  assert.deepEqual(await move("v2"), { kind: "done" });
  const [claimed] = await store.claimRuns("me", 1, NOW);
  assert.equal(claimed.run.version, "v2");
  assert.match(String(await move("v1")), /it is running/);
  await suspend(store, run);
  assert.deepEqual(await move("v1"), { kind: "done" });
  await store.dropVersions([]);
  assert.deepEqual([(await store.getVersion("v1"))?.version, await store.getVersion("v2")], ["v1", undefined]);
  await store.cancelRun(run, "by anna", NOW);
  assert.match(String(await move("v1")), /it was cancelled; replay it/);
  const notes = (await store.getRun(run))!.notes.map(({ text }) => text);
  assert.deepEqual(notes.slice(0, 2), ["Moved from version v1 to v2 by anna", "Moved from version v2 to v1 by anna"]);
  assert.equal(await store.moveRun("nobody", "v1", "anna", NOW), undefined);
});

storeTest("a run whose condition is undecided does not move", async (store) => {
  await store.putVersions([rule("v1", { if: "function" }), rule("v2")]);
  const { runs: [run] } = await send(store, "e1", { asksFirst: true });
  assert.equal((await store.moveRun(run, "v2", "anna", NOW))?.kind, "refused");
});

storeTest("branches beside one that failed finally are cancelled because of that step", async (store) => {
  const run = await startRun(store, "e1");
  const error = { name: "Error", message: "no", step: "all[2]/save" };
  await beginWait(store, run, "all[3]/late", { kind: "event", types: ["late"], match: {} });
  await store.recordStep(run, step("all", { kind: "each", state: "failed", error }), { cancels: ["all[3]"] }, NOW);
  const { steps, notes } = (await store.getRun(run))!;
  assert.deepEqual(steps.map(({ path, error }) => [path, error?.message]), [
    ["all[3]/late", 'Its branch was abandoned: step "all[2]/save" failed'],
    ["all", "no"],
    ["all[3]", 'Its branch was abandoned: step "all[2]/save" failed'],
  ]);
  assert.equal(notes[0].text, 'Cancelled "all[3]": step "all[2]/save" failed');
});

storeTest(
  "lost branches are cancelled with the record of the step that was decided without them",
  async (store) => {
    const run = await startRun(store, "e1");
    const event: Wait = { kind: "event", types: ["late"], match: {} };
    await store.recordStep(run, step("both", { kind: "parallel", state: "retrying" }), {}, NOW);
    await store.recordStep(run, step("both/crm/post"), {}, NOW);
    await store.recordStep(run, step("both/mail/first"), {}, NOW);
    await store.recordStep(run, step("both/mail/second", { state: "retrying", due: NOW + 9 }), {}, NOW);
    await beginWait(store, run, "both/mail/loop[0]/late", event);
    await beginWait(store, run, "both/sms", { kind: "form", form: { id: "f", title: "?", to: ["anna"], fields: {} } });
    await beginWait(store, run, "both/mailbox/late", event);
    const won = step("both", { kind: "parallel", output: { crm: 1 } });
    const cancels = ["both/mail", "both/sms", "both/fax"];
    assert.deepEqual((await store.recordStep(run, won, { cancels }, NOW + 1)).record, won);
    const { steps, notes, run: { waits } } = (await store.getRun(run))!;
    assert.deepEqual(steps.map(({ path, state }) => [path, state]), [
      ["both", "succeeded"],
      ["both/crm/post", "succeeded"],
      ["both/mail/first", "succeeded"],
      ["both/mail/second", "cancelled"],
      ["both/mail/loop[0]/late", "cancelled"],
      ["both/sms", "cancelled"],
      ["both/mailbox/late", "waiting"],
      ["both/mail", "cancelled"],
      ["both/fax", "cancelled"],
    ]);
    const error = { name: "Cancelled", message: 'Its branch lost: "both" was decided without it' };
    assert.deepEqual(steps[3], step("both/mail/second", { state: "cancelled", endedAt: NOW + 1, error }));
    assert.deepEqual(steps[8], {
      path: "both/fax",
      kind: "branch",
      state: "cancelled",
      attempts: 0,
      startedAt: NOW + 1,
      endedAt: NOW + 1,
      error,
    });
    assert.deepEqual(waits?.map(({ step }) => step), ["both/mailbox/late"]);
    assert.equal((await store.getForm("f"))?.state, "cancelled");
    assert.equal(notes[0].text, 'Cancelled "both/mail", "both/sms", "both/fax": "both" was decided without them');
    // Later results of the lost branches are dropped.
    const effects = { state: { key: "k", value: 1 } };
    const late = await store.recordStep(run, step("both/mail/second", { output: 5 }), effects, NOW + 2);
    assert.deepEqual(late.record, steps[3]);
    const unknown = await store.recordStep(run, step("both/mail/third", { output: 5 }), effects, NOW + 2);
    assert.deepEqual(unknown.record, step("both/mail/third", { state: "cancelled", endedAt: NOW + 1, error }));
    assert.deepEqual(await store.getState(["k"], NOW + 3), {});
    assert.equal((await store.recordStep(run, step("both/mailbox/next"), {}, NOW + 2)).record.state, "succeeded");
    await publish(store, "p1", "late", {});
    assert.equal((await stepOf(store, run, "both/mail/loop[0]/late"))?.state, "cancelled");
  },
);

storeTest(
  "what somebody asks for is refused if the run has changed since they looked: by whom and how",
  async (store) => {
    await store.putVersions([rule("v1")]);
    const run = await startRun(store, "e1");
    const looked = { actions: 0, ended: false };
    await beginWait(store, run, "nap", time, { due: NOW + 500 });
    await beginWait(store, run, "rest", time, { due: NOW + 500 });
    await suspend(store, run, NOW + 500);
    const reasonOf = (answer: unknown) => (answer as { reason?: string } | undefined)?.reason ?? answer;
    const other = { ...looked, since: NOW - 1 };
    assert.match(String(reasonOf(await store.skipWait(run, "nap", "carl", NOW, other))), /does not wait/);
    assert.deepEqual(await store.skipWait(run, "nap", "anna", NOW, { ...looked, since: NOW }), {
      kind: "done",
      step: "nap",
    });
    const changed = `Run ${run} has changed since it was looked at: Wait "nap" skipped by anna`;
    assert.equal(reasonOf(await store.skipWait(run, "rest", "carl", NOW, looked)), changed);
    assert.equal(reasonOf(await store.moveRun(run, "v1", "carl", NOW, looked)), changed);
    assert.equal(reasonOf(await store.cancelRun(run, "Cancelled by carl", NOW, "carl", looked)), changed);
    const seen = { actions: 1, ended: false };
    assert.deepEqual(
      await store.cancelRun(run, "Cancelled by carl", NOW + 1, { by: "carl", reason: "too late" }, seen),
      { kind: "asked", state: "cancelled", ended: true },
    );
    const ended = `Run ${run} has changed since it was looked at: Cancelled by carl`;
    assert.equal(reasonOf(await store.retryRun(run, "anna", NOW, { actions: 1, ended: false })), ended);
    const { notes } = (await store.getRun(run))!;
    assert.deepEqual(notes.map(({ by, reason }) => [by, reason]), [["anna", undefined], ["carl", "too late"]]);
  },
);

storeTest("two clicks on the same button are one replay, also of a run in history", async (store) => {
  await store.putVersions([rule("v1")]);
  const run = await startRun(store, "e1");
  await store.finishRun(run, { state: "succeeded", spent: 1 }, NOW);
  await store.checkpoint();
  const seen = { actions: 0, ended: true };
  const replays = await Promise.all([1, 2].map(() => store.replayRun(run, undefined, "anna", NOW, seen)));
  const [done, refused] = replays.sort((a) => typeof a === "string" ? -1 : 1);
  assert.equal(typeof done, "string");
  const reason = `Run ${run} has changed since it was looked at: Replayed by anna as run ${done}`;
  assert.deepEqual(refused, { kind: "refused", reason });
  assert.equal((await store.listRuns({ limit: 9 })).length, 2);
});

Deno.test("what an operator did is there after a crash", async () => {
  const disk = new FaultyDisk();
  const store = await open({ disk });
  const run = await startRun(store, "e1");
  await beginWait(store, run, "nap", time, { due: NOW + 500 });
  await suspend(store, run, NOW + 500);
  await store.skipWait(run, "nap", "anna", NOW + 5);
  disk.cut();
  const again = await open({ disk });
  assert.deepEqual(await claimIds(again, 9, NOW + 5), ["e1"]);
  await again.close();
});
