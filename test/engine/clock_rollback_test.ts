import assert from "node:assert/strict";
import type { Step } from "../../runtime/model/rule.ts";
import type { Store } from "../../runtime/store/store.ts";
import { type Bench, callStep, makeRule, makeStep, START, withBench } from "./harness.ts";

const FAR = Date.parse("2099-01-01T08:00:00Z");
const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** A step beside one that works until it is released; both are in `both`. */
function beside(steps: Step[]): Step {
  const children = { a: steps, b: [callStep("work", "work", { timeout: 100 * HOUR })] };
  return makeStep("both", "parallel", { parallel: ["a", "b"] }, { children });
}

/** A run that begins in 2099 and works until it is released. */
async function busyIn2099(bench: Bench, steps: Step[]) {
  const working = Promise.withResolvers<null>();
  bench.functions.work = () => working.promise;
  bench.clock.jumpTo(FAR);
  // The clock advances by hours while the run works.
  const run = await bench.send(makeRule([beside(steps)], { timeout: 100 * HOUR }));
  return { run, end: () => working.resolve(null) };
}

/** When a step ended. */
async function endOf(bench: Bench, run: string, path: string): Promise<number | undefined> {
  return (await bench.trace(run)).steps.find((step) => step.path === path)?.endedAt;
}

/** Waits until the store has shifted the time of a step to the new time. */
async function shifted(bench: Bench, run: string, path: string): Promise<void> {
  await bench.until(async () => (await bench.trace(run)).steps.some((step) => step.path === path && step.due! < FAR));
}

Deno.test("a branch that waits beside a working one resumes after its remaining time, counted from the clock rollback", () =>
  withBench(async (bench) => {
    bench.functions.see = () => null;
    const { run, end } = await busyIn2099(bench, [makeStep("pause", "wait", { wait: "1h" }), callStep("then", "see")]);
    await bench.reached(run, "both/a/pause", "waiting");
    bench.clock.jumpTo(START);
    await shifted(bench, run, "both/a/pause");
    await bench.clock.advanceTo(START + HOUR);
    await bench.reached(run, "both/a/then", "succeeded");
    assert.equal((await bench.trace(run)).run.state, "running");
    assert.equal(await endOf(bench, run, "both/a/then"), START + HOUR);
    end();
    await bench.finish();
    assert.equal((await bench.trace(run)).run.state, "succeeded");
  }));

Deno.test("after a clock rollback a retry beside a working branch comes after its remaining delay", () =>
  withBench(async (bench) => {
    bench.functions.flaky = () => {
      if (bench.clock.now() >= FAR) throw new Error("not yet");
      return null;
    };
    const retry = { attempts: 2, delay: MINUTE, max: MINUTE };
    const { run, end } = await busyIn2099(bench, [callStep("flaky", "flaky", { retry })]);
    await bench.reached(run, "both/a/flaky", "retrying");
    bench.clock.jumpTo(START);
    await shifted(bench, run, "both/a/flaky");
    await bench.clock.advanceTo(START + MINUTE);
    await bench.reached(run, "both/a/flaky", "succeeded");
    assert.equal(await endOf(bench, run, "both/a/flaky"), START + MINUTE);
    end();
    await bench.finish();
  }));

Deno.test("after a clock rollback an open form beside a working step sends its reminders after the remaining time", () =>
  withBench(async (bench) => {
    const form = makeStep("approval", "form", { form: "Refund?", to: ["anna@example.org"], fields: {}, remind: HOUR });
    const { run, end } = await busyIn2099(bench, [form]);
    await bench.until(() => bench.mails.length === 1);
    bench.clock.jumpTo(START);
    const isTurned = async () =>
      (await bench.trace(run)).steps.some(({ kind, startedAt }) => kind === "form" && startedAt < FAR);
    await bench.until(isTurned);
    await bench.clock.advanceTo(START + HOUR + MINUTE);
    await bench.until(() => bench.mails.length === 2);
    assert.deepEqual(bench.mails, ["anna@example.org: Refund?", "anna@example.org: Reminder: Refund?"]);
    end();
    await bench.runner.settled(0);
  }));

Deno.test("after a clock rollback a wait until a time of day uses the new time, whether its run is suspended or works elsewhere", () =>
  withBench(async (bench) => {
    const pause = makeStep("pause", "wait", { wait: "09:00", timezone: "UTC" });
    const latest = makeStep("latest", "wait", { wait: "5h", until: "10:00", timezone: "UTC" });
    const { run, end } = await busyIn2099(bench, [pause, latest]);
    const suspended = await bench.send(makeRule([pause]));
    await bench.reached(run, "both/a/pause", "waiting");
    await bench.until(async () => (await bench.trace(suspended)).run.state === "waiting");
    bench.clock.jumpTo(START + 30 * MINUTE);
    await shifted(bench, run, "both/a/pause");
    await shifted(bench, suspended, "pause");
    await bench.clock.advanceTo(START + HOUR);
    await bench.reached(run, "both/a/latest", "waiting");
    end();
    await bench.finish();
    for (
      const [id, path, at] of [[suspended, "pause", 1], [run, "both/a/pause", 1], [run, "both/a/latest", 2]] as const
    ) {
      assert.equal(await endOf(bench, id, path), START + at * HOUR, path);
    }
  }));

Deno.test("an each keeps its rate after a clock rollback", () =>
  withBench(async (bench) => {
    bench.functions.see = () => null;
    const args = { each: "event.data", max: 5, rate: { count: 1, per: MINUTE } };
    const each = makeStep("each", "each", args, { children: { then: [callStep("see", "see")] } });
    bench.clock.jumpTo(FAR);
    const run = await bench.send(makeRule([each]), [1, 2, 3]);
    await bench.runner.settled(0);
    bench.clock.jumpTo(START);
    await bench.until(async () => (await bench.trace(run)).run.due! < FAR);
    await bench.finish();
    assert.equal((await bench.trace(run)).run.state, "succeeded");
    assert.equal(bench.calls.length, 3);
    assert.ok(bench.clock.now() <= START + 4 * MINUTE, new Date(bench.clock.now()).toISOString());
  }));

Deno.test("a loop whose turn runs during a clock rollback continues with the next turn of its grid", () =>
  withBench(async (bench) => {
    const working = Promise.withResolvers<null>();
    bench.functions.turn = (_args, _signal, count) => count === 2 ? working.promise : null;
    const repeat = makeStep("loop", "repeat", { repeat: { every: 10 * MINUTE, times: 3 } }, {
      children: { then: [callStep("turn", "turn")] },
    });
    bench.clock.jumpTo(FAR);
    const run = await bench.send(makeRule([repeat]));
    await bench.runner.settled(0);
    await bench.clock.advanceTo(FAR + 10 * MINUTE);
    await bench.until(() => bench.calls.length === 2);
    bench.clock.jumpTo(START);
    working.resolve(null);
    await bench.finish();
    assert.equal((await bench.trace(run)).run.state, "succeeded");
    assert.equal(bench.calls.length, 3);
    assert.ok(bench.clock.now() <= START + 10 * MINUTE, new Date(bench.clock.now()).toISOString());
  }));

Deno.test("claimed runs execute even if the store does not say when the next run is due", () => {
  let fails = true;
  const between = (store: Store): Store =>
    new Proxy(store, {
      get: (target, name) => {
        const method = Reflect.get(target, name).bind(target);
        if (name !== "nextDue") return method;
        return () => fails ? Promise.reject(new Error("not now")) : method();
      },
    });
  return withBench(async (bench) => {
    bench.functions.see = () => null;
    const run = await bench.send(makeRule([callStep("see", "see")]));
    await bench.until(async () => (await bench.trace(run)).run.state === "succeeded");
    assert.ok(bench.errors.length > 0);
    fails = false;
  }, { between });
});
