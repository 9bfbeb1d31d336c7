import assert from "node:assert/strict";
import { RetryAfterError, TerminalError } from "../../runtime/model/errors.ts";
import { Meters } from "../../runtime/language/expressions/meter.ts";
import { checkCall } from "../../runtime/engine/code/function_step.ts";
import { callStep, makeRule, makeStep, START, states, withBench } from "./harness.ts";

Deno.test("steps are executed in order, each sees the results of earlier steps", () =>
  withBench(async (bench) => {
    bench.functions.double = ({ n }) => (n as number) * 2;
    const rule = makeRule([
      callStep("first", "double", {}, { n: "${{ event.data.n + config.threshold }}" }),
      callStep("second", "double", {}, { n: "${{ steps.first }}" }),
    ]);
    const trace = await bench.run(rule, { n: 1 });
    assert.equal(trace.run.state, "succeeded");
    assert.deepEqual(trace.steps.map(({ path, output, attempts }) => ({ path, output, attempts })), [
      { path: "first", output: 172, attempts: 1 },
      { path: "second", output: 344, attempts: 1 },
    ]);
    assert.deepEqual(trace.steps[1].input, { call: "./lib.ts#double", with: { n: 172 } });
    assert.deepEqual(bench.finished.map(({ id, state }) => [id, state]), [[trace.run.id, "succeeded"]]);
  }));

Deno.test("a step whose if is false is skipped and leaves its result null, also the steps inside it", () =>
  withBench(async (bench) => {
    bench.functions.see = (args) => args;
    const trace = await bench.run(
      makeRule([
        callStep("no", "see", { if: "event.data.n > 1" }),
        makeStep("check", "if", { if: "event.data.n > 1" }, {
          children: { then: [callStep("inner", "see")], else: [callStep("other", "see", {}, { a: 1 })] },
        }),
        callStep("after", "see", {}, {
          no: "${{ steps.no }}",
          inner: "${{ steps.inner }}",
          other: "${{ steps.other.a }}",
        }),
      ]),
      { n: 1 },
    );
    assert.deepEqual(states(trace), ["no skipped", "check succeeded", "check/else/other succeeded", "after succeeded"]);
    assert.deepEqual(trace.steps[3].output, { no: null, inner: null, other: 1 });
    assert.equal(trace.steps[1].output, false);
  }));

Deno.test("stop ends the run in the named state; with failed, onError runs", () =>
  withBench(async (bench) => {
    bench.functions.see = (args) => args;
    const ok = await bench.run(
      makeRule([makeStep("end", "stop", { stop: "Enough ${{ event.type }}" }), callStep("never", "see")]),
    );
    assert.equal(ok.run.state, "succeeded");
    assert.equal(ok.run.output, "Enough test");
    const failed = await bench.run(makeRule([makeStep("end", "stop", { stop: "Nobody answered", as: "failed" })], {
      onError: [callStep("tell", "see", {}, { step: "${{ error.step }}", message: "${{ error.message }}" })],
    }));
    assert.equal(failed.run.state, "failed");
    assert.equal(failed.run.error?.message, "Nobody answered");
    assert.deepEqual(failed.steps.at(-1)?.output, { step: "end", message: "Nobody answered" });
  }));

Deno.test("a failed step is retried after a doubling delay with full jitter, and the run is suspended meanwhile", () =>
  withBench(async (bench) => {
    const times: number[] = [];
    bench.functions.flaky = () => {
      times.push(bench.clock.now() - START);
      if (times.length < 4) throw new Error("not yet");
      return "done";
    };
    const run = await bench.send(
      makeRule([callStep("tell", "flaky", { retry: { attempts: 5, delay: 1_000, max: 3_000 } })]),
    );
    await bench.runner.settled(0);
    const suspended = await bench.trace(run);
    assert.equal(suspended.run.state, "waiting");
    assert.equal(suspended.run.due, START + 1_000);
    assert.equal(suspended.steps[0].state, "retrying");
    assert.equal(suspended.steps[0].error?.message, "not yet");
    bench.random = 0.5;
    await bench.finish();
    const trace = await bench.trace(run);
    assert.equal(trace.run.state, "succeeded");
    assert.equal(trace.steps[0].attempts, 4);
    assert.equal(trace.steps[0].error, undefined);
    assert.deepEqual(times, [0, 1_000, 2_000, 3_500]);
  }));

Deno.test("earlier attempts are recorded with their errors, of many the first and the last ones; the usual step keeps nothing", () =>
  withBench(async (bench) => {
    bench.functions = {
      fine: () => null,
      flaky: (_args, _signal, count) => {
        throw new Error(`no ${count} ${"x".repeat(count === 2 ? 2_000 : 0)}`);
      },
    };
    const flaky = callStep("flaky", "flaky", { retry: { attempts: 15, delay: 1_000, max: 1_000 } });
    const { steps: [failed] } = await bench.run(makeRule([flaky]));
    assert.deepEqual([failed.attempts, failed.error?.message.trim()], [15, "no 15"]);
    assert.deepEqual(failed.failures?.map(({ attempt }) => attempt), [1, 2, 3, 8, 9, 10, 11, 12, 13, 14]);
    const [first, second] = failed.failures!;
    assert.deepEqual(first, {
      attempt: 1,
      startedAt: START,
      endedAt: START,
      error: { name: "Error", message: "no 1 " },
    });
    assert.equal(second.startedAt, START + 1_000);
    assert.deepEqual([second.error.message.length, second.error.message.at(-1)], [1_001, "…"]);
    assert.equal(failed.attemptedAt, START + 14_000);
    const { steps: [fine] } = await bench.run(makeRule([callStep("fine", "fine")]));
    assert.deepEqual(
      Object.keys(fine).sort(),
      ["attempts", "endedAt", "input", "kind", "output", "path", "startedAt", "state"],
    );
  }));

Deno.test("a RetryAfterError says when, a TerminalError never, attempts are counted in all", () =>
  withBench(async (bench) => {
    let at = 0;
    bench.functions.later = (_args, _signal, count) => {
      at = bench.clock.now() - START;
      if (count === 1) throw new RetryAfterError("busy", 42_000);
      return null;
    };
    bench.functions.broken = () => {
      throw new TerminalError("no such account");
    };
    bench.functions.flaky = () => {
      throw new Error("again");
    };
    const retry = { attempts: 3, delay: 10, max: 10 };
    await bench.run(makeRule([callStep("a", "later", { retry })]));
    assert.equal(at, 42_000);
    const terminal = await bench.run(makeRule([callStep("a", "broken", { retry })]));
    assert.equal(terminal.steps[0].attempts, 1);
    const flaky = await bench.run(makeRule([callStep("a", "flaky", { retry })]));
    assert.equal(flaky.steps[0].attempts, 3);
    assert.equal(flaky.run.state, "failed");
    assert.equal(flaky.run.error?.message, "again");
  }));

Deno.test("a missing key in an expression fails the step without a retry", () =>
  withBench(async (bench) => {
    const step = callStep("a", "see", { retry: { attempts: 5, delay: 1, max: 1 } }, { x: "${{ event.data.nothing }}" });
    const trace = await bench.run(makeRule([step]));
    assert.equal(trace.run.state, "failed");
    assert.match(trace.run.error!.message, /nothing/);
    assert.equal(trace.steps[0].attempts, 1);
    assert.deepEqual(bench.calls, []);
  }));

Deno.test("onError: continue gives a null result and errors.<id>; a list gives the result of its last step instead", () =>
  withBench(async (bench) => {
    bench.functions.fail = () => {
      throw new Error("boom");
    };
    bench.functions.see = (args) => args;
    const trace = await bench.run(makeRule([
      callStep("a", "fail", { onError: "continue" }),
      callStep("b", "fail", { onError: [callStep("fallback", "see", {}, { message: "${{ error.message }}" })] }),
      callStep("c", "see", {}, { a: "${{ steps.a }}", why: "${{ errors.a.message }}", b: "${{ steps.b.message }}" }),
    ]));
    assert.equal(trace.run.state, "succeeded");
    assert.deepEqual(states(trace), ["a failed", "b failed", "b/onError/fallback succeeded", "c succeeded"]);
    assert.deepEqual(trace.steps[3].output, { a: null, why: "boom", b: "boom" });
  }));

Deno.test("a step that exceeds its timeout is aborted, and onTimeout runs", () =>
  withBench(async (bench) => {
    const heard = Promise.withResolvers<string>();
    const begun = Promise.withResolvers<void>();
    bench.functions.slow = (_args, signal) =>
      new Promise((_resolve, reject) => {
        begun.resolve();
        signal.addEventListener("abort", () => {
          heard.resolve(signal.reason.name);
          reject(signal.reason);
        });
      });
    bench.functions.see = (args) => args;
    const run = await bench.send(makeRule([
      callStep("a", "slow", {
        timeout: 5_000,
        onTimeout: [callStep("late", "see", {}, { why: "${{ error.message }}" })],
        onError: "continue",
      }),
      callStep("b", "see", {}, { a: "${{ steps.a }}" }),
    ]));
    await begun.promise;
    await bench.clock.advanceTo(START + 5_000);
    assert.equal(await heard.promise, "TimeoutError");
    await bench.finish();
    const trace = await bench.trace(run);
    assert.deepEqual(states(trace), ["a failed", "a/onTimeout/late succeeded", "b succeeded"]);
    assert.deepEqual(trace.steps[2].output, { a: { why: 'Step "a" took longer than its timeout of 5s' } });
  }));

Deno.test("a step that ignores its abort is abandoned and harms no other run", () =>
  withBench(async (bench) => {
    const begun = Promise.withResolvers<void>();
    bench.functions.deaf = () => {
      begun.resolve();
      return new Promise(() => {});
    };
    bench.functions.see = (args) => args;
    const run = await bench.send(makeRule([callStep("a", "deaf", { timeout: 1_000 })]));
    await begun.promise;
    await bench.clock.advanceTo(START + 1_000);
    const other = await bench.send(makeRule([callStep("a", "see")]));
    await bench.clock.advanceTo(START + 6_000);
    await bench.finish();
    assert.equal((await bench.trace(run)).run.error?.name, "TimeoutError");
    assert.equal((await bench.trace(other)).run.state, "succeeded");
  }));

Deno.test("a YAML action has inputs with defaults, steps of its own and an output; invalid inputs fail the call", () =>
  withBench(async (bench) => {
    bench.functions.see = (args) => args;
    const tell = {
      inputs: {
        text: { type: "text" as const, required: true },
        level: { type: "number" as const, required: false, default: 3 },
      },
      then: [
        callStep("inner", "see", {}, {
          text: "${{ inputs.text }}",
          level: "${{ inputs.level }}",
          limit: "${{ config.threshold }}",
        }),
      ],
      output: "steps.inner.level + 1",
    };
    const call = (args: Record<string, string>) => makeStep("tell", "call", { call: "./lib/tell.yaml", with: args });
    const more = { actions: { "ops/lib/tell.yaml": tell }, modules: { "ops/lib/lib.ts": "" } };
    const trace = await bench.run(makeRule([call({ text: "Hi ${{ event.type }}" })], more));
    assert.deepEqual(states(trace), ["tell/then/inner succeeded", "tell succeeded"]);
    assert.deepEqual(trace.steps[0].output, { text: "Hi test", level: 3, limit: 85 });
    assert.equal(trace.steps[1].output, 4);
    const wrong = await bench.run(makeRule([call({ txt: "Hi" })], more));
    assert.equal(wrong.run.state, "failed");
    assert.match(wrong.run.error!.message, /Cannot call ops\/lib\/tell.yaml: .*text/);
  }));

Deno.test("another attempt of a YAML action executes its steps anew", () =>
  withBench(async (bench) => {
    bench.functions.flaky = (_args, _signal, count) => {
      if (count === 2) throw new Error("boom");
      return count;
    };
    const twice = { inputs: {}, then: [callStep("a", "flaky"), callStep("b", "flaky")], output: "steps.b" };
    const rule = makeRule([
      makeStep("go", "call", { call: "./twice.yaml" }, { retry: { attempts: 2, delay: 1, max: 1 } }),
    ], {
      actions: { "ops/twice.yaml": twice },
    });
    const trace = await bench.run(rule);
    assert.equal(trace.run.state, "succeeded");
    assert.deepEqual(states(trace).sort(), [
      "go succeeded",
      "go/then/a succeeded",
      "go/then/b failed",
      "go/then@2/a succeeded",
      "go/then@2/b succeeded",
    ]);
    assert.equal(trace.steps.find(({ path }) => path === "go")?.output, 4);
  }));

Deno.test("a result or arguments over 10 MB fail the step with the reason; nothing smaller is cut", () =>
  withBench(async (bench) => {
    bench.functions.big = () => "x".repeat(10_000_001);
    bench.functions.length = ({ text }) => (text as string).length;
    const big = await bench.run(makeRule([callStep("a", "big", { retry: { attempts: 3, delay: 1, max: 1 } })]));
    assert.match(big.run.error!.message, /Cannot keep the result of step "a": it has 10000003 bytes, at most 10000000/);
    assert.equal(big.steps[0].attempts, 1);
    const length = makeRule([callStep("a", "length", {}, { text: "${{ event.data }}${{ event.data }}" })]);
    const whole = await bench.run(length, "y".repeat(4_900_000));
    assert.equal(whole.steps[0].output, 9_800_000);
    assert.equal(
      JSON.stringify(whole.steps[0].input).length,
      9_800_000 + '{"call":"./lib.ts#length","with":{"text":""}}'.length,
    );
    const tooBig = await bench.run(length, "y".repeat(5_000_000));
    assert.match(tooBig.run.error!.message, /Cannot keep the arguments of step "a": they have 10000045 bytes/);
    assert.deepEqual(bench.calls, ["big", "length"]);
  }));

Deno.test("state is set with the step's record, gives the previous value, and is seen by expressions", () =>
  withBench(async (bench) => {
    bench.functions.see = (args) => args;
    const rule = makeRule([
      makeStep("before", "state", { state: "up/${{ event.data.host }}", value: "${{ event.data.up }}" }),
      callStep("see", "see", { if: "state['up/a'] == event.data.up" }, { before: "${{ steps.before }}" }),
    ]);
    await bench.run(rule, { host: "a", up: true });
    const trace = await bench.run(rule, { host: "a", up: false });
    assert.deepEqual(trace.steps[1].output, { before: true });
  }));

Deno.test("a reply is sent after it is on disk; of two the first counts", () =>
  withBench(async (bench) => {
    const http = { method: "POST", path: "/x", params: {}, query: {}, headers: {} };
    const rule = makeRule([
      makeStep("a", "reply", { reply: 200, json: { ok: true } }),
      makeStep("b", "reply", { reply: 201 }),
    ]);
    const run = await bench.send(rule, {}, { http });
    await bench.finish();
    assert.deepEqual(bench.replies.map(({ status, body }) => ({ status, body })), [{
      status: 200,
      body: '{"ok":true}',
    }]);
    assert.equal((await bench.trace(run)).steps[1].output !== null, true);
    assert.deepEqual((await bench.trace(run)).steps[1].output, {
      sent: false,
      reason: "the event has been replied to before; the first reply counts",
    });
  }));

Deno.test("state accepts keys that every object inherits", () =>
  withBench(async (bench) => {
    for (const key of ["constructor", "__proto__"]) {
      const trace = await bench.run(makeRule([
        makeStep("before", "state", { state: key }),
        makeStep("set", "state", { state: key, value: 5 }),
        makeStep("after", "state", { state: key }),
        makeStep("said", "log", { log: "${{ state['" + key + "'] }}" }),
      ]));
      assert.deepEqual(trace.steps.map(({ output }) => output), [null, null, 5, null], key);
      assert.deepEqual(trace.steps[3].input, { log: "5" });
    }
  }));

Deno.test("a step whose expression exceeds the rule's budget fails with the reason", () => {
  let time = 0;
  // Each reading of the clock is 11 s later than the previous one.
  const meters = new Meters({ ticks: () => time += 11_000 });
  return withBench(async (bench) => {
    bench.functions.see = (args) => args;
    const rule = makeRule([
      callStep("first", "see", {}, { n: "${{ event.data.n }}" }),
      callStep("second", "see", {}, { n: "${{ event.data.n + 1 }}" }),
    ]);
    const trace = await bench.run(rule, { n: 1 });
    assert.deepEqual(states(trace), ["first succeeded", "second failed"]);
    assert.match(
      trace.run.error!.message,
      /expressions of the rule .* took 11 s of the last minute, and may take 10 s; they are evaluated again in \d+ s; .*event\.data\.n/,
    );
  }, { surroundings: (rule) => ({ env: {}, secrets: {}, $meter: meters.of(rule) }) });
});

Deno.test("a template in an option of step.… that is no text is an error: nothing resolves it in code", () => {
  const problem = (kind: string, args: Record<string, string | object>) => {
    try {
      return checkCall("pay", kind, args as never, 0).args;
    } catch (error) {
      assert.ok(error instanceof TerminalError);
      return error.message;
    }
  };
  const got = (path: string) => `${path}: expected a duration such as 250ms, 30s, 5m, 2h or 3d, got "\${{ config.t }}"`;
  const hint = "code has no ${{ }}: give the value itself, such as config.x";
  const t = "${{ config.t }}";
  assert.equal(
    problem("http", { http: "GET https://x.org", timeout: t, retry: { delay: t } }),
    `Cannot run step "pay": ${got("timeout")}; ${got("retry.delay")}; ${hint}`,
  );
  assert.equal(problem("do", { timeout: t }), `Cannot run step "pay": ${got("timeout")}; ${hint}`);
  assert.equal(problem("form", { form: "x", to: "a", remind: t }), `Cannot run step "pay": ${got("remind")}; ${hint}`);
  assert.deepEqual(problem("log", { log: t, timeout: "5s" }), { log: t }, "text stays as it is");
});
