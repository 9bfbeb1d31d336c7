import assert from "node:assert/strict";
import { BLOCK } from "../workers/harness.ts";
import type { Isolates, StepCall } from "../../runtime/workers/workers.ts";
import { codeRule, makeRule, START, states, withBench, withCode } from "./harness.ts";

Deno.test("a function's steps are recorded under their names, a repeated one as name#2, and what it returns is the output", () =>
  withCode(async (bench) => {
    bench.functions.double = ({ n }) => (n as number) * 2;
    const trace = await bench.run(
      codeRule(`
        let n = event.data.n;
        for (let i = 0; i < 3; i++) n = await step.call("double", "./lib.ts#double", { with: { n } });
        const more = await step.do("more", () => n + 1);
        await step.log("say", "it is " + more);
        return { more };`),
      { n: 1 },
    );
    assert.equal(trace.run.error, undefined);
    assert.deepEqual(trace.run.output, { more: 9 });
    assert.deepEqual(trace.steps.map(({ path, after, output }) => [path, after, output]), [
      ["double", "", 2],
      ["double#2", "double", 4],
      ["double#3", "double#2", 8],
      ["more", "double#3", 9],
      ["say", "more", null],
    ]);
    assert.deepEqual(bench.lines, ["it is 9"]);
  }));

Deno.test("text from outside is never an expression, even if it looks like one", () =>
  withCode(async (bench) => {
    bench.functions.see = (args) => args;
    const rule = codeRule('return await step.call("see", "./lib.ts#see", { with: { text: event.data } });');
    const trace = await bench.run(rule, "${{ secrets.TOKEN }}");
    assert.deepEqual(trace.run.output, { text: "${{ secrets.TOKEN }}" });
  }));

Deno.test("after a crash the function is replayed over its records", () =>
  withCode(async (bench) => {
    const begun = Promise.withResolvers<void>();
    const hang = () => {
      begun.resolve();
      return new Promise<never>(() => {});
    };
    bench.functions = { a: () => "A", b: hang, c: (args) => args };
    const run = await bench.send(codeRule(`
      const a = await step.call("a", "./lib.ts#a");
      const once = await step.do("once", () => Math.random());
      const b = await step.call("b", "./lib.ts#b");
      return await step.call("c", "./lib.ts#c", { with: { a, b, once } });`));
    await begun.promise;
    const once = (await bench.trace(run)).steps[1].output;
    bench.functions.b = () => "B";
    await bench.crash();
    await bench.finish();
    const trace = await bench.trace(run);
    assert.deepEqual(trace.run.output, { a: "A", b: "B", once });
    assert.deepEqual(bench.calls, ["a", "b", "b", "c"]);
  }));

Deno.test("retry of a call and of do is durable: the function is suspended, and replayed when it is due", () =>
  withCode(async (bench) => {
    bench.functions.flaky = (_args, _signal, count) => {
      if (count < 3) throw new Error("not yet");
      return bench.clock.now();
    };
    const trace = await bench.run(codeRule(`
      const at = await step.call("tell", "./lib.ts#flaky", { retry: { attempts: 3, delay: "10s" } });
      const attempts = await step.do("try", ({ attempt }) => { if (attempt < 2) throw new RetryAfterError("later", 5000); return attempt; }, { retry: 2 });
      return { at, attempts };`));
    assert.deepEqual(trace.run.output, { at: START + 30_000, attempts: 2 });
    assert.deepEqual(trace.steps.map(({ path, attempts }) => [path, attempts]), [["tell", 3], ["try", 2]]);
    assert.equal(trace.run.endedAt, START + 35_000);
  }));

Deno.test("a failed step throws in the function, which may catch it; uncaught it fails the run and onError knows the step", () =>
  withCode(async (bench) => {
    bench.functions.fail = () => {
      throw new Error("boom");
    };
    const caught = await bench.run(codeRule(
      'try { await step.call("a", "./lib.ts#fail"); } catch (error) { return "caught " + error.message; }',
    ));
    assert.equal(caught.run.output, "caught boom");
    bench.functions.see = (args) => args;
    const at = { line: 1, column: 1 };
    const uncaught = await bench.run(codeRule('await step.call("a", "./lib.ts#fail");', {
      onError: [{
        id: "tell",
        kind: "call",
        at,
        children: {},
        args: { call: "./lib.ts#see", with: { step: "${{ error.step }}" } },
      }],
    }));
    assert.equal(uncaught.run.error?.message, "boom");
    assert.deepEqual(uncaught.steps.at(-1)?.output, { step: "a" });
  }));

Deno.test("invalid options fail a step and say what is expected", () =>
  withCode(async (bench) => {
    const trace = await bench.run(codeRule('await step.log("a", "x", { level: "loud", retry: "often" });'));
    assert.match(trace.run.error!.message, /Cannot run step "a": .*retry.*level/);
    assert.deepEqual(states(trace), ["a failed"]);
  }));

Deno.test("step.stop ends the run, and the function does not continue", () =>
  withCode(async (bench) => {
    const trace = await bench.run(
      codeRule('await step.stop("end", "Enough", { as: "failed" }); await step.log("x", "never");'),
    );
    assert.equal(trace.run.state, "failed");
    assert.equal(trace.run.error?.message, "Enough");
    assert.deepEqual(bench.lines, []);
  }));

Deno.test("branches side by side suspend when all of them wait, and a crash among them recomputes nothing", () =>
  withCode(async (bench) => {
    bench.functions.flaky = (_args, _signal) => {
      if (bench.clock.now() < START + 60_000) throw new Error("not yet");
      return bench.clock.now() - START;
    };
    bench.functions.fine = (args) => args.n;
    const run = await bench.send(codeRule(`
      const retry = { attempts: 20, delay: "20s", max: "20s" };
      const left = async () => {
        const a = await step.call("left1", "./lib.ts#fine", { with: { n: 1 } });
        return a + await step.call("left2", "./lib.ts#flaky", { retry });
      };
      const right = async () => {
        const a = await step.call("right1", "./lib.ts#flaky", { retry });
        const b = await step.call("right2", "./lib.ts#fine", { with: { n: 2 } });
        return a + b + await step.call("right3", "./lib.ts#fine", { with: { n: 3 } });
      };
      return await Promise.all([left(), right()]);`));
    await bench.runner.settled(0);
    assert.equal((await bench.trace(run)).run.state, "waiting");
    await bench.crash();
    await bench.finish();
    const trace = await bench.trace(run);
    assert.equal(trace.run.error, undefined);
    assert.deepEqual(trace.run.output, [60_001, 60_005]);
    assert.deepEqual(bench.calls.filter((call) => call.startsWith("fine")), ["fine 1", "fine 2", "fine 3"]);
  }));

Deno.test("a function that asks for other steps than before fails with both lists", () =>
  withCode(async (bench) => {
    bench.functions.flaky = (_args, _signal, count) => {
      if (count === 2) throw new Error("not yet");
      return null;
    };
    const first = 'await step.call(globalThis.seen ? "b" : "a", "./lib.ts#flaky"); globalThis.seen = true;';
    const trace = await bench.run(codeRule(`${first} await step.call("c", "./lib.ts#flaky", { retry: 2 });`));
    assert.equal(trace.run.state, "failed");
    assert.match(trace.run.error!.message, /asks for other steps than before .*Recorded: a, c. Asked: b/);
    assert.equal(bench.calls.length, 2);
  }));

Deno.test("a function if is called first and recorded; false is the verdict condition, a throw the verdict error", () =>
  withCode(async (bench) => {
    const rule = codeRule('return "done"', {
      condition: "({ event }) => { if (event.data.n > 9) throw new Error('no number'); return event.data.n > 1; }",
    });
    const verdicts = async (n: number) => {
      const run = await bench.send(rule, { n });
      await bench.finish();
      const [{ verdicts: [{ verdict }] }] = await bench.store.listEvents({ limit: 1 });
      return { trace: await bench.trace(run), verdict };
    };
    const yes = await verdicts(2);
    assert.equal(yes.trace.run.output, "done");
    assert.deepEqual(yes.trace.steps.map(({ path, output }) => [path, output]), [["if", true]]);
    const no = await verdicts(1);
    assert.equal(no.verdict.kind, "condition");
    assert.deepEqual(no.trace.steps.map(({ path, output }) => [path, output]), [["if", false]]);
    const error = await verdicts(10);
    assert.equal(error.verdict.kind, "error");
    assert.match((error.verdict as { reason: string }).reason, /no number/);
  }));

Deno.test("code that stops responding is attempted again alone, fails there with the reason, and harms no other run", () =>
  withCode(async (bench) => {
    const loop = await bench.send(codeRule(`await step.do("x", () => 1); ${BLOCK}`));
    const other = await bench.send(codeRule('return "fine";', { id: "ops/other" }));
    await bench.finish();
    assert.equal((await bench.trace(other)).run.output, "fine");
    const trace = await bench.trace(loop);
    assert.equal(trace.run.state, "failed");
    assert.match(trace.run.error!.message, /^Failed again in a worker of its own: /);
    assert.deepEqual(states(trace), ["x succeeded"]);
  }));

Deno.test("a run beside one that stops responding is executed again, and its current step is attempted again", () =>
  withCode(async (bench) => {
    const begun = Promise.withResolvers<void>();
    bench.functions.slow = (_args, signal, count) => {
      if (count > 1) return "slow";
      begun.resolve();
      return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    };
    const rule = codeRule(`
      if (event.data.loop) { await step.do("x", () => 1); ${BLOCK} }
      return await step.all("both", { slow: () => call("slow", "slow"), pause: () => step.do("pause", () => "!") });`);
    const run = await bench.send(rule, {});
    await begun.promise;
    const loop = await bench.send(rule, { loop: true });
    await bench.finish();
    assert.equal((await bench.trace(loop)).run.state, "failed");
    const trace = await bench.trace(run);
    assert.equal(trace.run.error, undefined);
    assert.deepEqual(trace.run.output, { slow: "slow", pause: "!" });
    assert.deepEqual(bench.calls, ["slow", "slow"]);
  }));

Deno.test("a do that the function has begun by itself counts from then, but never from later than now", async () => {
  const runRule: Isolates["runRule"] = async (_module, { ahead }, execute) => {
    assert.ok(ahead);
    const begin = (name: string, answered: number, begunAt: number): StepCall => {
      return { name, scope: "", kind: "do", args: {}, answered, begunAt };
    };
    const steps = [begin("earlier", 0, START - 40), begin("later", 1, START + 40)];
    for (const step of steps) {
      assert.equal(await execute(step), undefined);
      assert.deepEqual(await execute(step, { output: step.name }), { kind: "result", output: step.name });
    }
    return "fine";
  };
  const isolates = { runRule, handedSecrets: () => new Map() } as unknown as Isolates;
  await withBench(
    async (bench) => {
      const { run, steps } = await bench.run(makeRule("function", { file: "ops/test.ts", modules: { "": "" } }));
      assert.equal(run.output, "fine");
      const seen = steps.map(({ path, output, startedAt, endedAt }) => [path, output, startedAt, endedAt]);
      assert.deepEqual(seen, [["earlier", "earlier", START - 40, START], ["later", "later", START, START]]);
    },
    {},
    isolates,
  );
});

Deno.test("a do that takes too long fails by its timeout, and the replayed function gets the error", () =>
  withCode(async (bench) => {
    const asked = Promise.withResolvers<void>();
    bench.functions.asked = () => {
      asked.resolve();
      return null;
    };
    const run = await bench.send(codeRule(`
      const call = step.call("asked", "./lib.ts#asked");
      try { await step.do("slow", () => new Promise(() => {}), { timeout: "5s" }); } catch (error) { await call; return error.name; }`));
    await asked.promise;
    // Its timeout starts with the function, and nothing reports that start.
    const isOver = async () => (await bench.trace(run)).run.state === "succeeded";
    while (!await isOver()) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      await bench.clock.advanceTo(bench.clock.now() + 5_000);
    }
    const trace = await bench.trace(run);
    assert.equal(trace.run.output, "TimeoutError");
    assert.equal(
      trace.steps.find(({ path }) => path === "slow")?.error?.message,
      'Step "slow" took longer than its timeout of 5s',
    );
  }));

Deno.test("a name may be repeated in sequence; concurrent branches get an error that asks for different names", () =>
  withCode(async (bench) => {
    bench.functions.fine = ({ n }) => n;
    const call = 'step.call("get", "./lib.ts#fine", { with: { n } })';
    const inOneGo = await bench.run(codeRule(`return await Promise.all([1, 2, 3].map((n) => ${call}));`));
    assert.deepEqual(inOneGo.run.output, [1, 2, 3]);
    assert.deepEqual(inOneGo.steps.map(({ path }) => path).sort(), ["get", "get#2", "get#3"]);
    const trace = await bench.run(codeRule(`
      await Promise.all([1, 2, 3].map(async (n) => { await ${call}; await step.log("save", "x"); }));`));
    assert.equal(trace.run.state, "failed");
    assert.match(trace.run.error!.message, /Cannot tell the steps named "save" apart/);
  }));
