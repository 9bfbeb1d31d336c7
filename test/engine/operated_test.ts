import assert from "node:assert/strict";
import type { Rule, Step } from "../../runtime/model/rule.ts";
import { callStep, makeRule, makeStep, states, withBench } from "./harness.ts";

const HOUR = 3_600_000;
const act = (id: string, n: string = id) => callStep(id, "act", {}, { n });

/** A rule with every kind of enclosing step, and a step that fails deep inside. */
function nested(): Rule {
  const item = [act("before", "before ${{ item }}"), act("flaky", "flaky ${{ item }}")];
  const each = makeStep("lines", "each", { each: "[1, 2]" }, { children: { then: item } });
  const loop = makeStep("loop", "repeat", { repeat: { times: 2 } }, { children: { then: [each, act("turn")] } });
  const check = makeStep("check", "if", { if: "true" }, { children: { then: [loop] } });
  return makeRule([
    act("first"),
    makeStep("both", "parallel", { parallel: ["a", "b"] }, {
      children: { a: [check], b: [act("begun"), makeStep("pause", "wait", { wait: "1h" }), act("late")] },
    }),
    act("last", "last ${{ steps.both.b }}"),
  ], { onError: [act("tell")] });
}

Deno.test("a retried run resumes at the step that failed it, within all enclosing steps", () =>
  withBench(async (bench) => {
    let broken = true;
    bench.functions.act = ({ n }) => {
      if (broken && n === "flaky 2") throw new Error("boom");
      return n;
    };
    const failed = await bench.run(nested());
    assert.equal(failed.run.state, "failed");
    assert.ok(states(failed).includes("both/b cancelled"));
    assert.equal(bench.calls.at(-2), "act flaky 2");
    const before = bench.calls.length;
    broken = false;
    const operated = await bench.store.retryRun(failed.run.id, "anna", bench.clock.now());
    assert.deepEqual(operated, { kind: "done", step: "both/a/check/then/loop[0]/lines[1]/flaky" });
    bench.runner.wake();
    await bench.finish();
    const trace = await bench.trace(failed.run.id);
    assert.equal(trace.run.error, undefined);
    assert.equal(trace.run.state, "succeeded");
    assert.equal(trace.steps.find(({ path }) => path === "last")?.output, "last late");
    const after = bench.calls.slice(before);
    assert.deepEqual(after.filter((call) => !/turn|before|flaky|late|last/.test(call)), []);
    assert.equal(after[0], "act flaky 2");
    assert.deepEqual(states(trace).filter((state) => !state.endsWith("succeeded")), []);
  }));

Deno.test("a form that failed to open and a loop whose condition failed are retried", () =>
  withBench(async (bench) => {
    bench.functions.act = ({ n }) => n;
    const form = makeStep("ask", "form", { form: "Ok?", to: ["anna"] });
    const asked = await bench.run(makeRule([form]));
    assert.match(asked.run.error!.message, /Cannot ask "anna"/);
    bench.people = [{ id: "anna", name: "Anna", groups: [] }];
    await bench.store.retryRun(asked.run.id, "carl", bench.clock.now());
    bench.runner.wake();
    await bench.runner.settled(0);
    assert.equal((await bench.trace(asked.run.id)).run.waitingFor, 'form "Ok?" for anna');

    const loop = makeStep("loop", "repeat", { repeat: { until: "state['enough'] == true" } }, {
      children: { then: [act("turn")] },
    });
    const looped = await bench.run(makeRule([loop]));
    assert.match(looped.run.error!.message, /state has no key|no such key|enough/);
    await bench.run(makeRule([makeStep("set", "state", { state: "enough", value: true })]));
    const { kind } = (await bench.store.retryRun(looped.run.id, "carl", bench.clock.now()))!;
    assert.equal(kind, "done");
    bench.runner.wake();
    await bench.until(async () => (await bench.trace(looped.run.id)).run.state === "succeeded");
    assert.deepEqual(bench.calls, ["act turn"]);
  }));

/** A run that waits in one version of its rule, then is moved to another. */
async function moved(from: Step[], to: Step[]) {
  let message: string | undefined;
  await withBench(async (bench) => {
    bench.functions.act = ({ n }) => n;
    const rule = makeRule(from);
    const run = await bench.send(rule);
    await bench.runner.settled(0);
    const next = makeRule(to);
    await bench.store.putVersions([next]);
    assert.deepEqual(await bench.store.moveRun(run, next.version, "anna", bench.clock.now()), { kind: "done" });
    await bench.finish();
    const trace = await bench.trace(run);
    message = trace.run.error?.message.replaceAll(/"?\bv\d+\b"?/g, "v");
    assert.equal(trace.run.state, message === undefined ? "succeeded" : "failed");
  });
  return message;
}

const pause = makeStep("pause", "wait", { wait: "1h" });

Deno.test("a run moved to a version with the steps that it executed continues there", async () => {
  assert.equal(await moved([act("a"), pause, act("b")], [act("a"), pause, act("c"), act("d")]), undefined);
  const inner = (id: string) => makeStep("both", "parallel", { parallel: ["x"] }, { children: { x: [act(id)] } });
  assert.equal(await moved([inner("a"), pause], [inner("a"), pause, act("b")]), undefined);
  assert.equal(await moved([inner("a"), pause], [inner("b"), pause]), undefined, "it belongs to a step that has ended");
});

Deno.test("a moved run that ends without asking for a step that it executed fails with both lists", async () => {
  assert.equal(
    await moved([act("a"), act("b"), pause], [act("a"), pause, act("c")]),
    'Cannot replay ops/test: its version v asks for other steps than before ("b" was not asked for). ' +
      "Recorded: a, b, pause. Asked: a, pause, c. Move runs to versions that still have the steps that they have executed",
  );
  assert.match(
    (await moved([act("a"), pause], [makeStep("a", "log", { log: "x" }), pause]))!,
    /^Cannot replay ops\/test: its version v asks .*\("a" was call and is now log\)\. Recorded: a, pause\. Asked: a/,
  );
  const loop = (...then: Step[]) =>
    makeStep("loop", "repeat", { repeat: { times: 2, every: HOUR } }, { children: { then } });
  assert.match((await moved([loop(act("a"))], [pause]))!, /"loop\[0\]" was not asked for/);
});

Deno.test("onError of the rule sees the results of nested steps", () =>
  withBench(async (bench) => {
    bench.functions = {
      act: ({ n }) => n,
      fail: () => {
        throw new Error("boom");
      },
      see: (args) => args,
    };
    const race = makeStep("race", "parallel", { parallel: ["x", "y"], join: "any" }, {
      children: { x: [act("x1")], y: [makeStep("long", "wait", { wait: "1d" }), act("y1")] },
    });
    const loop = makeStep("loop", "repeat", { repeat: { times: 3 } }, {
      children: { then: [act("turn", "turn ${{ index }}")] },
    });
    const trace = await bench.run(makeRule([race, loop, callStep("broken", "fail"), act("after")], {
      onError: [callStep("tell", "see", {}, {
        x1: "${{ steps.x1 }}",
        y1: "${{ steps.y1 }}",
        turn: "${{ steps.turn }}",
        loop: "${{ steps.loop.turns }}",
        after: "${{ steps.after }}",
      })],
    }));
    assert.deepEqual(trace.steps.at(-1)?.output, { x1: "x1", y1: null, turn: "turn 2", loop: 3, after: null });
  }));
