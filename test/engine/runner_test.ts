import assert from "node:assert/strict";
import type { Store } from "../../runtime/store/store.ts";
import { callStep, makeRule, makeStep, START, states, withBench } from "./harness.ts";

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

Deno.test("after a crash a run resumes after the last recorded step; the interrupted step is attempted again", () =>
  withBench(async (bench) => {
    const begun = Promise.withResolvers<void>();
    const hang = () => {
      begun.resolve();
      return new Promise<never>(() => {});
    };
    bench.functions = { a: () => "A", b: hang, c: (args) => args };
    const rule = makeRule([
      callStep("a", "a"),
      callStep("b", "b"),
      callStep("c", "c", {}, { a: "${{ steps.a }}", b: "${{ steps.b }}" }),
    ]);
    const run = await bench.send(rule);
    await begun.promise;
    bench.functions.b = () => "B";
    await bench.crash();
    await bench.finish();
    const trace = await bench.trace(run);
    assert.equal(trace.run.state, "succeeded");
    assert.deepEqual(bench.calls, ["a", "b", "b", "c"]);
    assert.deepEqual(trace.steps[2].output, { a: "A", b: "B" });
  }));

/** A store that records its calls and their results. */
function noting(seen: string[]) {
  return (store: Store): Store =>
    new Proxy(store, {
      get: (target, name) => async (...args: unknown[]) => {
        seen.push(String(name));
        const result = await Reflect.get(target, name).apply(target, args);
        seen.push(`${String(name)} done`);
        return result;
      },
    });
}

Deno.test("the record of a list's last step ends the run and claims the next one in the same transition", async () => {
  const seen: string[] = [];
  await withBench(async (bench) => {
    bench.functions = { a: () => 1, b: () => 2 };
    const rule = makeRule([callStep("a", "a"), callStep("b", "b")], { max: 1 });
    const runs = [await bench.send(rule), await bench.send(rule)];
    await bench.finish();
    for (const run of runs) assert.deepEqual(states(await bench.trace(run)), ["a succeeded", "b succeeded"]);
    assert.deepEqual(bench.finished.map(({ id, state }) => [id, state]), runs.map((id) => [id, "succeeded"]));
    assert.ok(!seen.includes("finishRun"));
    const second = seen.indexOf("recordStep", seen.indexOf("recordStep") + 1);
    assert.deepEqual(seen.slice(second, second + 2), ["recordStep", "claimRuns"]);
  }, { between: noting(seen) });
});

Deno.test("a retry survives a crash and keeps its time", () =>
  withBench(async (bench) => {
    bench.functions.flaky = (_args, _signal, count) => {
      if (count === 1) throw new Error("not yet");
      return bench.clock.now() - START;
    };
    const run = await bench.send(
      makeRule([callStep("a", "flaky", { retry: { attempts: 2, delay: 60_000, max: 60_000 } })]),
    );
    await bench.runner.settled(0);
    await bench.crash();
    await bench.runner.settled(0);
    assert.equal((await bench.trace(run)).run.state, "waiting");
    await bench.finish();
    assert.equal((await bench.trace(run)).steps[0].output, 60_000);
  }));

Deno.test("drain lets runs end in time and suspends the others, which resume after the last recorded step", () =>
  withBench(async (bench) => {
    const quick = gate();
    const slow = gate();
    bench.functions = { quick: quick.execute, slow: slow.execute, first: () => 1 };
    const one = await bench.send(makeRule([callStep("a", "quick")]));
    const two = await bench.send(makeRule([callStep("a", "first"), callStep("b", "slow")]));
    await Promise.all([quick.called, slow.called]);
    const drained = bench.runner.drain(5_000);
    quick.back.resolve(null);
    while (bench.finished.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    const three = await bench.send(makeRule([callStep("a", "first")]));
    await bench.clock.advanceTo(START + 5_000);
    await drained;
    assert.equal((await slow.called).reason.kind, "shutdown");
    assert.equal((await bench.trace(one)).run.state, "succeeded");
    const suspended = await bench.trace(two);
    assert.equal(suspended.run.state, "queued");
    assert.equal(suspended.run.spent, 5_000);
    assert.deepEqual(states(suspended), ["a succeeded"]);
    assert.equal((await bench.trace(three)).run.state, "queued");
    bench.functions.slow = () => 2;
    await bench.crash();
    await bench.finish();
    assert.equal((await bench.trace(two)).run.state, "succeeded");
    assert.equal((await bench.trace(three)).run.state, "succeeded");
    assert.equal(bench.calls.filter((call) => call === "first").length, 2);
  }));

Deno.test("cancel ends a running run: its work is aborted, and has ended when cancel resolves", () =>
  withBench(async (bench) => {
    const slow = gate();
    bench.functions.slow = slow.execute;
    const run = await bench.send(makeRule([callStep("a", "slow"), callStep("b", "slow")]));
    const signal = await slow.called;
    assert.equal(await bench.runner.cancel(run, "Cancelled by anna"), "cancelled");
    assert.ok(signal.aborted);
    const trace = await bench.trace(run);
    assert.equal(trace.run.error?.message, "Cancelled by anna");
    assert.deepEqual(states(trace), ["a cancelled"]);
    assert.deepEqual(bench.calls, ["slow"]);
    assert.equal(bench.runner.running(), 0);
  }));

Deno.test("cancel at the very moment in which a run is suspended still ends it", () =>
  withBench(async (bench) => {
    let cancelled: Promise<unknown> | undefined;
    bench.functions.fail = () => {
      throw new Error("no");
    };
    const run = await bench.send(
      makeRule([callStep("a", "fail", { retry: { attempts: 5, delay: 1_000, max: 1_000 } })]),
    );
    const suspendRun = bench.store.suspendRun.bind(bench.store);
    bench.store.suspendRun = (...args) => {
      cancelled ??= bench.runner.cancel(run);
      return suspendRun(...args);
    };
    await bench.runner.settled(0);
    assert.equal(await cancelled, "cancelled");
    await bench.finish();
    assert.deepEqual(bench.calls, ["fail"]);
  }));

Deno.test("cancel ends a run that waits for its next attempt; an unknown run is reported", () =>
  withBench(async (bench) => {
    bench.functions.fail = () => {
      throw new Error("no");
    };
    const run = await bench.send(
      makeRule([callStep("a", "fail", { retry: { attempts: 2, delay: 1_000, max: 1_000 } })]),
    );
    await bench.runner.settled(0);
    assert.equal(await bench.runner.cancel(run), "cancelled");
    await bench.clock.advanceTo(START + 10_000);
    await bench.runner.settled(0);
    assert.deepEqual(bench.calls, ["fail"]);
    assert.equal(await bench.runner.cancel("nothing"), undefined);
  }));

Deno.test("mode restart ends the previous run, children included, before it starts the new one", () =>
  withBench(async (bench) => {
    const order: string[] = [];
    const begun = Promise.withResolvers<void>();
    bench.functions.work = (args, signal) => {
      order.push(`begin ${args.n}`);
      if (args.n === 2) return null;
      begun.resolve();
      return new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () =>
          setTimeout(() => {
            order.push("gone 1");
            reject(signal.reason);
          }, 5));
      });
    };
    const rule = makeRule([callStep("a", "work", {}, { n: "${{ event.data.n }}" })], { mode: "restart" });
    const one = await bench.send(rule, { n: 1 });
    await begun.promise;
    const two = await bench.send(rule, { n: 2 });
    await bench.finish();
    assert.deepEqual(order, ["begin 1", "gone 1", "begin 2"]);
    assert.equal((await bench.trace(one)).run.state, "cancelled");
    assert.equal((await bench.trace(two)).run.state, "succeeded");
  }));

Deno.test("in mode queued a run that waits for its next attempt is not overtaken", () =>
  withBench(async (bench) => {
    bench.functions.work = (args, _signal, count) => {
      if (count === 1) throw new Error("not yet");
      return args;
    };
    const retry = { attempts: 2, delay: 5_000, max: 5_000 };
    const rule = makeRule([callStep("a", "work", { retry }, { n: "${{ event.data.n }}" })], { mode: "queued" });
    await bench.send(rule, { n: 1 });
    await bench.send(rule, { n: 2 });
    await bench.finish();
    assert.deepEqual(bench.calls, ["work 1", "work 1", "work 2"]);
  }));

Deno.test("the rule's timeout counts only running time", () =>
  withBench(async (bench) => {
    const begun = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    bench.functions.slow = (_args, signal, count) => {
      begun[count - 1].resolve();
      return new Promise((_resolve, reject) => {
        const cancel = bench.clock.at(bench.clock.now() + 6_000, () => reject(new Error("again")));
        signal.addEventListener("abort", () => {
          cancel();
          reject(signal.reason);
        });
      });
    };
    bench.functions.see = (args) => args;
    const rule = makeRule([callStep("a", "slow", { retry: { attempts: 5, delay: 1_000_000, max: 1_000_000 } })], {
      timeout: 10_000,
      onError: [callStep("tell", "see", {}, { message: "${{ error.message }}" })],
    });
    const run = await bench.send(rule);
    await begun[0].promise;
    await bench.clock.advanceTo(START + 6_000);
    await bench.runner.settled(0);
    assert.equal((await bench.trace(run)).run.spent, 6_000);
    await bench.clock.advanceTo(START + 1_006_000);
    await begun[1].promise;
    await bench.clock.advanceTo(START + 1_010_000);
    await bench.finish();
    const trace = await bench.trace(run);
    assert.equal(trace.run.error?.message, "The run of ops/test took longer than its timeout of 10s");
    assert.deepEqual(states(trace), ["a cancelled", "rule.onError failed", "rule.onError/tell succeeded"]);
  }));

Deno.test("after a crash within onError the run resumes there and stays failed", () =>
  withBench(async (bench) => {
    const begun = Promise.withResolvers<void>();
    bench.functions = {
      ok: () => "fine",
      fail: () => {
        throw new Error("boom");
      },
      see: () => {
        begun.resolve();
        return new Promise(() => {});
      },
    };
    const run = await bench.send(makeRule([callStep("a", "ok"), callStep("b", "fail"), callStep("c", "ok")], {
      onError: [
        callStep("tell", "see", {}, {
          step: "${{ error.step }}",
          message: "${{ error.message }}",
          a: "${{ steps.a }}",
        }),
      ],
    }));
    await begun.promise;
    bench.functions.see = (args) => args;
    bench.functions.fail = () => null;
    await bench.crash();
    await bench.finish();
    const trace = await bench.trace(run);
    assert.equal(trace.run.state, "failed");
    assert.equal(trace.run.error?.message, "boom");
    assert.deepEqual(trace.steps.at(-1)?.output, { step: "b", message: "boom", a: "fine" });
    assert.deepEqual(bench.calls, ["ok", "fail", "see", "see"]);
  }));

Deno.test("if onError fails, the original error stays", () =>
  withBench(async (bench) => {
    bench.functions.fail = (_args, _signal, count) => {
      throw new Error(`boom ${count}`);
    };
    const trace = await bench.run(makeRule([callStep("a", "fail")], { onError: [callStep("b", "fail")] }));
    assert.equal(trace.run.error?.message, "boom 1");
    assert.deepEqual(states(trace), ["a failed", "rule.onError failed", "rule.onError/b failed"]);
  }));

Deno.test("a run keeps the version and config that it started with", () =>
  withBench(async (bench) => {
    bench.functions.see = (args) => args;
    bench.functions.fail = () => {
      throw new Error("later");
    };
    const old = makeRule([
      callStep("first", "fail", { retry: { attempts: 2, delay: 1_000, max: 1_000 } }),
      callStep("a", "see", {}, { v: "${{ config.v }}" }),
    ], { config: { v: "old" } });
    const run = await bench.send(old);
    await bench.runner.settled(0);
    bench.functions.fail = () => null;
    await bench.send(makeRule([callStep("a", "see")], { config: { v: "new" } }));
    await bench.runner.settled(0);
    await bench.store.dropVersions([]);
    await bench.crash();
    await bench.finish();
    assert.deepEqual((await bench.trace(run)).steps[1].output, { v: "old" });
  }));

Deno.test("settled waits for retries that are due soon, not for later ones", () =>
  withBench(async (bench) => {
    bench.functions.flaky = (_args, _signal, count) => {
      if (count <= 2) throw new Error("not yet");
      return null;
    };
    const retry = { attempts: 3, delay: 2_000, max: 100_000 };
    const run = await bench.send(makeRule([callStep("a", "flaky", { retry })]));
    let settled = false;
    const waiting = bench.runner.settled(3_000).then(() => settled = true);
    await bench.runner.settled(0);
    assert.equal(settled, false);
    await bench.clock.advanceTo(START + 2_000);
    await waiting;
    assert.equal((await bench.trace(run)).run.due, START + 6_000);
  }));

Deno.test("at most the bound of runs execute at once, and none is forgotten", () =>
  withBench(async (bench) => {
    let now = 0;
    let most = 0;
    const three = Promise.withResolvers<void>();
    bench.functions.work = async () => {
      most = Math.max(most, ++now);
      if (now === 3) three.resolve();
      await three.promise;
      await new Promise((resolve) => setTimeout(resolve, 1));
      now--;
      return null;
    };
    const rule = makeRule([callStep("a", "work")], { max: 100 });
    const runs = await Promise.all(Array.from({ length: 20 }, (_, n) => bench.send(rule, { n })));
    await bench.finish();
    assert.equal(most, 3);
    for (const run of runs) assert.equal((await bench.trace(run)).run.state, "succeeded");
  }, { maxRuns: 3 }));

Deno.test("a stop inside a branch inside a called action ends the run", () =>
  withBench(async (bench) => {
    bench.functions.see = (args) => args;
    const check = makeStep("check", "if", { if: "inputs.n > 1" }, {
      children: { then: [makeStep("end", "stop", { stop: "Too many" })] },
    });
    const action = { inputs: { n: { type: "number" as const, required: true } }, then: [check, callStep("a", "see")] };
    const rule = makeRule([
      makeStep("go", "call", { call: "./check.yaml", with: { n: "${{ event.data.n }}" } }),
      callStep("after", "see"),
    ], { actions: { "ops/check.yaml": action } });
    const stopped = await bench.run(rule, { n: 2 });
    assert.equal(stopped.run.output, "Too many");
    assert.deepEqual(bench.calls, []);
    await bench.run(rule, { n: 1 });
    assert.deepEqual(bench.calls, ["see", "see"]);
  }));

Deno.test("slots that ingest has reserved stay reserved; those it does not use go to waiting runs", () =>
  withBench(async (bench) => {
    const lease = bench.runner.lease(5);
    assert.deepEqual([lease.max, bench.runner.lease(1).max], [1, 0]);
    bench.functions.a = () => "A";
    const run = await bench.send(makeRule([callStep("a", "a")]));
    // By the time the store answers, the runner has checked and found no free slot.
    assert.equal((await bench.trace(run)).run.state, "queued");
    bench.runner.take(lease, []);
    await bench.finish();
    assert.equal((await bench.trace(run)).run.state, "succeeded");
    await bench.runner.drain(0);
    assert.equal(bench.runner.lease(1).max, 0);
  }, { maxRuns: 1 }));
