import assert from "node:assert/strict";
import type { JsonObject } from "../../runtime/model/json.ts";
import { type Bench, codeRule, endOf, idle, START, states, until, withCode } from "./harness.ts";

/** Functions of the bench that hang until `release(name)`. */
function hanging(bench: Bench, ...names: string[]) {
  const gates = new Map(names.map((name) => [name, Promise.withResolvers<string>()]));
  const begun = new Map(names.map((name) => [name, Promise.withResolvers<void>()]));
  const gone: string[] = [];
  for (const name of names) {
    bench.functions[name] = (_args, signal) => {
      begun.get(name)!.resolve();
      const ended = new Promise<never>((_, reject) => {
        signal.addEventListener("abort", () => {
          // Like a child that takes a moment to end.
          setTimeout(() => {
            gone.push(name);
            reject(signal.reason);
          }, 20);
        });
      });
      return Promise.race([gates.get(name)!.promise, ended]);
    };
  }
  return {
    gone,
    begun: (name: string) => begun.get(name)!.promise,
    release: (name: string) => gates.get(name)!.resolve(name),
  };
}

Deno.test("all runs its branches concurrently, and returns their results; their steps are recorded below them", () =>
  withCode(async (bench) => {
    const { begun, release } = hanging(bench, "crm", "mail");
    const run = await bench.send(codeRule(`
      const both = await step.all("both", {
        crm: async () => (await call("post", "crm")) + (await step.do("more", () => "!")),
        mail: () => call("tell", "mail"),
        nothing: () => {},
      });
      await step.log("after", "x");
      return both;`));
    await Promise.all([begun("crm"), begun("mail")]);
    release("mail");
    release("crm");
    const trace = await endOf(bench, run);
    assert.equal(trace.run.error, undefined);
    assert.deepEqual(trace.run.output, { crm: "crm!", mail: "mail", nothing: null });
    const after = Object.fromEntries(trace.steps.map(({ path, after }) => [path, after]));
    assert.deepEqual(after, {
      "both/crm/post": "",
      "both/mail/tell": "",
      "both/crm/more": "both/crm/post",
      both: "",
      after: "both",
    });
    assert.deepEqual(trace.steps.find(({ path }) => path === "both")!.output, trace.run.output);
  }));

Deno.test("the first branch of any that succeeds wins; the others end, with their children, before the run continues", () =>
  withCode(async (bench) => {
    const { begun, gone, release } = hanging(bench, "slow", "quick", "deep");
    bench.functions.after = () => gone.toSorted();
    bench.functions.fail = () => {
      throw new Error("boom");
    };
    const run = await bench.send(codeRule(`
      const first = await step.any("first", {
        failing: () => call("a", "fail"),
        slow: async () => { await call("b", "slow"); await step.log("never", "x"); },
        quick: () => call("c", "quick"),
        nested: () => step.all("all", {
          deep: () => call("d", "deep"),
          waits: () => step.do("e", () => new Promise(() => {})),
        }),
      });
      return { first, gone: await call("after", "after") };`));
    await Promise.all([begun("slow"), begun("quick"), begun("deep")]);
    release("quick");
    const trace = await endOf(bench, run);
    assert.equal(trace.run.error, undefined);
    assert.deepEqual(trace.run.output, { first: { winner: "quick", result: "quick" }, gone: ["deep", "slow"] });
    const state = Object.fromEntries(trace.steps.map(({ path, state }) => [path, state]));
    assert.equal(state.first, "succeeded");
    assert.equal(state["first/slow"], "cancelled");
    assert.equal(state["first/nested"], "cancelled");
    assert.equal(state["first/failing/a"], "failed");
    assert.ok(!("first/slow/never" in state));
    assert.ok(
      trace.notes.some(({ text }) => /first\/slow.*first\/nested.*"first" was decided without them/.test(text)),
    );
  }));

Deno.test("all with join continues after that many successes, and fails with the first failure as soon as too few can succeed", () =>
  withCode(async (bench) => {
    const { gone } = hanging(bench, "slow");
    bench.functions.fine = ({ n }) => n;
    bench.functions.fail = ({ n }) => {
      throw new Error("boom " + n);
    };
    const branches = `{
      a: () => call("a", "fine", { n: 1 }), b: () => call("b", "slow"),
      c: () => call("c", "fail", { n: 1 }), d: () => call("d", "fine", { n: 2 }) }`;
    const two = await bench.run(codeRule(`return await step.all("some", ${branches}, { join: 2 });`));
    assert.deepEqual(two.run.output, { a: 1, b: null, c: null, d: 2 });
    assert.deepEqual(gone, ["slow"]);
    const four = await bench.run(codeRule(`await step.all("some", ${branches}, { join: 4 });`, { id: "ops/four" }));
    assert.equal(four.run.error?.message, "boom 1");
    assert.equal(four.steps.find(({ path }) => path === "some")?.state, "failed");
    assert.equal(four.steps.find(({ path }) => path === "some/b")?.state, "cancelled");
    const five = await bench.run(codeRule(`await step.all("some", ${branches}, { join: 5 });`, { id: "ops/five" }));
    assert.match(five.run.error!.message, /join: 5 of 4 branches can never succeed; write at most 4/);
  }));

Deno.test("a failed branch throws where the step was called, with the step that failed, and may be caught", () =>
  withCode(async (bench) => {
    bench.functions.fail = () => {
      throw new Error("boom");
    };
    bench.functions.see = (args) => args;
    const at = { line: 1, column: 1 };
    const tell = {
      id: "tell",
      kind: "call",
      at,
      children: {},
      args: { call: "./lib.ts#see", with: { step: "${{ error.step }}" } },
    };
    const uncaught = await bench.run(codeRule(
      `
      await step.all("both", { crm: () => step.each("lines", [1], () => call("post", "fail")) });`,
      { onError: [tell] },
    ));
    assert.equal(uncaught.run.error?.message, "boom");
    assert.deepEqual(uncaught.steps.at(-1)?.output, { step: "both/crm/lines[0]/post" });
    const caught = await bench.run(codeRule(`
      try { await step.all("both", { crm: () => call("post", "fail"), mail: () => step.wait("pause", "1d") }); }
      catch (error) { return "caught " + error.message; }`));
    assert.equal(caught.run.output, "caught boom");
    assert.equal(caught.run.endedAt, START);
    assert.equal(caught.steps.find(({ path }) => path === "both/mail")?.state, "cancelled");
  }));

Deno.test("after a crash, branches resume after their last recorded steps", () =>
  withCode(async (bench) => {
    const { begun } = hanging(bench, "b2", "c1");
    bench.functions.fine = (args) => args.n;
    const run = await bench.send(codeRule(`
      return await step.all("both", {
        a: () => call("a1", "fine", { n: 1 }),
        b: async () => [await call("b1", "fine", { n: 2 }), await call("b2", "b2"), await call("b3", "fine", { n: 3 })],
        c: () => step.each("items", [4, 5], async (n) => [await call("c1", n === 4 ? "fine" : "c1", { n }), n]),
      });`));
    await Promise.all([begun("b2"), begun("c1")]);
    bench.functions.b2 = () => "b2";
    bench.functions.c1 = () => "c1";
    await bench.crash();
    const trace = await endOf(bench, run);
    assert.equal(trace.run.error, undefined);
    assert.deepEqual(trace.run.output, {
      a: 1,
      b: [2, "b2", 3],
      c: { total: 2, failed: 0, results: [[4, 4], ["c1", 5]], errors: [] },
    });
    const fine = bench.calls.filter((call) => call.startsWith("fine"));
    assert.deepEqual(fine.sort(), ["fine 1", "fine 2", "fine 3", "fine 4"]);
  }));

Deno.test("a crash after the winner is known does not change the winner", () =>
  withCode(async (bench) => {
    const { begun } = hanging(bench, "after", "second");
    bench.functions.first = () => "first";
    const run = await bench.send(codeRule(`
      const { winner } = await step.any("race", {
        a: async () => { await step.log("a1", "x"); await call("a2", "second"); return "a"; },
        b: () => call("b", "first"),
      });
      await call("after", "after");
      return winner;`));
    await begun("after");
    bench.functions.second = () => "second";
    bench.functions.after = () => null;
    await bench.crash();
    const trace = await endOf(bench, run);
    assert.equal(trace.run.output, "b");
    assert.equal(bench.calls.filter((call) => call === "second").length, 1);
  }));

Deno.test("the run is suspended when all branches wait; each resumes alone while others work", () =>
  withCode(async (bench) => {
    bench.functions.now = () => bench.clock.now() - START;
    const run = await bench.send(codeRule(`
      const retry = { attempts: 2, delay: "60s", max: "60s" };
      return await step.all("both", {
        short: async () => { await step.wait("a", "1h"); return await call("at", "now"); },
        long: async () => { await step.wait("b", "6d"); return await call("at", "now"); },
        retries: async () => {
          await step.do("try", ({ attempt }) => { if (attempt < 2) throw new Error("not yet"); }, { retry });
          return await call("at", "now");
        },
      });`));
    await idle(bench);
    const { run: suspended } = await bench.trace(run);
    assert.equal(suspended.state, "waiting");
    assert.equal(suspended.due, START + 60_000);
    assert.equal(bench.runner.running(), 0);
    const trace = await endOf(bench, run);
    assert.deepEqual(trace.run.output, { short: 3_600_000, long: 6 * 86_400_000, retries: 60_000 });
    assert.deepEqual(bench.calls, ["now", "now", "now"]);
  }));

Deno.test("an each over 1,000 items executes each once, also across a crash, and in the order of its list", () =>
  withCode(async (bench) => {
    const half = Promise.withResolvers<void>();
    let hang = true;
    bench.functions.save = ({ n }) => {
      if (hang && n === 500) {
        half.resolve();
        return new Promise(() => {});
      }
      return (n as number) * 2;
    };
    const run = await bench.send(codeRule(`
      const items = Array.from({ length: 1000 }, (_, n) => n);
      const { total, failed, results } = await step.each("lines", items, (n) => call("save", "save", { n }), { max: 20 });
      return { total, failed, sum: results.reduce((a, b) => a + b) };`));
    await half.promise;
    hang = false;
    await bench.crash();
    const trace = await endOf(bench, run);
    assert.equal(trace.run.error, undefined);
    assert.deepEqual(trace.run.output, { total: 1_000, failed: 0, sum: 999_000 });
    assert.equal(trace.steps.length, 1_001);
    const counts = Map.groupBy(bench.calls, (call) => call);
    const twice = [...counts.values()].filter(({ length }) => length > 1);
    // Those in flight when the program crashed.
    assert.ok(counts.size === 1_000 && twice.length <= 20, `${counts.size} ${twice.length}`);
  }));

Deno.test("items start at the rate, across crashes too, and the run stays in memory between them", () =>
  withCode(async (bench) => {
    const at: number[] = [];
    const crashed = Promise.withResolvers<void>();
    bench.functions.save = () => {
      at.push(bench.clock.now() - START);
      if (at.length === 3) {
        crashed.resolve();
        return new Promise(() => {});
      }
      return null;
    };
    const run = await bench.send(codeRule(
      `await step.each("lines", [0, 1, 2, 3, 4], () => call("save", "save"), { rate: "10/s", max: 5 });`,
    ));
    for (const before of [1, 2]) {
      await idle(bench);
      assert.deepEqual([at.length, bench.runner.running()], [before, 1]);
      bench.clock.wakeNext(Infinity);
    }
    await crashed.promise;
    await bench.crash();
    const trace = await endOf(bench, run);
    assert.equal(trace.run.error, undefined);
    // The third one was not recorded, so it begins anew.
    assert.deepEqual(at, [0, 100, 200, 200, 300, 400]);
  }));

Deno.test("a rate of a few an hour suspends the run between its items", () =>
  withCode(async (bench) => {
    bench.functions.save = () => bench.clock.now() - START;
    const run = await bench.send(codeRule(
      `return (await step.each("lines", [0, 1, 2], () => call("save", "save"), { rate: "2/h" })).results;`,
    ));
    await idle(bench);
    assert.deepEqual([bench.runner.running(), (await bench.trace(run)).run.due], [0, START + 1_800_000]);
    assert.deepEqual((await endOf(bench, run)).run.output, [0, 1_800_000, 3_600_000]);
  }));

Deno.test("an each continues after failed items, or cancels the others and throws", () =>
  withCode(async (bench) => {
    const { gone } = hanging(bench, "slow");
    bench.functions.save = ({ n }) => {
      if (n === 1) throw new Error("boom");
      return n;
    };
    const goesOn = await bench.run(codeRule(
      `return await step.each("lines", [0, 1, 2], (n) => call("save", "save", { n }), { onError: "continue" });`,
    ));
    assert.deepEqual(goesOn.run.output, {
      total: 3,
      failed: 1,
      results: [0, null, 2],
      errors: [{ index: 1, step: "lines[1]/save", message: "boom" }],
    });
    const stops = await bench.run(codeRule(`
      await step.each("lines", [0, 1, 2], (n) => call("save", n === 0 ? "slow" : "save", { n }), { max: 2 });`));
    assert.equal(stops.run.error?.message, "boom");
    assert.deepEqual(gone, ["slow"]);
    assert.deepEqual(
      states(stops).sort(),
      ["lines failed", "lines[0] cancelled", "lines[1]/save failed"],
    );
  }));

Deno.test("results too large together are left out, and reading them throws", () =>
  withCode(async (bench) => {
    const each =
      `await step.each("lines", Array.from({ length: 11 }), (_, n) => step.do("save", () => "x".repeat(1e6)))`;
    const whole = await bench.run(codeRule(`return ${each};`));
    assert.deepEqual(whole.run.output, { total: 11, failed: 0, errors: [] });
    const asked = await bench.run(codeRule(`return (${each}).results.length;`));
    assert.match(asked.run.error!.message, /The results of step\.each\("lines", …\) were too large to be kept: /);
  }));

Deno.test("a repeated name has its own branches", () =>
  withCode(async (bench) => {
    const trace = await bench.run(codeRule(`
      for (const n of [1, 2]) await step.each("lines", [n], (n) => step.do("save", () => n));
      return await step.do("lines[0]", () => "a step of that name");`));
    assert.deepEqual(trace.steps.map(({ path }) => path), [
      "lines[0]/save",
      "lines",
      "lines#2[0]/save",
      "lines#2",
      "lines%5B0]",
    ]);
  }));

Deno.test("a moved run continues if its new version asks for the same steps, else it fails with both lists", () =>
  withCode(async (bench) => {
    const one = 'await step.log("one", "x");';
    const two = 'await step.log("two", "x");';
    const both = (...branches: string[]) => `await step.all("both", { ${branches.join(", ")} }); return "new";`;
    const pause = 'pause: () => step.wait("pause", "1h")';
    const moved = async (to: string) => {
      const rule = codeRule(both(`crm: async () => { ${one} ${two} }`, pause));
      const run = await bench.send(rule);
      await idle(bench);
      const next = codeRule(to);
      await bench.store.putVersions([next]);
      assert.equal((await bench.store.moveRun(run, next.version, "anna", bench.clock.now()))?.kind, "done");
      const { run: { output, error } } = await endOf(bench, run);
      return error?.message ?? output;
    };
    const more = 'more: () => step.log("more", "x")';
    assert.equal(
      await moved(both(more, pause, `crm: async () => { ${one} ${two} await step.log("three", "x"); }`)),
      "new",
    );
    const failures: [string, RegExp][] = [
      [
        both(`sales: async () => { ${one} ${two} }`, pause),
        /asks for other steps than before \("both\/crm\/one" was not asked for\)\. Recorded: .*both\/crm\/two.*Asked: .*both\/sales\/one/,
      ],
      [both(`crm: async () => { ${one} }`, pause), /"both\/crm\/two" was not asked for/],
      [both(`crm: async () => { ${two} ${one} }`, pause), /"both\/crm\/two" was asked for before "both\/crm\/one"/],
      [both(`crm: () => step.all("one", {})`, pause), /"both\/crm\/one" was log and is now all/],
      [`${one} return "new";`, /"both\/\w+\/\w+" was not asked for\).*both\/crm\/one.*Asked: one\./],
    ];
    for (const [to, message] of failures) assert.match(String(await moved(to)), message);
  }));

Deno.test("a stop in a branch ends the run; records of other branches are no replay error", () =>
  withCode(async (bench) => {
    const { begun } = hanging(bench, "hang");
    const run = await bench.send(codeRule(`
      await step.all("both", {
        a: async () => { await call("a1", "hang"); await step.stop("end", "Enough"); },
        b: async () => { for (let n = 0; n < 5; n++) await step.log("b", "x"); await step.wait("pause", "1d"); },
      });`));
    await begun("hang");
    await until(async () => (await bench.trace(run)).steps.length === 6);
    bench.functions.hang = () => null;
    await bench.crash();
    const trace = await endOf(bench, run);
    assert.deepEqual([trace.run.state, trace.run.output, trace.run.error], ["succeeded", "Enough", undefined]);
  }));

Deno.test("a failed run is retried after its last successful step, within all enclosing branches", () =>
  withCode(async (bench) => {
    let broken = true;
    bench.functions.flaky = () => {
      if (broken) throw new Error("boom");
      return "mended";
    };
    bench.functions.fine = (args: JsonObject) => args.n;
    const run = await bench.send(codeRule(`
      return await step.all("both", {
        a: () => step.each("lines", [1, 2, 3], (n) => call("save", n === 2 ? "flaky" : "fine", { n })),
        b: async () => { await step.wait("pause", "1d"); return await call("b", "fine", { n: 9 }); },
      });`));
    const failed = await endOf(bench, run);
    assert.equal(failed.run.error?.message, "boom");
    broken = false;
    const operated = await bench.store.retryRun(run, "anna", bench.clock.now());
    assert.deepEqual(operated, { kind: "done", step: "both/a/lines[1]/save" });
    bench.runner.wake();
    const trace = await endOf(bench, run);
    assert.equal(trace.run.error, undefined);
    assert.deepEqual(trace.run.output, {
      a: { total: 3, failed: 0, results: [1, "mended", 3], errors: [] },
      b: 9,
    });
    // On a loaded machine the wait of `b` may end before `a` is retried.
    assert.deepEqual(bench.calls.toSorted(), ["fine 1", "fine 3", "fine 9", "flaky 2", "flaky 2"]);
  }));
