import assert from "node:assert/strict";
import type { Computed, ExecuteStep, StepCall } from "../../runtime/workers/workers.ts";
import { executor, type Fixture, gate, never, ruleSource, scope, withIsolates } from "./harness.ts";

/** Runs a function with this body. By default `execute` computes steps like the main thread, and answers others with null. */
async function run({ isolates, module }: Fixture, body: string, execute: ExecuteStep = executor()) {
  return await isolates.runRule(await module(ruleSource(body)), scope(), execute, never);
}

/** The executor, with the worker's results of the steps that it computed. */
function listening(answer?: (call: StepCall) => unknown) {
  const base = executor(answer);
  const said: [string, Computed][] = [];
  const execute: ExecuteStep = (call, computed) => {
    if (computed) said.push([call.name, computed]);
    return base(call, computed);
  };
  return Object.assign(execute, { calls: base.calls, said });
}

const pathsOf = (calls: StepCall[]) => calls.map(({ scope, name }) => scope === "" ? name : `${scope}/${name}`);

Deno.test("steps in branches carry the branch's path, whatever they awaited before", () =>
  withIsolates({}, async (fixture) => {
    const execute = executor();
    const output = await run(
      fixture,
      `
      const both = await step.all("both", {
        crm: async () => {
          await new Promise((resolve) => setTimeout(resolve, 1));
          await step.http("post", "https://x.org");
          await Promise.all([1, 2].map(async (n) => { await null; await step.log("say" + n, "x"); }));
          return "crm";
        },
        "e/mail": () => step.each("lines", ["a", "b"], async (line, index) => {
          await step.log("save", line);
          return line + index;
        }),
      });
      await step.log("after", "x");
      return both;`,
      execute,
    );
    assert.deepEqual(output, { crm: "crm", "e/mail": { total: 2, failed: 0, results: ["a0", "b1"], errors: [] } });
    assert.deepEqual(pathsOf(execute.calls).sort(), [
      "after",
      "both",
      "both/crm/post",
      "both/crm/say1",
      "both/crm/say2",
      "both/e%2Fmail/lines",
      "both/e%2Fmail/lines[0]/save",
      "both/e%2Fmail/lines[1]/save",
    ]);
    const both = execute.calls.find(({ name }) => name === "both")!;
    assert.deepEqual([both.kind, both.args], ["all", { all: ["crm", "e/mail"] }]);
    const lines = execute.calls.find(({ name }) => name === "lines")!;
    assert.deepEqual([lines.kind, lines.args], ["each", { each: 2 }]);
  }));

Deno.test("branches are below the path that the main thread gave the step", () =>
  withIsolates({}, async (fixture) => {
    const base = executor();
    const execute: ExecuteStep = async (call, computed) => {
      const answer = (await base(call, computed))!;
      return answer.kind === "compute" ? { ...answer, path: "lines#2" } : answer;
    };
    await run(fixture, `await step.each("lines", [1], () => step.log("save", "x"));`, execute);
    assert.deepEqual(pathsOf(base.calls), ["lines", "lines#2[0]/save"]);
  }));

Deno.test("each runs up to max items at once, and begins them in order", () =>
  withIsolates({}, async (fixture) => {
    const begun: string[] = [];
    const gates = [gate(), gate(), gate(), gate()];
    const three = gate();
    const execute = executor(async ({ name, args }) => {
      if (name !== "save") return null;
      const n = Number(args.log);
      begun.push(`${n}`);
      if (begun.length === 3) three.resolve();
      await gates[n].promise;
      return n * 2;
    });
    const output = run(
      fixture,
      `return (await step.each("lines", [0, 1, 2, 3], (n) => step.log("save", String(n)), { max: 2 })).results;`,
      execute,
    );
    gates[1].resolve();
    await three.promise;
    assert.deepEqual(begun, ["0", "1", "2"]);
    for (const each of gates) each.resolve();
    assert.deepEqual(await output, [0, 2, 4, 6]);
  }));

Deno.test("a failed item of an each cancels the others and is thrown, or is reported beside the results", () =>
  withIsolates({}, async (fixture) => {
    const each = (options: string) => `
      try {
        return await step.each("lines", [0, 1, 2], async (n) => {
          if (n === 1) throw new TypeError("boom");
          return await step.log("save", String(n));
        }, ${options});
      } catch (error) { return error.name + ": " + error.message; }`;
    const stopped = listening(({ args }) => args.log === "0" ? new Promise(() => {}) : "saved");
    assert.equal(await run(fixture, each("{ max: 2 }"), stopped), "TypeError: boom");
    const [[, computed]] = stopped.said;
    assert.ok("error" in computed);
    assert.deepEqual([computed.error.step, computed.lost], ["lines[1]", ["lines[0]"]]);
    assert.deepEqual(pathsOf(stopped.calls), ["lines", "lines[0]/save"]);

    const goesOn = listening(() => "saved");
    assert.deepEqual(await run(fixture, each(`{ onError: "continue" }`), goesOn), {
      total: 3,
      failed: 1,
      results: ["saved", null, "saved"],
      errors: [{ index: 1, step: "lines[1]", message: "boom" }],
    });
  }));

Deno.test("an error that is passed on names the step that failed, also as the cause of another", () =>
  withIsolates({}, async (fixture) => {
    const base = listening();
    const execute: ExecuteStep = (call, computed) => {
      if (call.kind !== "http") return base(call, computed);
      const error = { name: "HttpError", message: "500", step: `${call.scope}/${call.name}` };
      return Promise.resolve({ kind: "failed", error });
    };
    const output = await run(
      fixture,
      `
      return await step.each("lines", [0, 1], async (n) => {
        try { await step.http("post", "https://x.org"); }
        catch (error) { if (n === 0) throw error; throw new Error("wrapped", { cause: error }); }
      }, { onError: "continue" });`,
      execute,
    );
    assert.deepEqual((output as { errors: unknown }).errors, [
      { index: 0, step: "lines[0]/post", message: "500" },
      { index: 1, step: "lines[1]/post", message: "wrapped" },
    ]);
    const failing = run(fixture, `await step.all("both", { crm: () => step.http("post", "https://x.org") });`, execute);
    await assert.rejects(failing, /500/);
    const [, computed] = base.said.at(-1)!;
    assert.equal("error" in computed && computed.error.step, "both/crm/post");
  }));

Deno.test("the first branch of any that succeeds wins; the others lose and their results are ignored", () =>
  withIsolates({}, async (fixture) => {
    const late = gate();
    const asked = gate();
    const execute = listening(async ({ name }) => {
      if (name === "other") asked.resolve();
      if (name === "slow" || name === "other") await late.promise;
      return name;
    });
    const output = run(
      fixture,
      `
      const first = await step.any("first", {
        slow: async () => { await step.log("slow", "x"); await step.log("never", "x"); },
        inner: () => step.all("inner", { deep: async () => { await step.log("other", "x"); await step.log("never", "x"); } }),
        none: () => { throw new Error("no") },
        quick: async () => { await step.http("go", "https://x.org"); return 7; },
      });
      await step.log("after", "x");
      return first;`,
      async (call, computed) => {
        if (call.name === "go") await asked.promise;
        // Results of lost branches arrive while the function continues.
        if (call.name === "after") late.resolve();
        return await execute(call, computed);
      },
    );
    assert.deepEqual(await output, { winner: "quick", result: 7 });
    const [, computed] = execute.said.find(([name]) => name === "first")!;
    assert.deepEqual("output" in computed && computed.lost, ["first/slow", "first/inner"]);
    assert.ok(!pathsOf(execute.calls).some((path) => path.endsWith("never")));
  }));

Deno.test("any fails with its first failure when no branch succeeds, and all with join when too few can", () =>
  withIsolates({}, async (fixture) => {
    const fail = (name: string) => `${name}: () => { throw new Error("${name}") }`;
    await assert.rejects(run(fixture, `await step.any("x", { ${fail("a")}, ${fail("b")} })`), /^\w*Error: a$/);
    const execute = listening(({ name }) => name === "hang" ? new Promise(() => {}) : name);
    const join = `await step.all("x", { a: () => step.log("hang", "x"), ${fail("b")}, c: () => step.log("c", "x"), ${
      fail("d")
    } }, { join: 3 })`;
    await assert.rejects(run(fixture, join, execute), /^\w*Error: b$/);
    const [, computed] = execute.said[0];
    assert.deepEqual("error" in computed && computed.lost, ["x/a", "x/c"]);
    const enough = run(
      fixture,
      `return await step.all("x", { a: () => 1, ${
        fail("b")
      }, c: () => undefined, d: () => step.log("hang", "x") }, { join: 2 })`,
      execute,
    );
    assert.deepEqual(await enough, { a: 1, b: null, c: null, d: null });
  }));

Deno.test("an each with a rate asks before each item, one at a time and in order", () =>
  withIsolates({}, async (fixture) => {
    const base = executor();
    let open = 0;
    const order: string[] = [];
    const execute: ExecuteStep = async (call, computed) => {
      if (call.kind === "log") order.push(call.scope);
      if (call.kind !== "item") return await base(call, computed);
      assert.equal(call.scope, "lines");
      order.push(`next ${call.name}`);
      assert.equal(++open, 1);
      await new Promise((resolve) => setTimeout(resolve, 1));
      open--;
      return { kind: "result", output: null };
    };
    await run(
      fixture,
      `await step.each("lines", [1, 2, 3], () => step.log("save", "x"), { rate: "10/s", max: 3 });`,
      execute,
    );
    assert.deepEqual(order.filter((entry) => entry.startsWith("next")), ["next 0", "next 1", "next 2"]);
    assert.ok(order.indexOf("lines[0]") < order.indexOf("next 2"), String(order));
    assert.deepEqual(base.calls[0].args, { each: 3, rate: "10/s", max: 3 });
  }));

Deno.test("a branch whose call is abandoned keeps its each, all or any pending", () =>
  withIsolates({}, async (fixture) => {
    const base = executor();
    const asked = gate();
    const controller = new AbortController();
    const code = await fixture.module(ruleSource(
      `await step.all("both", { a: () => step.wait("pause", "1d"), b: () => 1 }); await step.log("never", "x");`,
    ));
    const suspended = fixture.isolates.runRule(code, scope(), (call, computed) => {
      if (call.kind !== "wait") return base(call, computed);
      asked.resolve();
      return Promise.resolve({ kind: "abandon" });
    }, controller.signal);
    await asked.promise;
    controller.abort(new Error("suspended"));
    await assert.rejects(suspended, /suspended/);
    assert.deepEqual(pathsOf(base.calls), ["both"]);
  }));

Deno.test("an invalid branch is refused at the call", () =>
  withIsolates({}, async (fixture) => {
    await assert.rejects(
      run(fixture, `await step.all("x", { a: 1 });`),
      /step\.all\("x", …\) needs functions with their names/,
    );
    await assert.rejects(run(fixture, `await step.each("x", 3, () => {});`), /step\.each\("x", …\) needs a list/);
    await assert.rejects(run(fixture, `await step.any({ a: () => 1 });`), /step\.any needs the step's name first/);
    await assert.rejects(
      run(fixture, `await step.all("x", { a: () => new Map() });`),
      /the result of x\/a is a Map, which JSON cannot represent/,
    );
  }));

Deno.test("an each of 5,000 items works", () =>
  withIsolates({}, async (fixture) => {
    const execute = executor(({ args }) => args.log);
    const output = await run(
      fixture,
      `
      const items = Array.from({ length: 5000 }, (_, n) => n);
      return (await step.each("lines", items, (n) => step.log("save", String(n)), { max: 100 })).results.length;`,
      execute,
    );
    assert.equal(output, 5_000);
    assert.equal(execute.calls.length, 5_001);
  }));

Deno.test("an awaited event is what its definition's validator makes of it, or fails the function", () =>
  withIsolates({}, async (fixture) => {
    const received = { ...scope().event, type: "payment.received" };
    const waitFor = async (definition: string, n = 1) => {
      const source = ruleSource(`
        const got = await step.waitFor("paid", payment, { match: { "data.id": ${n} }, timeout: "3d" });
        return got && got.data;`);
      const execute = executor(({ args }) => (args.match as { "data.id": number })["data.id"] === 0 ? null : received);
      const output = fixture.isolates.runRule(
        await fixture.module(`${source} const payment = ${definition};`),
        scope(),
        execute,
        never,
      );
      return { execute, output };
    };
    const doubled = (data: string) =>
      `event("payment.received", { "~standard": { version: 1, vendor: "test", validate: () => (${data}) } })`;
    const { execute, output } = await waitFor(doubled("{ value: { n: 2 } }"));
    assert.deepEqual(await output, { n: 2 });
    assert.deepEqual(execute.calls[0].args, {
      waitFor: "payment.received",
      match: { "data.id": 1 },
      timeout: "3d",
    });
    assert.equal(await (await waitFor(doubled("{ value: 1 }"), 0)).output, null);
    const failing = async (definition: string, message: RegExp) => {
      await assert.rejects((await waitFor(definition)).output, message);
    };
    const refused = doubled('{ issues: [{ message: "expected number", path: ["n"] }] }');
    await failing(refused, /event payment\.received is not as the rule expects: data\.n: expected number/);
    await failing("manual()", /got a manual trigger/);
    await failing('event("a", undefined, { if: "true" })', /got one with the option "if"/);
  }));
