import assert from "node:assert/strict";
import type { Step } from "../../runtime/model/rule.ts";
import { callStep, makeRule, makeStep, START, states, withBench } from "./harness.ts";

const HOUR = 3_600_000;

function repeat(repetition: Record<string, string | number>, then: Step[], more: Partial<Step> = {}): Step {
  return makeStep("mod", "repeat", { repeat: repetition }, { children: { then }, ...more });
}

Deno.test("until is evaluated after each turn and sees its results; later steps see those of the last turn", () =>
  withBench(async (bench) => {
    bench.functions = { next: ({ n }) => (n as number) * 10, see: (args) => args };
    const trace = await bench.run(makeRule([
      repeat({ until: "steps.next >= 20 && index == 2" }, [
        callStep("next", "next", {}, { n: "${{ index }}" }),
        callStep("skipped", "see", { if: "index < 1" }, { index: "${{ index }}" }),
      ]),
      callStep("after", "see", {}, {
        next: "${{ steps.next }}",
        skipped: "${{ steps.skipped }}",
        mod: "${{ steps.mod }}",
      }),
    ]));
    assert.deepEqual(bench.calls.slice(0, -1), ["next 0", "see", "next 1", "next 2"]);
    assert.deepEqual(trace.steps.at(-1)?.output, { next: 20, skipped: null, mod: { turns: 3 } });
    assert.deepEqual(
      trace.steps.filter(({ path }) => /^mod\[\d\]$/.test(path)).map(({ path, output }) => [path, output]),
      [
        ["mod[0]", true],
        ["mod[1]", true],
        ["mod[2]", true],
        ["mod[3]", false],
      ],
    );
  }));

Deno.test("while is evaluated before each turn; if it never holds, its steps have no results", () =>
  withBench(async (bench) => {
    bench.functions = { next: ({ n }) => n, see: (args) => args };
    const rule = makeRule([
      repeat({ while: "index < event.data && default(steps.next, -1) + 1 == index" }, [
        callStep("next", "next", {}, { n: "${{ index }}" }),
      ]),
      callStep("after", "see", {}, { next: "${{ steps.next }}", mod: "${{ steps.mod.turns }}" }),
    ]);
    assert.deepEqual((await bench.run(rule, 3)).steps.at(-1)?.output, { next: 2, mod: 3 });
    assert.deepEqual((await bench.run(rule, 0)).steps.at(-1)?.output, { next: null, mod: 0 });
  }));

Deno.test("times is the number of turns; more than max fail the step", () =>
  withBench(async (bench) => {
    bench.functions.act = () => null;
    const turns = (repetition: Record<string, string | number>) =>
      makeRule([repeat(repetition, [callStep("a", "act")])]);
    assert.deepEqual((await bench.run(turns({ times: 0 }))).steps.at(-1)?.output, { turns: 0 });
    assert.deepEqual((await bench.run(turns({ times: "${{ 1 + 1 }}" }))).steps.at(-1)?.output, { turns: 2 });
    const endless = await bench.run(turns({ while: "true", max: 4 }));
    assert.equal(endless.run.error?.message, 'Cannot repeat "mod" more than 4 times; max: allows more');
    assert.equal(endless.steps.filter(({ path }) => path.endsWith("/a")).length, 4);
    const enough = await bench.run(turns({ times: 4, max: 4 }));
    assert.equal(enough.run.state, "succeeded");
  }));

Deno.test("a loop can have 1,000 turns", () =>
  withBench(async (bench) => {
    bench.functions.act = ({ n }) => n;
    const trace = await bench.run(
      makeRule([repeat({ times: 1_000 }, [callStep("a", "act", {}, { n: "${{ index }}" })])]),
    );
    assert.equal(trace.run.state, "succeeded");
    assert.equal(new Set(bench.calls).size, 1_000);
    assert.equal(trace.steps.length, 2_001);
  }));

Deno.test("every begins turns on a grid; those missed during a long turn become one, which begins at once", () =>
  withBench(async (bench) => {
    const times: number[] = [];
    bench.functions.begin = ({ n }) => {
      times.push((bench.clock.now() - START) / HOUR);
      return n;
    };
    const run = await bench.send(makeRule([
      repeat({ times: 5, every: HOUR }, [
        callStep("a", "begin", {}, { n: "${{ index }}" }),
        makeStep("long", "wait", { wait: "150m" }, { if: "index == 1" }),
      ]),
    ]));
    await bench.runner.settled(0);
    const suspended = await bench.trace(run);
    assert.equal(suspended.run.waitingFor, 'turn 2 of step "mod"');
    assert.deepEqual(suspended.run.waits?.map(({ step, kind }) => [step, kind]), [["mod[1]", "time"]]);
    await bench.crash();
    await bench.finish();
    assert.deepEqual(times, [0, 1, 3.5, 4, 5]);
    assert.deepEqual((await bench.trace(run)).steps.at(-1)?.output, { turns: 5 });
  }));

Deno.test("skipping the wait for a turn begins the turn; the grid stays", () =>
  withBench(async (bench) => {
    const times: number[] = [];
    bench.functions.begin = () => {
      times.push((bench.clock.now() - START) / HOUR);
      return null;
    };
    const run = await bench.send(makeRule([repeat({ times: 3, every: HOUR }, [callStep("a", "begin")])]));
    await bench.runner.settled(0);
    await bench.clock.advanceTo(START + HOUR / 2);
    const skipped = await bench.store.skipWait(run, undefined, "anna", bench.clock.now());
    assert.deepEqual(skipped, { kind: "done", step: "mod[1]" });
    bench.runner.woken([run]);
    await bench.finish();
    assert.deepEqual(times, [0, 0.5, 1]);
    const { run: { state }, steps } = await bench.trace(run);
    assert.equal(state, "succeeded");
    assert.ok(states({ run: {} as never, steps, notes: [] }).includes("mod[1] skipped"));
  }));

Deno.test("a turn that fails fails the step; later steps see its errors and results", () =>
  withBench(async (bench) => {
    bench.functions = {
      act: ({ n }) => {
        if (n === 2) throw new Error("no 2");
        return n;
      },
      see: (args) => args,
    };
    const trace = await bench.run(makeRule([
      repeat({ times: 5 }, [
        callStep("a", "act", {}, { n: "${{ index }}" }),
        callStep("b", "act", {}, { n: 9 }),
      ], { onError: "continue" }),
      makeStep("pause", "wait", { wait: "1h" }),
      callStep("after", "see", {}, { a: "${{ steps.a }}", b: "${{ steps.b }}", why: "${{ errors.mod.step }}" }),
    ]));
    assert.deepEqual(trace.steps.at(-1)?.output, { a: null, b: null, why: "mod[2]/a" });
  }));

Deno.test("after a crash a loop resumes in its current turn, and knows the results of the previous one", () =>
  withBench(async (bench) => {
    const begun = Promise.withResolvers<void>();
    bench.functions.act = ({ n, last }) => {
      if (n === 3 && bench.calls.filter((call) => call === "act 3").length === 1) {
        begun.resolve();
        return new Promise<never>(() => {});
      }
      return { n, last };
    };
    const run = await bench.send(makeRule([
      repeat({ until: "steps.a.n == 4" }, [
        callStep("a", "act", {}, { n: "${{ index }}", last: "${{ index }}" }),
      ]),
      makeStep("pause", "wait", { wait: "1h" }),
      callStep("after", "act", {}, { n: "${{ steps.a.n + 100 }}" }),
    ]));
    await begun.promise;
    await bench.crash();
    await bench.finish();
    assert.deepEqual(bench.calls, ["act 0", "act 1", "act 2", "act 3", "act 3", "act 4", "act 104"]);
    assert.equal((await bench.trace(run)).run.state, "succeeded");
  }));

Deno.test("a condition that is neither true nor false fails the step with that reason", () =>
  withBench(async (bench) => {
    bench.functions.act = () => 5;
    const trace = await bench.run(makeRule([repeat({ until: "steps.a" }, [callStep("a", "act")])]));
    assert.equal(trace.run.error?.message, 'The condition "steps.a" gives 5; true or false is expected');
  }));
