import assert from "node:assert/strict";
import type { Step } from "../../runtime/model/rule.ts";
import { callStep, makeRule, makeStep, START, states, withBench } from "./harness.ts";

function each(items: string, then: Step[], args = {}, more: Partial<Step> = {}): Step {
  return makeStep("lines", "each", { each: items, ...args }, { children: { then }, ...more });
}

const hang = (_args: unknown, signal: AbortSignal) =>
  new Promise<never>((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));

Deno.test("items run one after the other; their steps see the item, its index, and earlier steps", () =>
  withBench(async (bench) => {
    bench.functions.see = (args) => args;
    const trace = await bench.run(
      makeRule([
        callStep("before", "see", {}, { x: 1 }),
        each("event.data", [
          callStep("a", "see", {}, { line: "${{ line }}", index: "${{ index }}" }),
          callStep("b", "see", {}, { same: "${{ steps.a.line + string(steps.before.x) }}" }),
        ], { as: "line" }),
        callStep("after", "see", {}, { lines: "${{ steps.lines }}" }),
      ]),
      ["p", "q"],
    );
    assert.deepEqual(states(trace).slice(1, -1), [
      "lines[0]/a succeeded",
      "lines[0]/b succeeded",
      "lines[1]/a succeeded",
      "lines[1]/b succeeded",
      "lines succeeded",
    ]);
    assert.deepEqual(trace.steps.at(-1)?.output, {
      lines: { total: 2, failed: 0, results: [{ same: "p1" }, { same: "q1" }], errors: [] },
    });
    assert.deepEqual(trace.steps.at(-2)?.input, { each: 2 });
  }));

Deno.test("an empty list succeeds at once; a value that is not a list fails the step and is named", () =>
  withBench(async (bench) => {
    bench.functions.see = (args) => args;
    const rule = makeRule([each("event.data", [callStep("a", "see")])]);
    assert.deepEqual((await bench.run(rule, [])).steps[0].output, { total: 0, failed: 0, results: [], errors: [] });
    const failed = await bench.run(rule, { no: "list" });
    assert.equal(failed.run.error?.message, '"each: event.data" gives {"no":"list"}; a list is expected');
    assert.deepEqual(bench.calls, []);
  }));

Deno.test("at most max items run at once", () =>
  withBench(async (bench) => {
    let now = 0;
    let most = 0;
    bench.functions.work = async ({ n }) => {
      most = Math.max(most, ++now);
      await new Promise((resolve) => setTimeout(resolve, 0));
      now--;
      return n;
    };
    const rule = makeRule([each("event.data", [callStep("a", "work", {}, { n: "${{ item }}" })], { max: 3 })]);
    const trace = await bench.run(rule, [1, 2, 3, 4, 5, 6, 7]);
    assert.equal(most, 3);
    assert.deepEqual((trace.steps.at(-1)?.output as { results: unknown }).results, [1, 2, 3, 4, 5, 6, 7]);
  }));

Deno.test("an item that fails stops the others, which are cancelled; with onError: continue it is listed in errors", () =>
  withBench(async (bench) => {
    bench.functions = {
      work: async ({ n }, signal) => {
        if (n === 2) throw new Error("no 2");
        if (n === 3) return await hang(n, signal);
        return n;
      },
      fine: ({ n }) => {
        if (n === 2) throw new Error("no 2");
        return n;
      },
      see: (args) => args,
    };
    const items = (name: string, onError?: "continue") =>
      each("event.data", [callStep("a", name, {}, { n: "${{ item }}" })], { max: 2 }, onError && { onError });
    const stopped = await bench.run(makeRule([items("work")]), [1, 3, 2, 4]);
    assert.equal(stopped.run.state, "failed");
    assert.equal(stopped.run.error?.message, "no 2");
    assert.equal(stopped.steps.find(({ path }) => path === "lines[1]")?.state, "cancelled");
    assert.ok(!bench.calls.includes("work 4"));

    const went = await bench.run(
      makeRule([items("fine", "continue"), callStep("after", "see", {}, { lines: "${{ steps.lines }}" })]),
      [1, 2, 3],
    );
    assert.equal(went.run.state, "succeeded");
    assert.deepEqual(went.steps.at(-1)?.output, {
      lines: {
        total: 3,
        failed: 1,
        results: [1, null, 3],
        errors: [{ index: 1, step: "lines[1]/a", message: "no 2" }],
      },
    });
  }));

Deno.test("rate spaces out the starts, over crashes too, and the time spent waiting for it does not count", () =>
  withBench(async (bench) => {
    const starts: number[] = [];
    bench.functions.work = ({ n }) => {
      starts.push(bench.clock.now() - START);
      return n;
    };
    const rule = makeRule([
      each("event.data", [callStep("a", "work", {}, { n: "${{ item }}" })], { max: 5, rate: { count: 2, per: 1_000 } }),
    ], { timeout: 1_000 });
    const run = await bench.send(rule, [1, 2, 3, 4, 5, 6]);
    for (let at = 0; at <= 1_000; at += 500) {
      await bench.reached(run, `lines[${at / 500}]/a`, "succeeded");
      await bench.clock.advanceTo(START + at + 499);
      assert.equal(starts.length, at / 500 + 1);
      if (at === 1_000) await bench.crash();
      await bench.clock.advanceTo(START + at + 500);
    }
    for (let index = 3; index < 6; index++) {
      await bench.reached(run, `lines[${index}]/a`, "succeeded");
      await bench.clock.advanceTo(START + (index + 1) * 500);
    }
    await bench.finish();
    assert.deepEqual(starts, [0, 500, 1_000, 1_500, 2_000, 2_500]);
    const { run: { state, spent } } = await bench.trace(run);
    assert.equal(state, "succeeded");
    assert.ok(spent < 100, String(spent));
  }));

Deno.test("the list keeps its first value, though the expression would give another one later", () =>
  withBench(async (bench) => {
    bench.functions = { see: ({ n }) => n };
    const rule = makeRule([
      makeStep("set", "state", { state: "list", value: "${{ event.data }}" }),
      each("state['list']", [
        makeStep("change", "state", { state: "list", value: [] }),
        makeStep("pause", "wait", { wait: "1h" }),
        callStep("a", "see", {}, { n: "${{ item }}" }),
      ]),
    ]);
    const trace = await bench.run(rule, [1, 2]);
    assert.deepEqual((trace.steps.at(-1)?.output as { results: unknown }).results, [1, 2]);
    assert.deepEqual(trace.steps.find(({ path }) => path === "lines[items]")?.output, [1, 2]);
  }));

Deno.test("after a crash no finished item is executed again", () =>
  withBench(async (bench) => {
    const begun = Promise.withResolvers<void>();
    bench.functions.work = ({ n }) => {
      if (n !== 3 || bench.calls.filter((call) => call === "work 3").length > 1) return n;
      begun.resolve();
      return new Promise<never>(() => {});
    };
    const run = await bench.send(
      makeRule([each("event.data", [callStep("a", "work", {}, { n: "${{ item }}" })])]),
      [1, 2, 3, 4],
    );
    await begun.promise;
    await bench.crash();
    await bench.finish();
    assert.deepEqual(bench.calls, ["work 1", "work 2", "work 3", "work 3", "work 4"]);
    const { steps } = await bench.trace(run);
    assert.deepEqual((steps.at(-1)?.output as { results: unknown }).results, [1, 2, 3, 4]);
  }));

Deno.test("results too large for one step are left out, and do not fail finished work", () =>
  withBench(async (bench) => {
    bench.functions.big = () => "x".repeat(4_000_000);
    const trace = await bench.run(
      makeRule([
        each("event.data", [callStep("a", "big")]),
        makeStep("after", "log", { log: "${{ steps.lines.results }}" }),
      ]),
      [1, 2, 3],
    );
    assert.deepEqual(trace.steps.find(({ path }) => path === "lines")?.output, { total: 3, failed: 0, errors: [] });
    assert.match(trace.run.error!.message, /steps.lines has no key "results"/);
  }));

Deno.test("hundreds of items, some of which fail, all finish at a rate of ten a second", () =>
  withBench(async (bench) => {
    bench.functions.sync = ({ n }) => {
      if ((n as number) % 100 === 7) throw new Error(`no ${n}`);
      return n;
    };
    const rule = makeRule([
      each(
        "event.data",
        [callStep("a", "sync", {}, { n: "${{ item }}" })],
        { rate: { count: 10, per: 1_000 } },
        { onError: "continue" },
      ),
    ]);
    const run = await bench.send(rule, Array.from({ length: 500 }, (_, index) => index));
    for (let index = 0; index < 500; index++) {
      await bench.until(() => bench.calls.length > index && (bench.runner.idle || index === 499));
      await bench.clock.advanceTo(START + (index + 1) * 100);
    }
    await bench.finish();
    const { run: { state }, steps } = await bench.trace(run);
    assert.equal(state, "succeeded");
    assert.equal(bench.calls.length, 500);
    const { failed, errors } = steps.at(-1)!.output as { failed: number; errors: { index: number }[] };
    assert.deepEqual([failed, errors.map(({ index }) => index)], [5, [7, 107, 207, 307, 407]]);
  }));

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
