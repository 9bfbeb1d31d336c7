import assert from "node:assert/strict";
import { actWhileAlive } from "../../runtime/engine/acting.ts";
import { ReplyWaiters } from "../../runtime/web/reply_waiters.ts";
import { awaitReply } from "../../runtime/web/answer.ts";
import { type Bench, callStep, codeRule, makeRule, makeStep, START, states, until, withCode } from "./harness.ts";
import { caughtUp, insideOf } from "../store/shared/pair.ts";
import { withReplicas } from "./replicas.ts";

/** A function that reports its call, and returns when released. */
function gate() {
  const called = Promise.withResolvers<AbortSignal>();
  const back = Promise.withResolvers<null>();
  const execute = (_args: unknown, signal: AbortSignal) => {
    called.resolve(signal);
    signal.addEventListener("abort", () => back.reject(signal.reason));
    return back.promise;
  };
  return { called: called.promise, back, execute };
}

const waitFor = (id: string) => makeStep(id, "waitFor", { waitFor: "paid", timeout: 3_600_000 });
const stateOf = async (bench: Bench, run: string) => (await bench.trace(run)).run.state;

Deno.test("a run that waits goes on once, wherever the event arrives", () =>
  withReplicas(async ({ decider, follower }) => {
    for (const [one, other] of [[decider, follower], [follower, decider]]) {
      one.functions.tell = other.functions.tell = () => null;
      const rule = makeRule([callStep("before", "tell"), waitFor("paid"), callStep("after", "tell")]);
      const { runs: [run] } = await one.take(rule);
      await one.reached(run, "paid", "waiting");
      await until(async () => await stateOf(other, run) === "waiting");
      assert.deepEqual(await other.emit("paid"), [run]);
      for (const bench of [one, other]) await until(async () => await stateOf(bench, run) === "succeeded");
      assert.deepEqual([...one.calls, ...other.calls], ["tell", "tell"]);
      await until(() => one.finished.length + other.finished.length > 0);
      assert.deepEqual([...one.finished, ...other.finished].map(({ id }) => id), [run]);
      for (const bench of [one, other]) [bench.calls, bench.finished] = [[], []];
    }
  }));

Deno.test("a branch that waits in the memory of one replica is woken by an event at another", () =>
  withReplicas(async ({ decider, follower }) => {
    for (const [one, other] of [[decider, follower], [follower, decider]]) {
      const slow = gate();
      const told = Promise.withResolvers<null>();
      one.functions = { slow: slow.execute, tell: () => (told.resolve(null), null) };
      const parallel = makeStep("both", "parallel", { parallel: {} }, {
        children: { work: [callStep("work", "slow")], pay: [waitFor("paid"), callStep("told", "tell")] },
      });
      const { runs: [run] } = await one.take(makeRule([parallel]));
      await slow.called;
      await one.reached(run, "both/pay/paid", "waiting");
      await until(async () => states(await other.trace(run)).includes("both/pay/paid waiting"));
      assert.deepEqual(await other.emit("paid"), [run]);
      await told.promise;
      assert.equal(await stateOf(one, run), "running");
      slow.back.resolve(null);
      await one.until(async () => await stateOf(one, run) === "succeeded");
      assert.deepEqual([one.finished.length, other.finished.length], [1, 0]);
      one.finished = [];
    }
  }));

Deno.test("two branches that wait in the memory of one replica are each woken by their event at another", () =>
  withReplicas(async ({ decider, follower }) => {
    for (const [one, other] of [[decider, follower], [follower, decider]]) {
      const slow = gate();
      const told = { paid: Promise.withResolvers<null>(), shipped: Promise.withResolvers<null>() };
      one.functions = {
        slow: slow.execute,
        paid: () => (told.paid.resolve(null), null),
        shipped: () => (told.shipped.resolve(null), null),
      };
      const branch = (type: string) => [
        makeStep("wait", "waitFor", { waitFor: type, timeout: 3_600_000 }),
        callStep("told", type),
      ];
      const parallel = makeStep("all", "parallel", { parallel: {} }, {
        children: { work: [callStep("work", "slow")], paid: branch("paid"), shipped: branch("shipped") },
      });
      const { runs: [run] } = await one.take(makeRule([parallel]));
      await slow.called;
      for (const type of ["paid", "shipped"] as const) {
        await one.reached(run, `all/${type}/wait`, "waiting");
        await until(async () => states(await other.trace(run)).includes(`all/${type}/wait waiting`));
      }
      // Each goes on while the branch beside it works.
      for (const type of ["paid", "shipped"] as const) {
        assert.deepEqual(await other.emit(type), [run]);
        await told[type].promise;
      }
      slow.back.resolve(null);
      await one.until(async () => await stateOf(one, run) === "succeeded");
      one.finished = [];
    }
  }));

Deno.test("an event that comes while a run of many waits falls asleep wakes its branch", () =>
  withReplicas(async ({ place, decider, follower }) => {
    const told = Promise.withResolvers<null>();
    follower.functions = { tell: () => (told.resolve(null), null) };
    const wait = makeStep("paid", "waitFor", { waitFor: "paid", match: { "data.n": "item" }, timeout: 3_600_000 });
    const each = makeStep("all", "each", { each: "event.data", max: 40 }, {
      children: { then: [wait, callStep("told", "tell")] },
    });
    // The request to suspend the run is on its way while the event is decided.
    const suspending = Promise.withResolvers<void>();
    const decided = Promise.withResolvers<void>();
    follower.replica.before.send = () => {
      const inside = insideOf(follower.shared).rows;
      if (inside.size("wait") < 40 || [...inside.all("wait")].some(([, { searching }]) => searching)) return;
      suspending.resolve();
      return decided.promise;
    };
    const { runs: [run] } = await follower.take(makeRule([each]), Array.from({ length: 40 }, (_, n) => n));
    await suspending.promise;
    assert.deepEqual(await decider.emit("paid", { n: 3 }), [run]);
    await caughtUp(place, follower.replica);
    await follower.until(() => Promise.resolve(true));
    decided.resolve();
    await told.promise;
  }));

Deno.test("a run that another replica executes is cancelled there: it has stopped when cancel resolves", () =>
  withReplicas(async ({ decider, follower }) => {
    for (const [one, other] of [[decider, follower], [follower, decider]]) {
      const slow = gate();
      one.functions.slow = slow.execute;
      const { runs: [run] } = await one.take(makeRule([callStep("a", "slow"), callStep("b", "slow")]));
      const signal = await slow.called;
      assert.equal(await other.runner.cancel(run, "Cancelled by anna", "anna"), "cancelled");
      assert.ok(signal.aborted);
      assert.equal(one.runner.running(), 0);
      const { run: { state, error }, steps, notes } = await other.trace(run);
      assert.deepEqual([state, error?.message], ["cancelled", "Cancelled by anna"]);
      assert.deepEqual(steps.map(({ path, state }) => `${path} ${state}`), ["a cancelled"]);
      assert.deepEqual(notes.map(({ text, by }) => [text, by]), [["Cancelled by anna", "anna"]]);
      assert.deepEqual([one.finished.map(({ id }) => id), other.finished], [[run], []]);
      one.finished = [];
    }
  }));

Deno.test("a replica that does not end a run in time is named, and the run ends with it", () =>
  withReplicas(async ({ place, clock, decider, follower }) => {
    const slow = gate();
    follower.functions.slow = slow.execute;
    const { runs: [run] } = await follower.take(makeRule([callStep("a", "slow")]));
    await slow.called;
    place.kill(follower.replica);
    const cancelled = decider.runner.cancel(run, "Cancelled by anna");
    cancelled.catch(() => {});
    await until(async () => (await decider.trace(run)).notes.length === 1);
    await clock.advanceTo(START + 25_000);
    await assert.rejects(cancelled, {
      name: "NotEndedError",
      message: new RegExp(`Run ${run} has not ended yet: replica ${follower.replica.id}, which .* 25 s ago`),
    });
    assert.equal(await stateOf(decider, run), "running");
    await decider.shared.retire(follower.replica.id, clock.now());
    assert.equal(await stateOf(decider, run), "cancelled");
  }));

Deno.test("mode restart ends the run that another replica executes before the new one begins", () =>
  withReplicas(async ({ decider, follower }) => {
    for (const [one, other] of [[decider, follower], [follower, decider]]) {
      const [first, second] = [gate(), gate()];
      one.functions.work = first.execute;
      other.functions.work = second.execute;
      const rule = makeRule([callStep("a", "work")], { id: `ops/${one.replica.id}`, mode: "restart" });
      const { runs: [replaced] } = await one.take(rule);
      const signal = await first.called;
      one.functions.work = second.execute;
      const { runs: [run], replaces } = await other.take(rule);
      assert.deepEqual(replaces, [replaced]);
      await second.called;
      assert.ok(signal.aborted);
      assert.equal(await stateOf(other, replaced), "cancelled");
      second.back.resolve(null);
      await until(async () => await stateOf(other, run) === "succeeded");
    }
  }));

Deno.test("due runs go to the replica that decides; one that follows takes what is left after a moment", () =>
  withReplicas(async ({ clock, decider, follower }) => {
    const slow = gate();
    decider.functions = { slow: slow.execute, tell: () => null };
    follower.functions = { tell: () => null };
    const later = makeRule([makeStep("later", "wait", { wait: "1m" }), callStep("after", "tell")]);
    const { runs: [first] } = await follower.take(later);
    await until(async () => await stateOf(decider, first) === "waiting");
    await clock.advanceTo(START + 60_000);
    await until(async () => await stateOf(decider, first) === "succeeded");
    assert.deepEqual([decider.calls, follower.calls], [["tell"], []]);
    // The one that decides has no free slot.
    await decider.take(makeRule([callStep("a", "slow")]));
    await slow.called;
    const { runs: [second] } = await follower.take(later);
    await until(async () => await stateOf(decider, second) === "waiting");
    await clock.advanceTo(START + 120_000);
    assert.deepEqual(follower.calls, []);
    await clock.advanceTo(START + 120_100);
    await until(async () => await stateOf(decider, second) === "succeeded");
    assert.deepEqual(follower.calls, ["tell"]);
    slow.back.resolve(null);
  }, { options: { maxRuns: 1 } }));

Deno.test("the runs of replicas that are alive are left alone; those of unknown ones are queued again", () =>
  withReplicas(async ({ decider, follower }) => {
    const slow = gate();
    follower.functions.slow = slow.execute;
    const { runs: [run] } = await follower.take(makeRule([callStep("a", "slow")]));
    await slow.called;
    await decider.runner.promote();
    assert.equal(await stateOf(decider, run), "running");
    slow.back.resolve(null);
    await until(async () => await stateOf(decider, run) === "succeeded");
    assert.equal(follower.calls.length, 1);
  }));

Deno.test("a replica that starts while another one looks for runs that were left keeps its own", () =>
  withReplicas(async ({ decider, start }) => {
    const slow = gate();
    const started = Promise.withResolvers<string>();
    decider.onListed = async () => {
      const newest = await start();
      newest.functions.slow = slow.execute;
      const { runs: [run] } = await newest.take(makeRule([callStep("a", "slow")]));
      await slow.called;
      started.resolve(run);
    };
    await decider.runner.promote();
    const run = await started.promise;
    assert.equal(await stateOf(decider, run), "running");
    slow.back.resolve(null);
    await until(async () => await stateOf(decider, run) === "succeeded");
    assert.deepEqual(decider.calls, []);
  }));

Deno.test("a replica that is promoted queues the runs of its dead predecessor again, and keeps its own", () =>
  withReplicas(async ({ place, decider, follower, start }) => {
    const third = await start();
    const [left, kept, others] = [gate(), gate(), gate()];
    decider.functions.work = left.execute;
    follower.functions.work = kept.execute;
    third.functions.work = others.execute;
    const rule = makeRule([callStep("a", "work")]);
    const [{ runs: [one] }, { runs: [two] }, { runs: [three] }] = [
      await decider.take(rule),
      await follower.take(rule),
      await third.take(rule),
    ];
    await Promise.all([left.called, kept.called, others.called]);
    place.kill(decider.replica);
    follower.functions.work = () => null;
    await place.promote(follower.replica);
    await follower.runner.promote();
    await until(async () => await stateOf(follower, one) === "succeeded");
    assert.deepEqual([await stateOf(follower, two), await stateOf(follower, three)], ["running", "running"]);
    kept.back.resolve(null);
    others.back.resolve(null);
    for (const run of [two, three]) await until(async () => await stateOf(follower, run) === "succeeded");
    assert.deepEqual([follower.calls.length, third.calls.length], [2, 1]);
  }));

Deno.test("a reply that another replica records answers the request; so does the end of its run", () =>
  withReplicas(async ({ clock, decider, follower }) => {
    for (const [one, other] of [[decider, follower], [follower, decider]]) {
      const replies = new ReplyWaiters(one.store, (error) => one.errors.push(error));
      one.onChange = ({ tables }) => replies.changed(tables);
      const hold = gate();
      other.functions = { hold: hold.execute, fail: () => Promise.reject(new Error("no")) };
      // The request arrives at one, but the other executes the run.
      const lease = one.runner.lease(1_000);
      const answer = async (rule: ReturnType<typeof makeRule>) => {
        const receipt = await one.take(rule);
        assert.deepEqual(receipt.claimed ?? [], []);
        other.runner.wake();
        return await awaitReply([receipt], 10_000, { clock, replies, store: one.store });
      };
      const replying = answer(makeRule([callStep("a", "hold"), makeStep("b", "reply", { reply: 201, body: "done" })]));
      await hold.called;
      hold.back.resolve(null);
      assert.deepEqual((await replying).reply?.body, "done");
      // Nothing may come between the event and the reply.
      const quick = await answer(makeRule([makeStep("b", "reply", { reply: 201, body: "at once" })]));
      assert.equal(quick.reply?.body, "at once");
      const { reply, failed } = await answer(makeRule([callStep("a", "fail")]));
      assert.deepEqual([reply, failed], [undefined, ["ops/test"]]);
      one.runner.take(lease, []);
      one.onChange = () => {};
    }
  }));

/** A sign of life that is not old however long a test takes. */
const LATER = performance.now() + 3_600_000;

/** Signs of life of a replica as tests want them. */
function life(lastBeat: number) {
  const state = { lastBeat, lost: undefined as Error | undefined };
  return { state, acting: actWhileAlive(state, () => state.lost) };
}

Deno.test("new work waits while the last sign of life is old, and is refused once the replica is lost", async () => {
  const { state, acting } = life(performance.now());
  assert.equal(acting(), undefined);
  state.lastBeat -= 2_000;
  const [first, second] = [acting(), acting()];
  assert.ok(first !== undefined && first === second, "one wait serves all");
  state.lastBeat = performance.now();
  await first;
  assert.equal(acting(), undefined);
  state.lost = new Error("declared dead");
  await assert.rejects(acting()!, { name: "Interruption", kind: "shutdown", message: "declared dead" });
});

Deno.test("a replica without a sign of life begins no attempt of a step; once it is lost, its run is put back", () => {
  const { state, acting } = life(LATER);
  return withReplicas(async ({ decider, start }) => {
    decider.functions.second = () => null;
    const replica = await start(acting);
    const first = gate();
    replica.functions = { first: first.execute, second: () => null };
    const rule = makeRule([callStep("a", "first"), makeStep("b", "call", { call: "./lib.ts#second" })]);
    const { runs: [run] } = await replica.take(rule);
    await first.called;
    state.lastBeat = performance.now() - 10_000;
    first.back.resolve(null);
    await replica.reached(run, "a", "succeeded");
    assert.deepEqual([replica.calls, replica.runner.running()], [["first"], 1]);
    state.lost = new Error("declared dead");
    await until(() => replica.runner.running() === 0);
    assert.deepEqual(replica.calls, ["first"]);
    await until(async () => await stateOf(decider, run) === "succeeded");
    assert.deepEqual(decider.calls, ["second"]);
  });
});

Deno.test("a function of TypeScript gets no turn while its replica has no sign of life", () => {
  const { state, acting } = life(LATER);
  const alone = { getEndings: () => Promise.resolve(new Map()), knownReplicas: () => Promise.resolve([]) };
  return withCode(async (bench) => {
    const first = gate();
    bench.functions = { first: first.execute, second: () => null };
    const run = await bench.send(codeRule(`
      await call("a", "first");
      await call("b", "second");
    `));
    await first.called;
    state.lastBeat = performance.now() - 10_000;
    first.back.resolve(null);
    await bench.reached(run, "a", "succeeded");
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.deepEqual(bench.calls, ["first"]);
    state.lastBeat = LATER;
    await until(async () => await stateOf(bench, run) === "succeeded");
    assert.deepEqual(bench.calls, ["first", "second"]);
  }, { shared: { store: alone, registered: () => Promise.resolve([]), acting } });
});
