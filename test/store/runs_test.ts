import assert from "node:assert/strict";
import type { Admission, Cancelled, Store } from "../../runtime/store/store.ts";
import { arrival, candidate, claimIds, dropHistory, NOW, rule, send, step, storeTest } from "./helpers.ts";

async function claimOne(store: Store, now = NOW) {
  const [claimed] = await store.claimRuns("me", 1, now);
  return claimed;
}

storeTest("a claimed run has its event and steps, and is running", async (store) => {
  await send(store, "e1");
  const claimed = await claimOne(store, NOW + 5);
  assert.equal(claimed.run.state, "running");
  assert.equal(claimed.run.startedAt, NOW + 5);
  assert.deepEqual(claimed.run.event, arrival("e1").event);
  assert.deepEqual([claimed.steps, claimed.asksFirst, claimed.again, claimed.alone], [[], false, false, 0]);
  assert.equal(await claimOne(store), undefined);
});

storeTest("runs are claimed oldest first over all rules, not before they are due", async (store) => {
  await store.accept([arrival("e1", [candidate({}, "b")])], [], NOW + 1);
  await store.accept([arrival("e2", [candidate({}, "a")])], [], NOW + 2);
  await store.accept([arrival("e3", [candidate({}, "c")])], [], NOW + 3);
  assert.equal(await store.nextDue(), NOW + 1);
  assert.deepEqual(await claimIds(store, 1, NOW + 2), ["e1"]);
  assert.deepEqual(await claimIds(store, 9, NOW + 2), ["e2"]);
  assert.equal(await store.nextDue(), NOW + 3);
});

storeTest("a step's record replaces the one of the same path and keeps its place", async (store) => {
  await send(store, "e1");
  const { run } = await claimOne(store);
  await store.recordStep(run.id, step("a", { state: "retrying" }), {}, NOW);
  await store.recordStep(run.id, step("b"), {}, NOW);
  const result = await store.recordStep(run.id, step("a", { attempts: 2, output: { ok: true } }), {}, NOW);
  assert.deepEqual(result, { record: step("a", { attempts: 2, output: { ok: true } }) });
  await store.suspendRun(run.id, { state: "queued", waitingFor: "a retry", due: NOW + 10, spent: 7 }, NOW);
  const again = await claimOne(store, NOW + 10);
  assert.deepEqual(again.steps.map(({ path, attempts }) => [path, attempts]), [["a", 2], ["b", 1]]);
  assert.deepEqual([again.again, again.run.spent], [true, 7]);
});

storeTest("state: sets memory across runs and gives the previous value, with a time to live", async (store) => {
  await send(store, "e1");
  const { run } = await claimOne(store);
  const exchange = async (value: number | null, now: number, ttl?: number) => {
    const effects = { state: { key: "up/x", value, ...(ttl !== undefined && { ttl }) } };
    return (await store.recordStep(run.id, step(`s${now}`), effects, now)).record.output;
  };
  assert.equal(await exchange(1, NOW), null);
  assert.equal(await exchange(2, NOW + 1, 100), 1);
  assert.deepEqual(await store.getState(["up/x", "up/y"], NOW + 100), { "up/x": 2 });
  assert.deepEqual(await store.getState(["up/x"], NOW + 101), {});
  assert.equal(await exchange(3, NOW + 102), null);
  assert.equal(await exchange(null, NOW + 103), 3);
  assert.deepEqual(await store.getState(["up/x"], NOW + 104), {});
});

storeTest("the first reply to an event counts; a duplicate gets it", async (store) => {
  const { runs: [id], event } = await send(store, "e1");
  await claimOne(store);
  assert.equal(await store.getReply(event), undefined);
  const reply = { status: 200, headers: {}, body: "42" };
  assert.equal((await store.recordStep(id, step("r"), { reply }, NOW)).replied, true);
  assert.equal((await store.recordStep(id, step("r2"), { reply: { ...reply, body: "43" } }, NOW)).replied, false);
  assert.deepEqual(await store.getReply(event), reply);
  assert.deepEqual((await send(store, "e1")).reply, reply);
});

storeTest(
  "a run may end with a step's record and frees its slot at once, unless the step's reply comes second",
  async (store) => {
    const reply = { status: 200, headers: {}, body: "42" };
    const end = { state: "succeeded", output: null, spent: 5 } as const;
    await send(store, "e1", { max: 1 });
    await send(store, "e2", { max: 1 });
    const { run } = await claimOne(store);
    await store.recordStep(run.id, step("r"), { reply }, NOW);
    assert.equal((await store.recordStep(run.id, step("again"), { reply, end }, NOW)).ended, undefined);
    assert.deepEqual(await claimIds(store), []);
    assert.equal((await store.recordStep(run.id, step("last"), { end }, NOW + 1)).ended, true);
    const { run: ended, steps } = (await store.getRun(run.id))!;
    assert.deepEqual([ended.state, ended.endedAt, ended.spent], ["succeeded", NOW + 1, 5]);
    assert.deepEqual(steps.map(({ path }) => path), ["r", "again", "last"]);
    assert.deepEqual(await claimIds(store), ["e2"]);
  },
);

storeTest("a result that arrives after its run ended is dropped with its effects", async (store) => {
  await send(store, "e1");
  const { run } = await claimOne(store);
  await store.finishRun(run.id, { state: "failed", error: { name: "E", message: "m" }, spent: 3.4 }, NOW + 1);
  const late = await store.recordStep(run.id, step("a"), { state: { key: "k", value: 1 } }, NOW + 2);
  assert.equal(late.dropped, true);
  assert.deepEqual(await store.getState(["k"], NOW), {});
  await store.finishRun(run.id, { state: "succeeded", spent: 9 }, NOW + 3);
  await store.suspendRun(run.id, { state: "queued", waitingFor: "x", spent: 9 }, NOW + 3);
  const trace = await store.getRun(run.id);
  assert.deepEqual(
    [trace?.run.state, trace?.run.error?.message, trace?.run.endedAt, trace?.run.spent, trace?.steps],
    ["failed", "m", NOW + 1, 3, []],
  );
});

storeTest("a run that waits without a due time is not claimed", async (store) => {
  await send(store, "e1");
  const { run } = await claimOne(store);
  await store.suspendRun(run.id, { state: "waiting", waitingFor: "an event", spent: 1 }, NOW);
  assert.equal(await store.nextDue(), undefined);
  assert.deepEqual(await claimIds(store, 9, NOW + 1e9), []);
  assert.equal((await store.getRun(run.id))?.run.waitingFor, "an event");
});

storeTest("a run ended by a watchdog says so at its next claim", async (store) => {
  await send(store, "e1");
  const { run } = await claimOne(store);
  await store.suspendRun(run.id, { state: "queued", waitingFor: "another attempt", spent: 1, alone: 1 }, NOW);
  assert.equal((await claimOne(store)).alone, 1);
});

storeTest("cancelling: a queued run ends at once, a running one is left to its runner", async (store) => {
  const queued = (await send(store, "e1")).runs[0];
  const asked = { kind: "asked", state: "cancelled" };
  assert.deepEqual(await store.cancelRun(queued, "Cancelled by anna", NOW + 1), { ...asked, ended: true });
  const trace = (await store.getRun(queued))!;
  assert.deepEqual([trace.run.state, trace.run.error?.message, trace.run.endedAt], [
    "cancelled",
    "Cancelled by anna",
    NOW + 1,
  ]);
  assert.deepEqual(trace.notes, [{ at: NOW + 1, text: "Cancelled by anna" }]);
  const running = (await send(store, "e2")).runs[0];
  assert.deepEqual(await claimIds(store), ["e2"]);
  const isRunning = { kind: "asked", state: "running", ended: false };
  // In a store that is shared, the owner `me` may be another replica: then the answer also names it.
  const { owner: _owner, ...cancelled } = await store.cancelRun(running, "Cancelled by anna", NOW) as Cancelled;
  assert.deepEqual(cancelled, isRunning);
  assert.equal((await store.getRun(running))?.run.state, "running");
  assert.deepEqual(await store.cancelRun(queued, "again", NOW), { ...asked, ended: false });
  assert.equal(await store.cancelRun("nobody", "", NOW), undefined);
});

storeTest("after a start the runs of another owner are queued again, in their old order", async (store) => {
  for (const id of ["e1", "e2", "e3"]) await send(store, id);
  await store.claimRuns("before", 2, NOW);
  assert.equal(await store.reclaimRuns({ kept: ["me"] }, NOW + 9), 2);
  assert.equal(await store.reclaimRuns({ kept: ["me"] }, NOW + 9), 0);
  const claimed = await store.claimRuns("me", 9, NOW + 9);
  assert.deepEqual(claimed.map(({ run, again }) => [run.event.id, again]), [["e1", true], ["e2", true], ["e3", false]]);
  assert.equal(await store.reclaimRuns({ kept: ["me"] }, NOW + 9), 0, "its own runs stay");
});

storeTest("a replay is a new run of the same event, pinned to the version asked for", async (store) => {
  await store.putVersions([rule("v1"), rule("v2", { mode: "single" })]);
  const { runs: [id], event } = await send(store, "e1", { key: "k" });
  await claimIds(store);
  await store.finishRun(id, { state: "failed", spent: 1 }, NOW);
  const replayed = (await store.replayRun(id, "v2", "anna", NOW + 1))!;
  const same = (await store.replayRun(id, undefined, "anna", NOW + 1))!;
  const runs = await store.listRuns({ event, limit: 9 });
  assert.deepEqual(runs.map((run) => [run.id, run.version, run.replayOf, run.key]), [
    [same, "v1", id, "k"],
    [replayed, "v2", id, "k"],
    [id, "v1", undefined, "k"],
  ]);
  assert.match((await store.getRun(id))!.notes[0].text, /^Replayed by anna as run /);
  assert.equal(await store.replayRun("nobody", undefined, "anna", NOW), undefined);
  assert.equal(await store.replayRun(id, "v9", "anna", NOW), undefined);
});

const asks: Partial<Admission> = { asksFirst: true, mode: "queued", key: "a" };
const answer = step("if", { kind: "if", output: true });

storeTest("conditions are evaluated in event order for each rule, one at a time", async (store) => {
  for (const id of ["e1", "e2"]) await send(store, id, asks);
  await store.accept([arrival("e3", [candidate(asks, "other")])], [], NOW);
  const claimed = await store.claimRuns("me", 9, NOW);
  assert.deepEqual(claimed.map(({ run, asksFirst }) => [run.event.id, asksFirst]), [["e3", true], ["e1", true]]);
  await store.answerCondition(claimed[1].run.id, answer, "yes", NOW + 1);
  const next = await store.claimRuns("me", 9, NOW + 1);
  assert.deepEqual(next.map(({ run, asksFirst, again }) => [run.event.id, asksFirst, again]), [
    ["e1", false, false],
    ["e2", true, false],
  ]);
  assert.deepEqual(next[0].steps, [answer]);
});

storeTest("true is admitted by mode, key and limit; its verdict counts only then", async (store) => {
  const held: Partial<Admission> = { ...asks, mode: "parallel", limit: { count: 1, per: 1_000 } };
  for (const id of ["e1", "e2"]) await send(store, id, held);
  assert.deepEqual(await store.countVerdicts(), {});
  const first = await claimOne(store);
  const started = await store.answerCondition(first.run.id, answer, "yes", NOW);
  assert.deepEqual(started, { verdict: { kind: "started", run: first.run.id }, replaces: [] });
  await claimIds(store, 1);
  const second = await claimOne(store);
  const { verdict } = await store.answerCondition(second.run.id, answer, "yes", NOW);
  assert.equal(verdict.kind, "held");
  assert.equal(await store.nextDue(), NOW + 1_000);
  assert.deepEqual(await store.countVerdicts(), { "shop/pay": { started: 1, held: 1 } });
  const [event] = await store.listEvents({ limit: 1 });
  assert.deepEqual(event.verdicts[0].verdict, verdict);
});

storeTest("false leaves the verdict and no run in the listing; its trace can be read", async (store) => {
  const { runs: [id], event } = await send(store, "e1", asks);
  await claimOne(store);
  const no = { kind: "condition", reason: "the function returned false" } as const;
  const { verdict } = await store.answerCondition(id, answer, no, NOW);
  assert.deepEqual(verdict, { ...no, run: id });
  assert.deepEqual(await store.listRuns({ limit: 9 }), []);
  assert.deepEqual(await store.listRuns({ event, limit: 9 }), []);
  const trace = (await store.getRun(id))!;
  assert.deepEqual([trace.run.state, trace.run.error?.message, trace.steps], ["cancelled", no.reason, [answer]]);
  assert.equal((await store.countRuns()).cancelled, 0);
  assert.deepEqual((await store.listEvents({ limit: 1 }))[0].verdicts[0].verdict, verdict);
});

storeTest("a condition that crashed is an error: a failed run that can be replayed", async (store) => {
  await store.putVersions([rule("v1", { if: "function" })]);
  const { runs: [id] } = await send(store, "e1", asks);
  await claimOne(store);
  await store.answerCondition(id, step("if", { state: "failed" }), { kind: "error", reason: "it timed out" }, NOW);
  assert.deepEqual((await store.listRuns({ state: "failed", limit: 9 })).map((run) => run.id), [id]);
  const replayed = await store.replayRun(id, undefined, "anna", NOW);
  const claimed = await claimOne(store);
  assert.deepEqual([claimed.run.id, claimed.asksFirst], [replayed, true]);
});

storeTest("true in mode single becomes busy while another run is live", async (store) => {
  const single: Partial<Admission> = { ...asks, mode: "single" };
  const { runs: [first] } = await send(store, "e1", single);
  const { runs: [second] } = await send(store, "e2", single);
  await claimOne(store);
  await store.answerCondition(first, answer, "yes", NOW);
  const claimed = await store.claimRuns("me", 9, NOW);
  assert.deepEqual(claimed.map(({ run }) => run.id), [first, second]);
  assert.equal((await store.answerCondition(second, answer, "yes", NOW)).verdict.kind, "busy");
  assert.deepEqual((await store.listRuns({ limit: 9 })).map(({ id }) => id), [first]);
});

storeTest("true in mode restart names the running runs that it replaces", async (store) => {
  const restart: Partial<Admission> = { ...asks, mode: "restart" };
  const { runs: [first] } = await send(store, "e1", restart);
  await claimOne(store);
  await store.answerCondition(first, answer, "yes", NOW);
  await claimOne(store);
  const { runs: [second] } = await send(store, "e2", restart);
  await claimOne(store);
  assert.deepEqual((await store.answerCondition(second, answer, "yes", NOW)).replaces, [first]);
  assert.deepEqual(await claimIds(store), []);
  await store.finishRun(first, { state: "cancelled", spent: 1 }, NOW);
  assert.deepEqual(await claimIds(store), ["e2"]);
});

storeTest("a result for a run that was cancelled meanwhile changes nothing", async (store) => {
  const { runs: [id] } = await send(store, "e1", asks);
  await store.cancelRun(id, "Cancelled by anna", NOW);
  assert.equal((await store.answerCondition(id, answer, "yes", NOW)).verdict.kind, "error");
  assert.equal((await store.getRun(id))?.run.state, "cancelled");
});

storeTest("the live rules are known by id until they are replaced or removed", async (store) => {
  const other = { ...rule("v9"), id: "other" };
  await store.putVersions([rule("v1"), other]);
  await store.putVersions([rule("v2")]);
  assert.deepEqual(await store.getInForce([rule("v2").id, "other", "unknown"]), [rule("v2")]);
});

storeTest(
  "rules that a reload does not name stay live; removed ones may come back in any version",
  async (store) => {
    const [a, b, c] = ["a", "b", "c"].map((id) => ({ ...rule(`${id}1`), id }));
    const inForce = async () => (await store.getInForce(["a", "b", "c"])).map(({ version }) => version);
    await store.putVersions([a, b]);
    await store.changeVersions([{ ...a, version: "a2" }, c], ["b"]);
    assert.deepEqual(await inForce(), ["a2", "c1"]);
    await store.changeVersions([a, b], []);
    assert.deepEqual(await inForce(), ["a1", "b1", "c1"]);
  },
);

storeTest("versions stay while a live or past run, or a rule, uses them", async (store) => {
  const code = "const secret = 'x';";
  await store.putVersions([rule("v1", { modules: { "": code } }), rule("v2"), rule("v3")]);
  await store.putVersions([rule("v1", { name: "ignored, as v1 is known" })]);
  const { runs: [id] } = await send(store, "e1");
  await store.dropVersions(["v3"]);
  assert.deepEqual(await store.getVersion("v1"), rule("v1", { modules: { "": code } }));
  assert.equal(await store.getVersion("v2"), undefined);
  assert.equal((await store.getVersion("v3"))?.version, "v3");
  await store.cancelRun(id, "", NOW);
  for (const fold of [false, true]) {
    if (fold) await store.checkpoint();
    await store.dropVersions(["v3"]);
    assert.equal((await store.getVersion("v1"))?.version, "v1", "history shows a run on it");
  }
  const newer = { ...arrival("e2"), candidates: [{ ...candidate(), version: "v3" }] };
  const [{ runs: [last] }] = await store.accept([newer], [], NOW);
  await store.cancelRun(last, "", NOW);
  await dropHistory(store);
  await store.dropVersions([]);
  assert.equal(await store.getVersion("v1"), undefined);
  assert.equal((await store.getVersion("v3"))?.version, "v3", "the last run of its rule was on it");
});

storeTest("the versions of a rule keep the order in which they came into force, over a restart, too", async (store) => {
  const put = (...versions: string[]) => store.putVersions(versions.map((version) => rule(version)));
  await put("v1");
  await put("v1");
  const { id } = rule("v1");
  assert.deepEqual(await store.listVersions(id), [], "the only one needs no order");
  await put("v2");
  await store.changeVersions([rule("v3")], []);
  await store.dropVersions(["v3"]);
  assert.deepEqual(await store.listVersions(id), ["v1", "v2", "v3"]);
  await store.changeVersions([], [id]);
  await put("v1");
  assert.deepEqual(await store.listVersions(id), ["v2", "v3", "v1"], "one that comes back is the newest");
  for (let at = 4; at < 120; at++) await put(`v${at}`);
  assert.deepEqual((await store.listVersions(id)).map((version) => version).at(0), "v20");
});

storeTest("paused rules are listed with the reason until they are resumed", async (store) => {
  await store.setPaused("a", "by anna");
  await store.setPaused("b", "blocked twice");
  await store.setPaused("a", null);
  assert.deepEqual(await store.listPaused(), { b: "blocked twice" });
});

storeTest("listings are newest first, filtered, and paged by `before`", async (store) => {
  for (const id of ["e1", "e2", "e3"]) await send(store, id);
  await store.accept([arrival("e4", [candidate({}, "other")])], [], NOW);
  const other = arrival("e5", []);
  other.event.type = "else";
  await store.accept([other], [], NOW);
  const runs = await store.listRuns({ limit: 2 });
  assert.deepEqual(runs.map(({ event }) => event.id), ["e4", "e3"]);
  assert.deepEqual((await store.listRuns({ limit: 9, before: runs[1].id })).map(({ event }) => event.id), ["e2", "e1"]);
  assert.equal((await store.listRuns({ rule: "other", state: "queued", limit: 9 })).length, 1);
  assert.equal((await store.listRuns({ rule: "other", state: "failed", limit: 9 })).length, 0);
  assert.deepEqual(await store.listRuns({ event: { source: "x", id: "y" }, limit: 9 }), []);
  const events = await store.listEvents({ limit: 2 });
  assert.deepEqual(events.map(({ event }) => event.id), ["e5", "e4"]);
  const rest = await store.listEvents({ limit: 2, before: events[1].key });
  assert.deepEqual(rest.map(({ event }) => event.id), ["e3", "e2"]);
  assert.deepEqual((await store.listEvents({ type: "else", limit: 9 })).map(({ event }) => event.id), ["e5"]);
  assert.deepEqual((await store.listEvents({ rule: "other", limit: 9 })).map(({ event }) => event.id), ["e4"]);
  assert.equal((await store.listEvents({ rule: "other", type: "else", limit: 9 })).length, 0);
});

storeTest("runs are counted by state, ended ones for ever", async (store) => {
  for (const id of ["e1", "e2", "e3"]) await send(store, id);
  const claimed = await store.claimRuns("me", 2, NOW);
  await store.finishRun(claimed[0].run.id, { state: "succeeded", output: 1, spent: 1 }, NOW);
  const counts = { queued: 1, running: 1, waiting: 0, succeeded: 1, failed: 0, cancelled: 0 };
  assert.deepEqual(await store.countRuns(), counts);
  const stats = await store.stats();
  assert.deepEqual([stats.events, stats.identities, stats.runs], [3, 3, 3]);
  assert.ok(stats.bytes > 0 && stats.journalBytes > 0);
});

storeTest(
  "after a crash a replaced run does not come back; a replayed one replaces none",
  async (store) => {
    await store.putVersions([rule("v1", { mode: "restart" })]);
    const { runs: [old] } = await send(store, "e1", { mode: "restart" });
    await store.claimRuns("me", 1, NOW);
    const { runs: [newer], replaces } = await send(store, "e2", { mode: "restart" });
    assert.deepEqual(replaces, [old]);
    assert.equal(await store.reclaimRuns({ kept: ["another"] }, NOW + 1), 0);
    assert.equal((await store.getRun(old))?.run.state, "cancelled");
    assert.deepEqual((await store.claimRuns("another", 9, NOW + 1)).map(({ run }) => run.id), [newer]);
    await store.replayRun(old, undefined, "anna", NOW + 2);
    assert.equal(await store.reclaimRuns({ kept: ["a third"] }, NOW + 3), 1);
  },
);
