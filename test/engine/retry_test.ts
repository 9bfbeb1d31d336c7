import fc from "fast-check";
import assert from "node:assert/strict";
import { type FailedAttempt, retryAt } from "../../runtime/engine/attempt.ts";
import { withTimeout } from "../../runtime/engine/timeout.ts";
import { ManualClock } from "../../runtime/host/clock.ts";
import { ExpressionError } from "../../runtime/language/expressions/expression.ts";
import { RetryAfterError, TerminalError, TimeoutError } from "../../runtime/model/errors.ts";
import type { Step } from "../../runtime/model/rule.ts";
import { type Bench, callStep, makeRule, makeStep, states, withBench } from "./harness.ts";

function failed(change: Partial<FailedAttempt>): FailedAttempt {
  const policy = { attempts: 10, delay: 1_000, max: 60_000 };
  return { error: new Error("no"), attempts: 1, policy, worthwhile: true, now: 0, random: () => 1, ...change };
}

Deno.test("delays double up to the maximum, with full jitter", () => {
  const delays = [1, 2, 3, 7, 9].map((attempts) => retryAt(failed({ attempts })));
  assert.deepEqual(delays, [1_000, 2_000, 4_000, 60_000, 60_000]);
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 9 }), fc.double({ min: 0, max: 1, noNaN: true }), (attempts, random) => {
      const due = retryAt(failed({ attempts, random: () => random, now: 5 }))!;
      assert.ok(due >= 5 && due <= 5 + Math.min(60_000, 1_000 * 2 ** (attempts - 1)));
    }),
  );
});

Deno.test("a RetryAfterError sets the time of the next attempt; terminal and expression errors are never retried", () => {
  assert.equal(retryAt(failed({ error: new RetryAfterError("busy", 7_000), worthwhile: false })), 7_000);
  assert.equal(retryAt(failed({ error: new RetryAfterError("busy", 7_000), attempts: 10 })), undefined);
  assert.equal(retryAt(failed({ error: new TerminalError("no") })), undefined);
  assert.equal(retryAt(failed({ error: new ExpressionError("no") })), undefined);
  assert.equal(retryAt(failed({ worthwhile: false })), undefined);
});

/** Retries a run as an operator, and waits until it has ended. */
async function retry(bench: Bench, run: string, step: string): Promise<void> {
  assert.deepEqual(await bench.store.retryRun(run, "anna", bench.clock.now()), { kind: "done", step });
  bench.runner.wake();
  await bench.finish();
}

/** Functions of which "flaky" fails until it is repaired. */
function flaky(bench: Bench): { mend(): void } {
  let broken = true;
  bench.functions = {
    flaky: () => {
      if (broken) throw new Error("boom");
      return "mended";
    },
    fine: () => "fine",
    see: (args) => args,
  };
  return { mend: () => void (broken = false) };
}

const once = { retry: { attempts: 1, delay: 1_000, max: 1_000 } };

function parallel(id: string, children: Record<string, Step[]>): Step {
  return makeStep(id, "parallel", { parallel: Object.keys(children) }, { children });
}

Deno.test("a retry in branches, items and turns executes only what failed, and what was cancelled because of it", () =>
  withBench(async (bench) => {
    const { mend } = flaky(bench);
    const item = [callStep("first", "fine", {}, { n: "${{ item }}" }), callStep("save", "flaky", once)];
    const turn = [makeStep("lines", "each", { each: "[1, 2]" }, { children: { then: item } })];
    const rule = makeRule([
      callStep("before", "fine"),
      parallel("both", {
        crm: [makeStep("mod", "repeat", { repeat: { times: 2 } }, { children: { then: turn } })],
        mail: [callStep("send", "fine"), makeStep("pause", "wait", { wait: "1h" }), callStep("sent", "fine")],
      }),
      callStep("after", "see", {}, { both: "${{ steps.both }}" }),
    ]);
    const run = await bench.send(rule);
    await bench.finish();
    const failed = await bench.trace(run);
    assert.equal(failed.run.state, "failed");
    assert.ok(states(failed).includes("both/mail/pause cancelled"));
    mend();
    bench.calls = [];
    await retry(bench, run, "both/crm/mod[0]/lines[0]/save");
    const trace = await bench.trace(run);
    assert.deepEqual([trace.run.state, trace.run.error], ["succeeded", undefined]);
    const calls = ["flaky", "fine 2", "flaky", "fine 1", "flaky", "fine 2", "flaky", "fine", "see"];
    assert.deepEqual(bench.calls, calls, "before, first and send are not executed again");
    const lines = { total: 2, failed: 0, results: ["mended", "mended"], errors: [] };
    assert.deepEqual(trace.steps.find(({ path }) => path === "both/crm/mod[1]/lines")?.output, lines);
    assert.deepEqual(trace.steps.find(({ path }) => path === "after")?.output, {
      both: { crm: { turns: 2 }, mail: "fine" },
    });
  }));

Deno.test("a retried step of a called action is attempted within the same attempt of the call", () =>
  withBench(async (bench) => {
    const { mend } = flaky(bench);
    const action = { inputs: {}, then: [callStep("a", "fine"), callStep("b", "flaky", once)], output: "steps.b" };
    const call = makeStep("tell", "call", { call: "./tell.yaml" }, {
      if: "1 == 1",
      retry: { attempts: 2, delay: 1, max: 1 },
    });
    const run = await bench.send(makeRule([call], { actions: { "ops/tell.yaml": action } }));
    await bench.finish();
    mend();
    bench.calls = [];
    await retry(bench, run, "tell/then@2/b");
    const trace = await bench.trace(run);
    assert.deepEqual([trace.run.state, bench.calls], ["succeeded", ["flaky"]]);
    assert.equal(trace.steps.find(({ path }) => path === "tell")?.output, "mended");
  }));

Deno.test("steps that failed at their beginning begin anew: a wait, an each, the decision for a turn, an if", async () => {
  const failing = "state['list']";
  const kinds: Record<string, Step> = {
    each: makeStep("s", "each", { each: failing }, { children: { then: [callStep("x", "fine")] } }),
    repeat: makeStep("s", "repeat", { repeat: { while: `${failing} == index` } }, {
      children: { then: [callStep("x", "fine")] },
    }),
    waitFor: makeStep("s", "waitFor", { waitFor: "paid", match: { "data.id": failing }, timeout: 5_000 }),
    if: callStep("s", "fine", { if: `${failing} == 1` }),
  };
  for (const [kind, step] of Object.entries(kinds)) {
    await withBench(async (bench) => {
      bench.functions = { fine: () => "fine" };
      const list = kind === "each" ? [1, 2] : kind === "repeat" ? 0 : 1;
      const set = async () => {
        const other = await bench.send(
          makeRule([makeStep("set", "state", { state: "list", value: `\${{ ${JSON.stringify(list)} }}` })]),
        );
        await bench.finish();
        assert.equal((await bench.trace(other)).run.state, "succeeded", kind);
      };
      const run = await bench.send(makeRule([step]));
      await bench.finish();
      assert.equal((await bench.trace(run)).run.state, "failed", kind);
      await set();
      const result = await bench.store.retryRun(run, "anna", bench.clock.now());
      assert.equal(result?.kind, "done", kind);
      bench.runner.wake();
      if (kind === "waitFor") {
        await bench.runner.settled(0);
        assert.deepEqual((await bench.trace(run)).run.waits?.map(({ what }) => what), ["paid with data.id 1"]);
      }
      await bench.finish();
      const trace = await bench.trace(run);
      assert.deepEqual([trace.run.state, trace.run.error], ["succeeded", undefined], kind);
    });
  }
});

const YEARS = 70 * 365 * 86_400_000;

Deno.test("a timeout does not depend on changes of the wall clock", async () => {
  for (const jump of [YEARS, -YEARS]) {
    const clock = new ManualClock(1.8e12);
    let late = false;
    const limit = { what: "Step x", ms: 1_000 };
    const forever = (makeSignal: () => AbortSignal) => {
      const signal = makeSignal();
      return new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    };
    const waited = withTimeout(clock, limit, new AbortController().signal, forever).catch((error) => {
      late = error instanceof TimeoutError;
    });
    clock.jumpTo(clock.now() + jump);
    await clock.advanceTo(clock.now() + 999);
    assert.equal(late, false);
    await clock.advanceTo(clock.now() + 1);
    await waited;
    assert.equal(late, true);
  }
});

Deno.test("work that finishes at once needs neither a signal nor a timer", async () => {
  const clock = {
    ...new ManualClock(1.8e12),
    ticks: () => assert.fail("asked for the time"),
    after: () => assert.fail("set a timer"),
  };
  const signal = new AbortController().signal;
  assert.equal(await withTimeout(clock as unknown as ManualClock, { what: "Step x", ms: 1_000 }, signal, () => 7), 7);
});
