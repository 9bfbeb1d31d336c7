import assert from "node:assert/strict";
import type { Step } from "../../runtime/model/rule.ts";
import { callStep, makeRule, makeStep, START, withBench } from "./harness.ts";

const HOUR = 3_600_000;
const waitFor = (args: Record<string, never> | object, more: Partial<Step> = {}) =>
  makeStep("pay", "waitFor", { waitFor: "payment.received", ...args }, more);

Deno.test("waitFor waits for an event of the type with matching values, and returns it", () =>
  withBench(async (bench) => {
    bench.functions.see = (args) => args;
    const run = await bench.send(
      makeRule([
        waitFor({ match: { "data.id": "event.data.id", "data.paid": "true" }, timeout: 24 * HOUR }),
        callStep("after", "see", {}, { amount: "${{ steps.pay.data.amount }}" }),
      ]),
      { id: "A1" },
    );
    await bench.runner.settled(0);
    const { run: suspended, steps: [step] } = await bench.trace(run);
    assert.equal(suspended.waitingFor, 'payment.received with data.id "A1", data.paid true');
    assert.equal(suspended.due, START + 24 * HOUR);
    const match = { "data.id": "A1", "data.paid": true };
    assert.deepEqual(step.input, { waitFor: "payment.received", match, timeout: "1d" });
    assert.deepEqual(await bench.emit("payment.received", { id: "A2", paid: true }), []);
    assert.deepEqual(await bench.emit("payment.made", { id: "A1", paid: true }), []);
    assert.deepEqual(await bench.emit("payment.received", { id: "A1", paid: true, amount: 5 }), [run]);
    await bench.finish();
    const trace = await bench.trace(run);
    assert.deepEqual(trace.steps.at(-1)?.output, { amount: 5 });
    assert.equal(trace.run.endedAt, START);
  }));

Deno.test("an event that came before its waitFor is not missed, and ends only one wait", () =>
  withBench(async (bench) => {
    bench.functions.see = (args) => args;
    const run = await bench.send(makeRule([
      makeStep("pause", "wait", { wait: "1h" }),
      waitFor({}),
      makeStep("again", "waitFor", { waitFor: ["payment.*", "order.paid"], timeout: HOUR }),
      callStep("after", "see", {}, { n: "${{ steps.pay.data.n }}", again: "${{ steps.again }}" }),
    ]));
    await bench.runner.settled(0);
    await bench.emit("payment.received", { n: 1 });
    await bench.finish();
    assert.deepEqual((await bench.trace(run)).steps.at(-1)?.output, { n: 1, again: null });
    assert.equal(bench.clock.now(), START + 2 * HOUR);
  }));

Deno.test("after its timeout the result is null, or that of onTimeout", () =>
  withBench(async (bench) => {
    bench.functions.see = (args) => args;
    const rule = (more: Partial<Step>) =>
      makeRule([
        waitFor({ timeout: HOUR }, more),
        callStep("after", "see", {}, { pay: "${{ steps.pay }}" }),
      ]);
    assert.deepEqual((await bench.run(rule({}))).steps.at(-1)?.output, { pay: null });
    const onTimeout = [
      makeStep("pause", "wait", { wait: "1h" }),
      callStep("late", "see", {}, { step: "${{ error.step }}", why: "${{ errors.pay.message }}" }),
    ];
    const late = await bench.run(rule({ onTimeout, onError: "continue" }));
    const why = 'What step "pay" waited for did not come in time';
    assert.deepEqual(late.steps.at(-1)?.output, { pay: { step: "pay", why } });
    assert.deepEqual(late.steps.map(({ path }) => path), ["pay", "pay/onTimeout/pause", "pay/onTimeout/late", "after"]);
  }));

Deno.test("a skipped wait has no result, and onTimeout does not run", () =>
  withBench(async (bench) => {
    bench.functions.see = (args) => args;
    const run = await bench.send(makeRule([
      waitFor({}, { onTimeout: [callStep("late", "see")] }),
      callStep("after", "see", {}, { pay: "${{ steps.pay }}" }),
    ]));
    await bench.runner.settled(0);
    await bench.store.skipWait(run, undefined, "anna", bench.clock.now());
    bench.runner.woken([run]);
    await bench.finish();
    const { steps } = await bench.trace(run);
    assert.deepEqual(steps.at(-1)?.output, { pay: null });
    assert.deepEqual(bench.calls, ["see"]);
  }));

Deno.test("an event that comes while other branches work resumes its branch at once", () =>
  withBench(async (bench) => {
    const working = Promise.withResolvers<null>();
    bench.functions = { work: () => working.promise, see: (args) => args };
    const run = await bench.send(makeRule([
      makeStep("both", "parallel", { parallel: ["a", "b"] }, {
        children: {
          a: [waitFor({}), callStep("then", "see", {}, { n: "${{ steps.pay.data.n }}" })],
          b: [callStep("work", "work")],
        },
      }),
    ]));
    await bench.reached(run, "both/a/pay", "waiting");
    await bench.until(() => bench.calls.includes("work"));
    await bench.emit("payment.received", { n: 7 });
    await bench.reached(run, "both/a/then", "succeeded");
    working.resolve(null);
    await bench.finish();
    assert.equal((await bench.trace(run)).run.state, "succeeded");
  }));

Deno.test("an event at any moment while a run starts is not missed", async () => {
  for (let turn = 0; turn < 8; turn++) {
    await withBench(async (bench) => {
      bench.functions.see = (args) => args;
      const run = await bench.send(makeRule([
        callStep("before", "see"),
        waitFor({}),
        callStep("after", "see", {}, { n: "${{ steps.pay.data.n }}" }),
      ]));
      for (let count = 0; count < turn; count++) await new Promise((resolve) => setTimeout(resolve, 0));
      await bench.emit("payment.received", { n: turn });
      await bench.until(async () => (await bench.trace(run)).run.state === "succeeded");
      assert.deepEqual((await bench.trace(run)).steps.at(-1)?.output, { n: turn });
    });
  }
});

Deno.test("a value that cannot be evaluated fails the step before it waits", () =>
  withBench(async (bench) => {
    const trace = await bench.run(makeRule([waitFor({ match: { "data.id": "event.data.nothing" } })]));
    assert.equal(trace.run.state, "failed");
    assert.match(trace.run.error!.message, /event.data has no key "nothing"/);
    assert.equal(trace.run.waits, undefined);
  }));
