import assert from "node:assert/strict";
import { callStep, makeRule, makeStep, START, states, withBench } from "./harness.ts";
import type { Step } from "../../runtime/model/rule.ts";

/** A parallel step. */
export function fork(id: string, branches: Record<string, Step[]>, args = {}, more: Partial<Step> = {}): Step {
  return makeStep(id, "parallel", { parallel: Object.keys(branches), ...args }, { children: branches, ...more });
}

Deno.test("branches run concurrently; their results are available afterwards, by branch and by step", () =>
  withBench(async (bench) => {
    const order: string[] = [];
    const met = Promise.withResolvers<void>();
    bench.functions = {
      first: async () => {
        order.push("first");
        await met.promise;
        return "a";
      },
      second: () => {
        order.push("second");
        met.resolve();
        return "b";
      },
      see: (args) => args,
    };
    const trace = await bench.run(makeRule([
      fork("both", { crm: [callStep("post", "first")], mail: [callStep("send", "second")] }),
      callStep("after", "see", {}, { both: "${{ steps.both }}", post: "${{ steps.post }}", send: "${{ steps.send }}" }),
    ]));
    assert.equal(trace.run.state, "succeeded");
    assert.deepEqual(order, ["first", "second"]);
    assert.deepEqual(trace.steps.at(-1)?.output, { both: { crm: "a", mail: "b" }, post: "a", send: "b" });
    assert.deepEqual(states(trace).sort(), [
      "after succeeded",
      "both succeeded",
      "both/crm/post succeeded",
      "both/mail/send succeeded",
    ]);
  }));

Deno.test("join: any continues with the first that succeeded; the others are aborted, end, and are cancelled in the trace", () =>
  withBench(async (bench) => {
    let gone = false;
    bench.functions = {
      quick: () => "quick",
      slow: (_args, signal) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener("abort", () => {
            gone = true;
            reject(signal.reason);
          });
        }),
      see: (args) => ({ ...args, gone }),
      begun: () => "begun",
    };
    const trace = await bench.run(makeRule([
      fork("race", {
        slow: [callStep("begun", "begun"), callStep("hang", "slow"), callStep("never", "begun")],
        quick: [callStep("quick", "begun"), callStep("won", "quick")],
      }, { join: "any" }),
      callStep("after", "see", {}, {
        race: "${{ steps.race }}",
        begun: "${{ steps.begun }}",
        hang: "${{ steps.hang }}",
      }),
    ]));
    assert.equal(trace.run.state, "succeeded");
    const after = { race: { slow: null, quick: "quick" }, begun: null, hang: null, gone: true };
    assert.deepEqual(trace.steps.at(-1)?.output, after);
    const slow = trace.steps.find(({ path }) => path === "race/slow");
    assert.equal(slow?.state, "cancelled");
    assert.match(slow!.error!.message, /"race" was decided without it/);
    assert.ok(!states(trace).some((state) => state.startsWith("race/slow/hang") && !state.endsWith("cancelled")));
    assert.match(trace.notes.map(({ text }) => text).join("; "), /Cancelled "race\/slow"/);
  }));

Deno.test("join: a number waits for that many successes; failed branches do not matter while enough others can succeed", () =>
  withBench(async (bench) => {
    bench.functions = {
      fail: () => {
        throw new Error("down");
      },
      ok: ({ n }) => n,
      hang: (_args, signal) =>
        new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
    };
    const branches = {
      a: [callStep("a1", "fail")],
      b: [callStep("b1", "ok", {}, { n: 2 })],
      c: [callStep("c1", "ok", {}, { n: 3 })],
      d: [callStep("d1", "hang")],
    };
    const trace = await bench.run(makeRule([fork("some", branches, { join: 2 })]));
    assert.equal(trace.run.state, "succeeded");
    const some = trace.steps.find(({ path }) => path === "some");
    assert.deepEqual(some?.output, { a: null, b: 2, c: 3, d: null });
    assert.deepEqual(some?.input, { parallel: ["a", "b", "c", "d"], join: 2 });
  }));

Deno.test("when too many have failed the others are cancelled, and the step fails with the first failure", () =>
  withBench(async (bench) => {
    bench.functions = {
      fail: ({ n }) => {
        throw new Error(`down ${n}`);
      },
      hang: (_args, signal) =>
        new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
      see: (args) => args,
    };
    const branches = {
      a: [callStep("a1", "fail", {}, { n: 1 })],
      b: [callStep("b1", "hang")],
    };
    const failed = await bench.run(makeRule([fork("both", branches)]));
    assert.equal(failed.run.state, "failed");
    assert.equal(failed.run.error?.message, "down 1");
    assert.equal(failed.steps.find(({ path }) => path === "both/b")?.state, "cancelled");
    const answered = await bench.run(makeRule([
      fork("both", branches, {}, { onError: "continue" }),
      callStep("after", "see", {}, {
        why: "${{ errors.both.message }}",
        step: "${{ errors.both.step }}",
        b1: "${{ steps.b1 }}",
      }),
    ]));
    assert.deepEqual(answered.steps.at(-1)?.output, { why: "down 1", step: "both/a/a1", b1: null });
  }));

Deno.test("a step that is skipped in a branch, and branches without effect, do not break the join", () =>
  withBench(async (bench) => {
    bench.functions.see = (args) => args;
    const trace = await bench.run(makeRule([
      fork("both", {
        a: [callStep("a1", "see", { if: "false" })],
        b: [makeStep("check", "if", { if: "false" }, { children: { then: [callStep("b1", "see")] } })],
        c: [callStep("c1", "see", {}, { ok: true })],
      }),
      callStep("after", "see", {}, { a1: "${{ steps.a1 }}", b1: "${{ steps.b1 }}", c: "${{ steps.both.c }}" }),
    ]));
    assert.deepEqual(trace.steps.at(-1)?.output, { a1: null, b1: null, c: { ok: true } });
  }));

Deno.test("a branch retries at its time while another one works", () =>
  withBench(async (bench) => {
    const times: number[] = [];
    const working = Promise.withResolvers<null>();
    bench.functions = {
      flaky: () => {
        times.push(bench.clock.now() - START);
        if (times.length < 3) throw new Error("not yet");
        return "done";
      },
      work: () => working.promise,
    };
    const run = await bench.send(makeRule([
      fork("both", {
        a: [callStep("a1", "flaky", { retry: { attempts: 3, delay: 1_000, max: 1_000 } })],
        b: [callStep("b1", "work")],
      }),
    ]));
    for (const attempts of [1, 2]) {
      await bench.until(async () => (await bench.trace(run)).steps[0]?.attempts === attempts);
      await bench.clock.advanceTo(START + attempts * 1_000);
    }
    await bench.reached(run, "both/a/a1", "succeeded");
    assert.deepEqual(times, [0, 1_000, 2_000]);
    assert.equal((await bench.trace(run)).run.state, "running");
    working.resolve(null);
    await bench.finish();
    assert.equal((await bench.trace(run)).run.state, "succeeded");
  }));

Deno.test("when all branches wait the run is suspended, and says what for; each resumes at its own time", () =>
  withBench(async (bench) => {
    const times: [unknown, number][] = [];
    bench.functions.now = ({ n }) => {
      times.push([n, bench.clock.now() - START]);
      return null;
    };
    const run = await bench.send(makeRule([
      fork("both", {
        a: [makeStep("pause", "wait", { wait: "1h" }), callStep("a1", "now", {}, { n: "a" })],
        b: [makeStep("nap", "wait", { wait: "20m" }), callStep("b1", "now", {}, { n: "b" })],
      }),
    ]));
    await bench.runner.settled(0);
    const suspended = await bench.trace(run);
    assert.equal(suspended.run.state, "waiting");
    assert.equal(suspended.run.due, START + 1_200_000);
    assert.equal(suspended.run.waitingFor, 'the time of step "both/a/pause"; the time of step "both/b/nap"');
    await bench.finish();
    assert.deepEqual(times, [["b", 1_200_000], ["a", 3_600_000]]);
    assert.equal((await bench.trace(run)).run.spent, 0);
  }));

Deno.test("stop in a branch ends the run; no other branch continues, even if the program dies right after", () =>
  withBench(async (bench) => {
    bench.functions = {
      go: () => "on",
      hang: (_args, signal) =>
        new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
    };
    const rule = makeRule([
      fork("both", {
        a: [callStep("a1", "hang"), callStep("a2", "go")],
        b: [makeStep("end", "stop", { stop: "Enough" })],
      }),
      callStep("after", "go"),
    ]);
    const stopped = await bench.run(rule);
    assert.equal(stopped.run.state, "succeeded");
    assert.equal(stopped.run.output, "Enough");
    assert.deepEqual(bench.calls, ["hang"]);

    const finishRun = bench.store.finishRun.bind(bench.store);
    const ending = Promise.withResolvers<void>();
    bench.store.finishRun = (...args) => {
      ending.resolve();
      return args[0] === second ? new Promise(() => {}) : finishRun(...args);
    };
    const second = await bench.send(rule);
    await ending.promise;
    await bench.crash();
    await bench.finish();
    assert.equal((await bench.trace(second)).run.output, "Enough");
    assert.deepEqual(bench.calls, ["hang", "hang"]);
  }));

Deno.test("branches in branches with a loop in one of them: each step once, the history complete", () =>
  withBench(async (bench) => {
    bench.functions.act = ({ n }) => n;
    const act = (id: string) => callStep(id, "act", {}, { n: id });
    const loop = makeStep("loop", "repeat", { repeat: { times: 3 } }, {
      children: { then: [callStep("turn", "act", {}, { n: "${{ 'turn ' + string(index) }}" })] },
    });
    const trace = await bench.run(makeRule([
      fork("outer", {
        a: [fork("inner", { x: [act("x1"), act("x2")], y: [loop] }), act("a1")],
        b: [act("b1")],
      }),
      act("last"),
    ]));
    assert.equal(trace.run.state, "succeeded");
    assert.deepEqual(bench.calls.toSorted(), [
      "act a1",
      "act b1",
      "act last",
      "act turn 0",
      "act turn 1",
      "act turn 2",
      "act x1",
      "act x2",
    ]);
    assert.deepEqual(states(trace).filter((state) => !state.endsWith(" succeeded")), []);
    assert.deepEqual(trace.steps.find(({ path }) => path === "outer")?.output, { a: "a1", b: "b1" });
    assert.deepEqual(trace.steps.find(({ path }) => path === "outer/a/inner")?.output, { x: "x2", y: { turns: 3 } });
  }));
