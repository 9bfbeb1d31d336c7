import fc from "fast-check";
import assert from "node:assert/strict";
import type { Rule } from "../../runtime/model/rule.ts";
import type { StepRecord } from "../../runtime/model/run.ts";
import { storeTasks } from "../../runtime/store/background.ts";
import { Ledger } from "../../runtime/store/ledger/ledger.ts";
import { type Segment, SegmentLog } from "../../runtime/store/log/segment_log.ts";
import type { RunEnd, Store } from "../../runtime/store/store.ts";
import { FaultyDisk } from "../faults/faulty_disk.ts";
import {
  arrival,
  beginWait,
  candidate,
  claimIds,
  dropHistory,
  FOLDER,
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
import { dump, execute, operation, recoverRows, State } from "./state.ts";

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

/** A ledger on a disk, whose segments are sealed, folded and merged when a test says so. */
class OnDisk {
  readonly disk = new FaultyDisk();
  readonly state = new State();
  readonly #sealed: Segment[] = [];
  readonly #log = new SegmentLog(0, [], {
    disk: this.disk,
    folder: FOLDER,
    onSealed: (segment) => this.#sealed.push(segment),
    onWarning: assert.fail,
    onRefused: assert.fail,
  });
  readonly #ledger = new Ledger({
    rows: this.state.rows,
    log: this.#log,
    onHistory: (_seq, history) => this.state.remember(history),
  });

  get seq(): number {
    return this.#log.lastSeq;
  }

  add(work: () => void): Promise<void> {
    return this.#ledger.add("change", work);
  }

  seal(): Promise<number> {
    return this.#log.seal();
  }

  /** Folds the oldest segment that is sealed. */
  async fold(): Promise<void> {
    const segment = this.#sealed.shift();
    if (!segment) return;
    await storeTasks.fold(this.disk, FOLDER, segment);
    this.#log.forget(segment);
  }

  async merge(): Promise<void> {
    await storeTasks.merge(this.disk, FOLDER, { now: NOW, retention: 1e12 });
  }
}

/** As in JSON: an undefined property is missing. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

const upkeep = fc.constantFrom("seal", "fold", "merge", "fail", "none", "none", "none", "none", "none");

Deno.test("the state after a replay equals the live state: rows, indexes, counts and identities, after folds and merges", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(operation, upkeep), { minLength: 20, maxLength: 120 }), async (steps) => {
      const store = new OnDisk();
      const { state } = store;
      await store.disk.mkdir(FOLDER);
      const groups = new Map();
      for (const [each, what] of steps) {
        state.now += 500;
        if (what === "fail") {
          const failing = store.add(() => {
            execute(state, each);
            throw new Error("half-way");
          });
          // In the same group.
          await Promise.all([store.add(() => execute(state, each)), assert.rejects(failing, /half-way/)]);
        } else await store.add(() => execute(state, each));
        if (what === "seal" || what === "fold" || what === "merge") await store[what]();
      }
      const cut = store.disk.copy();
      cut.cut();
      const found = await recoverRows(cut);
      assert.equal(found.seq, store.seq);
      assert.deepEqual(plain(dump(found.rows, groups)), plain(dump(state.rows, groups)));
    }),
    { numRuns: 60 },
  );
});

Deno.test("a replay up to any frame gives the state at that frame", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { minLength: 10, maxLength: 60 }), fc.nat(), async (operations, where) => {
      const store = new OnDisk();
      const { state } = store;
      await store.disk.mkdir(FOLDER);
      const groups = new Map();
      const states = new Map<number, unknown>([[0, plain(dump(state.rows, groups))]]);
      for (const each of operations) {
        state.now += 500;
        await store.add(() => execute(state, each));
        states.set(store.seq, plain(dump(state.rows, groups)));
      }
      const path = `${FOLDER}/log-000000000001`;
      if (!store.disk.paths().includes(path)) return;
      const bytes = await store.disk.read(path);
      const cut = store.disk.copy();
      cut.put(path, bytes.subarray(0, where % (bytes.length + 1)));
      const found = await recoverRows(cut, () => {});
      assert.deepEqual(plain(dump(found.rows, groups)), states.get(found.seq));
    }),
    { numRuns: 60 },
  );
});
