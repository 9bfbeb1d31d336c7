import assert from "node:assert/strict";
import { callStep, makeRule, makeStep, START, states, withBench } from "./harness.ts";

const HOUR = 3_600_000;
const wait = (args: Record<string, string>, more = {}) => makeStep("pause", "wait", args, more);

Deno.test("wait suspends the run for a duration; it is only a row, and counts as no running time", () =>
  withBench(async (bench) => {
    bench.functions.see = (args) => args;
    const run = await bench.send(
      makeRule([
        wait({ wait: "${{ event.data.pause }}" }),
        callStep("after", "see", {}, { pause: "${{ steps.pause }}" }),
      ], { timeout: 60_000 }),
      { pause: "25h" },
    );
    await bench.runner.settled(0);
    const { run: suspended, steps } = await bench.trace(run);
    assert.equal(suspended.state, "waiting");
    assert.equal(suspended.due, START + 25 * HOUR);
    assert.equal(suspended.waitingFor, 'the time of step "pause"');
    const until = START + 25 * HOUR;
    assert.deepEqual(suspended.waits, [{ step: "pause", kind: "time", what: "a time", since: START, until }]);
    assert.deepEqual(steps[0].input, { wait: "25h" });
    assert.equal(bench.runner.running(), 0);
    await bench.crash();
    await bench.finish();
    const trace = await bench.trace(run);
    assert.equal(trace.run.state, "succeeded");
    assert.equal(trace.run.endedAt, START + 25 * HOUR);
    assert.deepEqual(trace.steps.at(-1)?.output, { pause: null });
  }));

Deno.test("wait accepts a time, or the next time of day in a zone; until is its latest end", () =>
  withBench(async (bench) => {
    const ends = async (args: Record<string, string>) => {
      const begun = bench.clock.now();
      await bench.run(makeRule([wait(args)]));
      return (bench.clock.now() - begun) / HOUR;
    };
    assert.equal(await ends({ wait: "2026-11-21T09:30:00Z" }), 1.5);
    assert.equal(await ends({ wait: "2020-01-01" }), 0);
    assert.equal(await ends({ wait: "11:00", timezone: "Europe/Berlin" }), 0.5);
    assert.equal(await ends({ wait: "1d", until: "12:00", timezone: "UTC" }), 2);
    assert.equal(await ends({ wait: "1h", until: "2026-12-24" }), 1);
  }));

Deno.test("an invalid time or zone fails the step, with what would work", () =>
  withBench(async (bench) => {
    const error = async (args: Record<string, string>) => (await bench.run(makeRule([wait(args)]))).run.error?.message;
    assert.match((await error({ wait: "${{ event.type }}" }))!, /^Cannot wait for "test": expected a duration such as/);
    assert.match(
      (await error({ wait: "1h", until: "${{ event.type }}" }))!,
      /^Cannot wait until "test": expected a time/,
    );
    assert.match((await error({ wait: "1h", timezone: "${{ event.type }}" }))!, /^Cannot wait in the time zone "test"/);
  }));

Deno.test("a wait that an operator skips ends at once, also beside a branch that works", () =>
  withBench(async (bench) => {
    const working = Promise.withResolvers<null>();
    bench.functions = { work: () => working.promise, see: (args) => args };
    const rule = makeRule([
      makeStep("both", "parallel", { parallel: ["a", "b"] }, {
        children: {
          a: [makeStep("pause", "wait", { wait: "1h" }), callStep("then", "see", {}, { pause: "${{ steps.pause }}" })],
          b: [callStep("work", "work")],
        },
      }),
    ]);
    const run = await bench.send(rule);
    await bench.reached(run, "both/a/pause", "waiting");
    await bench.until(() => bench.calls.includes("work"));
    const { kind } = (await bench.store.skipWait(run, "both/a/pause", "anna", bench.clock.now()))!;
    assert.equal(kind, "done");
    bench.runner.woken([run]);
    await bench.reached(run, "both/a/then", "succeeded");
    assert.equal((await bench.trace(run)).run.state, "running");
    working.resolve(null);
    await bench.finish();
    const trace = await bench.trace(run);
    assert.equal(trace.run.state, "succeeded");
    assert.ok(states(trace).includes("both/a/pause skipped"));
    assert.deepEqual(trace.steps.find(({ path }) => path === "both/a/then")?.output, { pause: null });
  }));

Deno.test("the timeout of a run that waits leaves its wait cancelled", () =>
  withBench(async (bench) => {
    bench.functions = { hang: () => new Promise(() => {}), see: () => null };
    const run = await bench.send(makeRule([
      makeStep("both", "parallel", { parallel: ["a", "b"] }, {
        children: { a: [makeStep("pause", "wait", { wait: "1h" })], b: [callStep("hang", "hang")] },
      }),
    ], { timeout: 60_000, onError: [callStep("tell", "see")] }));
    await bench.reached(run, "both/a/pause", "waiting");
    await bench.until(() => bench.calls.includes("hang"));
    await bench.clock.advanceTo(START + 60_000);
    await bench.clock.advanceTo(START + 70_000);
    await bench.finish();
    const trace = await bench.trace(run);
    assert.equal(trace.run.error?.name, "TimeoutError");
    assert.ok(states(trace).includes("both/a/pause cancelled"));
    assert.ok(states(trace).includes("rule.onError/tell succeeded"));
  }));

Deno.test("thousands of runs may wait: they are only rows, and all resume at their time", () =>
  withBench(async (bench) => {
    const rule = makeRule([wait({ wait: "2026-11-21T09:00:00Z" })], { max: 10_000 });
    for (let count = 0; count < 2_000; count++) await bench.send(rule);
    await bench.runner.settled(0);
    assert.equal(bench.runner.running(), 0);
    assert.equal((await bench.store.countRuns()).waiting, 2_000);
    await bench.finish();
    assert.equal((await bench.store.countRuns()).succeeded, 2_000);
  }));

Deno.test("a waiting run that is cancelled or replaced is reported as ended, once", () =>
  withBench(async (bench) => {
    const rule = makeRule([wait({ wait: "1h" })], { mode: "restart" });
    const first = await bench.send(rule);
    await bench.runner.settled(0);
    const second = await bench.send(rule);
    await bench.runner.settled(0);
    assert.equal(await bench.runner.cancel(second), "cancelled");
    assert.equal(await bench.runner.cancel(second), "cancelled");
    await bench.until(() => bench.finished.length >= 2);
    const ended = bench.finished.map(({ id, state }) => [id, state]);
    assert.deepEqual(ended, [[first, "cancelled"], [second, "cancelled"]]);
    assert.equal(bench.finished[0].error?.message, `Replaced by run ${second}`);
  }));
