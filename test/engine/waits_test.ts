import assert from "node:assert/strict";
import { Waiting } from "../../runtime/engine/waiting.ts";
import { type Cancel, ManualClock } from "../../runtime/host/clock.ts";
import type { Step } from "../../runtime/model/rule.ts";
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

const never = new AbortController().signal;

/** A clock that counts its pending timers. */
class CountingClock extends ManualClock {
  alarms = 0;

  override at(at: number, wake: () => void): Cancel {
    let live = true;
    const end = () => {
      if (live) this.alarms--;
      live = false;
    };
    this.alarms++;
    const cancel = super.at(at, () => {
      end();
      wake();
    });
    return () => {
      end();
      cancel();
    };
  }
}

/** A branch that works until it is released. */
function work() {
  const { promise, resolve } = Promise.withResolvers<string>();
  return { branch: () => promise, end: () => resolve("worked") };
}

Deno.test("a run is suspended as soon as its only branch waits, even for a short time", async () => {
  const waiting = new Waiting(new ManualClock(0));
  assert.equal(await waiting.wait(1, never), false);
  assert.equal(await waiting.wait(undefined, never), false);
});

Deno.test("a wait that is already due ends at once", async () => {
  assert.equal(await new Waiting(new ManualClock(5)).wait(5, never), true);
});

Deno.test("while a branch works the others wait in memory, and resume when they are due", async () => {
  const clock = new ManualClock(0);
  const waiting = new Waiting(clock);
  const { branch, end } = work();
  const times: number[] = [];
  const waits = async () => {
    for (const due of [1_000, 2_000]) {
      assert.equal(await waiting.wait(due, never), true);
      times.push(clock.now());
    }
    return "waited";
  };
  const done = waiting.fork([branch, waits]);
  await clock.advanceTo(5_000);
  assert.deepEqual(times, [1_000, 2_000]);
  end();
  assert.deepEqual(await done, ["worked", "waited"]);
  assert.equal(waiting.held, 0);
});

Deno.test("when the last branch that works ends or waits, all that wait are suspended", async () => {
  const waiting = new Waiting(new CountingClock(0));
  const { branch, end } = work();
  const done = waiting.fork<string | boolean>([
    branch,
    () => waiting.wait(1_000, never),
    async () => (await waiting.fork([() => waiting.wait(undefined, never), () => waiting.wait(9_000, never)])).join(),
  ]);
  end();
  assert.deepEqual(await done, ["worked", false, "false,false"]);
});

Deno.test("after a join the remaining branch is suspended alone again", async () => {
  const waiting = new Waiting(new ManualClock(0));
  await waiting.fork([() => Promise.resolve(1), () => Promise.resolve(2), () => Promise.resolve(3)]);
  await waiting.fork([]);
  assert.equal(await waiting.wait(1_000, never), false);
});

Deno.test("a wait that holds the run keeps it in memory, with all waiting branches; the time counts as held", async () => {
  const clock = new ManualClock(0);
  const waiting = new Waiting(clock);
  const done = waiting.fork([
    async () => [await waiting.wait(3_000, never, { hold: true }), clock.now()],
    async () => [await waiting.wait(2_000, never), clock.now()],
  ]);
  await clock.advanceTo(1_000);
  assert.equal(waiting.held, 1_000);
  await clock.advanceTo(10_000);
  assert.deepEqual(await done, [[true, 3_000], [true, 2_000]]);
  assert.equal(waiting.held, 3_000);
});

Deno.test("a run is not held for longer than a few seconds", async () => {
  const waiting = new Waiting(new ManualClock(0));
  assert.equal(await waiting.wait(60_000, never, { hold: true }), false);
});

Deno.test("however many branches wait, only the first has a timer", async () => {
  const clock = new ManualClock(0);
  const dues: number[] = [];
  const at = clock.at.bind(clock);
  clock.at = (due, call) => {
    dues.push(due);
    return at(due, call);
  };
  const waiting = new Waiting(clock);
  const { branch, end } = work();
  const waits = Array.from({ length: 100 }, (_, index) => () => waiting.wait(1_000 + index, never));
  const done = waiting.fork<unknown>([branch, ...waits]);
  assert.deepEqual(dues, [1_000]);
  await clock.advanceTo(1_049);
  assert.equal(dues.length, 51, "then the next one");
  end();
  await done;
});

Deno.test("all waiting branches check again when the run is woken", async () => {
  const clock = new CountingClock(0);
  const waiting = new Waiting(clock);
  const { branch, end } = work();
  const looks: number[] = [];
  const waits = (index: number) => async () => {
    while (await waiting.wait(60_000, never)) looks.push(index);
  };
  const done = waiting.fork<unknown>([branch, waits(1), waits(2)]);
  waiting.wake();
  await clock.advanceTo(1);
  waiting.wake();
  await clock.advanceTo(2);
  assert.deepEqual(looks, [1, 2, 1, 2]);
  end();
  await done;
  assert.equal(clock.alarms, 0);
});

Deno.test("a branch whose signal is aborted stops waiting, and leaves no timer behind", async () => {
  const clock = new CountingClock(0);
  const waiting = new Waiting(clock);
  const { branch, end } = work();
  const stop = new AbortController();
  const lost = waiting.fork<unknown>([branch, () => waiting.wait(60_000, stop.signal)]);
  stop.abort(new Error("lost"));
  assert.equal(clock.alarms, 0);
  end();
  await assert.rejects(lost, /lost/);
  assert.equal(await waiting.wait(undefined, never), false);
  assert.throws(() => waiting.wait(1, stop.signal), /lost/);
});

Deno.test("if runs are held for tests, all branches wait in memory until the run is asked to suspend", async () => {
  const clock = new ManualClock(0);
  const waiting = new Waiting(clock, true);
  const first = waiting.wait(86_400_000, never);
  assert.ok(waiting.idle);
  await clock.advanceTo(86_400_000);
  assert.equal(await first, true);
  assert.equal(waiting.held, 86_400_000);
  const second = waiting.wait(undefined, never);
  waiting.suspend();
  assert.equal(await second, false);
  assert.ok(!waiting.idle);
});
