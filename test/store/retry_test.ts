import assert from "node:assert/strict";
import type { StepRecord } from "../../runtime/model/run.ts";
import type { Rule } from "../../runtime/model/rule.ts";
import type { RunEnd, Store } from "../../runtime/store/store.ts";
import { FaultyDisk } from "../faults/faulty_disk.ts";
import {
  arrival,
  beginWait,
  candidate,
  claimIds,
  dropHistory,
  NOW,
  open,
  publish,
  rule,
  send,
  startRun,
  step,
  stepOf,
  storeTest,
  supersede,
  suspend,
} from "./helpers.ts";

const error = { name: "Error", message: "it broke" };

function failed(path: string, record: Partial<StepRecord> = {}): StepRecord {
  return step(path, { state: "failed", error, endedAt: NOW + 1, ...record });
}

function cancelled(path: string, record: Partial<StepRecord> = {}): StepRecord {
  return failed(path, { state: "cancelled", ...record });
}

/** A run that failed with these records. */
async function failedRun(
  store: Store,
  steps: StepRecord[],
  failedStep: string | undefined,
  end: Partial<RunEnd> = {},
  changes: Partial<Rule> = {},
): Promise<string> {
  await store.putVersions([rule("v1", changes)]);
  const run = await startRun(store, "e1");
  for (const record of steps) await store.recordStep(run, record, {}, NOW);
  await store.finishRun(run, { state: "failed", error, spent: 50, ...(failedStep && { failedStep }), ...end }, NOW + 2);
  return run;
}

/** Retries a run and claims it. @returns its records by path: the state, with the attempts */
async function retried(store: Store, run: string): Promise<Record<string, string>> {
  assert.equal((await store.retryRun(run, "anna", NOW + 9))?.kind, "done");
  const [claimed] = await store.claimRuns("me", 9, NOW + 9);
  assert.deepEqual([claimed.run.id, claimed.again], [run, true]);
  return Object.fromEntries(claimed.steps.map(({ path, state, attempts }) => [path, `${state} ${attempts}`]));
}

storeTest("a retried run resumes after its last successful step; the failed one is due at once", async (store) => {
  const run = await failedRun(store, [step("a"), failed("b", { attempts: 3, output: 1, input: { x: 1 } })], "b", {
    output: "gone",
  });
  assert.deepEqual(await store.retryRun(run, "anna", NOW + 9), { kind: "done", step: "b" });
  const { run: now, steps, notes } = (await store.getRun(run))!;
  assert.deepEqual([now.state, now.error, now.output, now.endedAt, now.spent], [
    "queued",
    undefined,
    undefined,
    undefined,
    50,
  ]);
  assert.deepEqual(steps, [
    step("a"),
    step("b", {
      state: "retrying",
      attempts: 3,
      input: { x: 1 },
      error,
      due: NOW + 9,
      failures: [{ attempt: 3, startedAt: NOW, endedAt: NOW + 1, error: { name: error.name, message: error.message } }],
    }),
  ]);
  assert.deepEqual(notes, [{
    at: NOW + 9,
    text: 'Retried by anna: it resumes with step "b"',
    by: "anna",
  }]);
  assert.deepEqual(await store.countRuns(), {
    queued: 1,
    running: 0,
    waiting: 0,
    succeeded: 0,
    failed: 0,
    cancelled: 0,
  });
  assert.deepEqual(await claimIds(store, 9, NOW + 9), ["e1"]);
  await store.finishRun(run, { state: "succeeded", spent: 60 }, NOW + 10);
  assert.equal((await store.countRuns()).succeeded, 1);
});

storeTest("steps around the failed one are open again, in the same attempt; other branches stay", async (store) => {
  const run = await failedRun(store, [
    step("list"),
    failed("lines", { kind: "each", input: { items: [1, 2] } }),
    step("lines[0]/save"),
    failed("lines[1]", { kind: "branch" }),
    failed("lines[1]/call", { kind: "call", attempts: 2 }),
    failed("lines[1]/call/then/post"),
    step("lines[1]/call/then@2/get"),
    failed("lines[1]/call/then@2/post", { attempts: 3 }),
    failed("lines2", { kind: "each" }),
  ], "lines[1]/call/then@2/post");
  assert.deepEqual(await retried(store, run), {
    "list": "succeeded 1",
    "lines": "retrying 0",
    "lines[0]/save": "succeeded 1",
    "lines[1]": "retrying 0",
    "lines[1]/call": "retrying 1",
    "lines[1]/call/then/post": "failed 1",
    "lines[1]/call/then@2/get": "succeeded 1",
    "lines[1]/call/then@2/post": "retrying 3",
    "lines2": "failed 1",
  });
  assert.deepEqual((await stepOf(store, run, "lines"))?.input, { items: [1, 2] });
});

storeTest("handled failures stay as they are, even if their handler failed", async (store) => {
  const run = await failedRun(store, [
    failed("tolerated"),
    failed("a"),
    failed("a/onError/b"),
    failed("c", { error: { name: "TimeoutError", message: "late" } }),
    failed("c/onTimeout/d"),
  ], "a/onError/b");
  assert.deepEqual(await retried(store, run), {
    "tolerated": "failed 1",
    "a": "failed 1",
    "a/onError/b": "retrying 1",
    "c": "failed 1",
    "c/onTimeout/d": "failed 1",
  });
});

storeTest(
  "steps cancelled because of the failure begin anew; lost branches of a decided step do not",
  async (store) => {
    const run = await failedRun(store, [
      step("race", { kind: "parallel" }),
      cancelled("race/slow", { kind: "branch", attempts: 0 }),
      cancelled("race/slow/x"),
      failed("both", { kind: "parallel" }),
      failed("both/crm/post"),
      cancelled("both/mail", { kind: "branch", attempts: 0 }),
      step("both/mail/x"),
      cancelled("both/mail/y"),
      cancelled("both/mail/inner", { kind: "parallel", attempts: 1 }),
      step("both/mail/inner/z"),
      step("both/mail/any", { kind: "parallel" }),
      cancelled("both/mail/any/loser", { kind: "branch", attempts: 0 }),
    ], "both/crm/post");
    assert.deepEqual(await retried(store, run), {
      "race": "succeeded 1",
      "race/slow": "cancelled 0",
      "race/slow/x": "cancelled 1",
      "both": "retrying 0",
      "both/crm/post": "retrying 1",
      "both/mail/x": "succeeded 1",
      "both/mail/inner": "retrying 0",
      "both/mail/inner/z": "succeeded 1",
      "both/mail/any": "succeeded 1",
      "both/mail/any/loser": "cancelled 0",
    });
    // Cancelled steps can be recorded again.
    assert.equal((await store.recordStep(run, step("both/mail/y"), {}, NOW + 9)).record.state, "succeeded");
  },
);

storeTest(
  "a wait that ended with the failure begins anew, and earlier events of the run may end it",
  async (store) => {
    await store.putVersions([rule("v1")]);
    const run = await startRun(store, "e1");
    await store.recordStep(run, step("both", { kind: "parallel", state: "retrying" }), {}, NOW);
    await beginWait(store, run, "both/a/wait", { kind: "event", types: ["late"], match: {} });
    await store.recordStep(run, failed("both/b/post"), {}, NOW);
    await store.finishRun(run, { state: "failed", error, spent: 1, failedStep: "both/b/post" }, NOW + 1);
    await publish(store, "p1", "late", {}, NOW + 2);
    assert.deepEqual(await retried(store, run), { "both": "retrying 1", "both/b/post": "retrying 1" });
    const again = await beginWait(store, run, "both/a/wait", { kind: "event", types: ["late"], match: {} });
    assert.equal((again.output as { id: string }).id, "p1");
  },
);

storeTest("the steps of the rule's onError are executed again if the run fails again", async (store) => {
  await store.putVersions([rule("v1")]);
  const run = await startRun(store, "e1");
  await store.recordStep(run, failed("a"), {}, NOW);
  await store.recordStep(run, failed("rule.onError", { input: { step: "a" } }), {}, NOW);
  await publish(store, "p1", "late", {}, NOW + 2);
  const wait = { kind: "event", types: ["late"], match: {} } as const;
  await beginWait(store, run, "rule.onError/wait", { ...wait, types: [...wait.types] });
  await store.finishRun(run, { state: "failed", error, spent: 1, failedStep: "a" }, NOW + 1);
  assert.deepEqual(await retried(store, run), { "a": "retrying 1" });
  const again = await beginWait(store, run, "rule.onError/wait", { ...wait, types: [...wait.types] });
  assert.equal((again.output as { id: string }).id, "p1", "it is given back");
});

storeTest("a step whose own `if` failed is evaluated again", async (store) => {
  const run = await failedRun(store, [step("a"), failed("b", { attempts: 0 })], "b");
  assert.deepEqual(await retried(store, run), { "a": "succeeded 1" });
});

storeTest("a run that timed out gets its full time again; one that threw keeps the time spent", async (store) => {
  const timeout = { name: "TimeoutError", message: "The run took too long" };
  const late = await failedRun(store, [step("a"), cancelled("b")], undefined, { error: timeout, spent: 9_999 });
  assert.deepEqual(await retried(store, late), { "a": "succeeded 1" });
  assert.equal((await store.getRun(late))?.run.spent, 0);
  await store.finishRun(late, { state: "failed", error, spent: 70 }, NOW + 10);
  assert.deepEqual(await store.retryRun(late, "anna", NOW + 11), { kind: "done" });
  const { run: { spent }, notes } = (await store.getRun(late))!;
  assert.equal(spent, 70);
  assert.equal(notes.at(-1)?.text, "Retried by anna: it resumes after its last recorded step");
});

storeTest("the event's body and the version are kept while a retried run is live", async (store) => {
  const run = await failedRun(store, [failed("a")], "a");
  await store.retryRun(run, "anna", NOW + 9);
  await supersede(store);
  await dropHistory(store);
  await store.dropVersions([]);
  assert.deepEqual((await store.getRun(run))?.run.event.data, { id: "e1" });
  assert.equal((await store.getVersion("v1"))?.version, "v1");
  await store.cancelRun(run, "by anna", NOW);
  assert.deepEqual((await store.getRun(run))?.run.event, { ...arrival("e1").event, data: null });
  await supersede(store, NOW, "newer still");
  await dropHistory(store);
  assert.equal(await store.getRun(run), undefined);
});

storeTest("a retry that cannot be done is refused with an alternative", async (store) => {
  const run = await failedRun(store, [failed("a")], "a");
  const refusal = async (id: string) => {
    const result = await store.retryRun(id, "anna", NOW + 9);
    return result?.kind === "refused" ? result.reason : assert.fail("not refused");
  };
  const { runs: [live] } = await send(store, "e2");
  assert.match(await refusal(live), /it has not ended, it is queued$/);
  await store.cancelRun(live, "by anna", NOW);
  assert.match(await refusal(live), /it was cancelled, and only a failed run can be; replay it$/);
  const { runs: [asking] } = await send(store, "e3", { asksFirst: true });
  await store.claimRuns("me", 1, NOW);
  await store.answerCondition(asking, failed("if"), { kind: "error", reason: "it threw" }, NOW);
  assert.match(await refusal(asking), /its condition failed, before any step; replay it$/);
  const old = arrival("e4", [{ ...candidate(), version: "v0" }]);
  const { runs: [unknown] } = (await store.accept([old], [], NOW))[0];
  await store.claimRuns("me", 1, NOW);
  await store.finishRun(unknown, { state: "failed", error, spent: 1 }, NOW);
  assert.match(
    await refusal(unknown),
    /version v0 of its rule is no longer kept; replay it with the rule as it is now$/,
  );
  await supersede(store);
  await dropHistory(store);
  assert.equal(await store.retryRun(run, "anna", NOW), undefined, "it is no longer known");
  assert.equal(await store.retryRun("nobody", "anna", NOW), undefined);
});

storeTest("in mode queued a retried run is the oldest again, and no two run at once", async (store) => {
  const queued = { mode: "queued" } as const;
  await store.putVersions([rule("v1", queued)]);
  const first = await startRun(store, "e1", queued);
  await store.recordStep(first, failed("a"), {}, NOW);
  await store.finishRun(first, { state: "failed", error, spent: 1, failedStep: "a" }, NOW);
  const second = await startRun(store, "e2", queued);
  await send(store, "e3", queued);
  await store.retryRun(first, "anna", NOW + 1);
  assert.deepEqual(await claimIds(store, 9, NOW + 1), []);
  await suspend(store, second, NOW + 2);
  assert.deepEqual(await claimIds(store, 9, NOW + 2), ["e1"]);
  await store.finishRun(first, { state: "succeeded", spent: 1 }, NOW + 3);
  assert.deepEqual(await claimIds(store, 9, NOW + 3), ["e2"]);
});

storeTest("in mode restart a run that a newer one replaced is not retried beside it", async (store) => {
  const restart = { mode: "restart" } as const;
  const first = await failedRun(store, [failed("a")], "a", {}, restart);
  const { runs: [second] } = (await store.accept([arrival("e2", [candidate(restart)])], [], NOW))[0];
  const result = (await store.retryRun(first, "anna", NOW))!;
  assert.match(result.kind === "refused" ? result.reason : "", new RegExp(`the newer run ${second} has replaced it`));
  await store.cancelRun(second, "by anna", NOW);
  assert.equal((await store.retryRun(first, "anna", NOW))?.kind, "done");
});

Deno.test("a retry survives a crash, and the cause of the failure survives a checkpoint", async () => {
  const disk = new FaultyDisk();
  let store = await open({ disk });
  const run = await failedRun(store, [step("a"), failed("b")], "b");
  await store.checkpoint();
  disk.cut();
  store = await open({ disk });
  assert.deepEqual(await store.retryRun(run, "anna", NOW + 9), { kind: "done", step: "b" });
  disk.cut();
  store = await open({ disk });
  assert.deepEqual(await claimIds(store, 9, NOW + 9), ["e1"]);
  assert.equal((await stepOf(store, run, "b"))?.state, "retrying");
  await store.close();
});
