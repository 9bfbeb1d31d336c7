import assert from "node:assert/strict";
import { InvalidEventError, RuleCodeError, type StepCall } from "../../runtime/workers/workers.ts";
import { RetryAfterError, TerminalError } from "../../runtime/model/errors.ts";
import { executor, gate, never, ruleSource, scope, withIsolates } from "./harness.ts";

Deno.test("a rule's function runs in a worker and its steps on the main thread", () =>
  withIsolates({}, async ({ isolates, module }) => {
    const execute = executor((call) => call.kind === "http" ? { status: 200 } : null);
    const code = await module(ruleSource(`
      const sum = await step.do("sum", ({ attempt }) => event.data.n + config.add + attempt);
      const { status } = await step.http("tell", "POST https://example.org/", { json: { sum }, retry: 5, body: undefined });
      await step.log("say", "done", { level: "warn" });
      return { sum, status, id: run.id, rule: rule.id, none: undefined };`));
    const output = await isolates.runRule(code, scope({ config: { add: 40 } }), execute, never);
    assert.deepEqual(output, { sum: 42, status: 200, id: "run1", rule: "a" });
    assert.deepEqual(execute.calls, [
      { name: "sum", scope: "", kind: "do", args: {}, answered: 0 },
      {
        name: "tell",
        scope: "",
        kind: "http",
        args: { http: "POST https://example.org/", json: { sum: 42 }, retry: 5 },
        answered: 1,
      },
      { name: "say", scope: "", kind: "log", args: { log: "done", level: "warn" }, answered: 2 },
    ]);
    assert.equal(isolates.count(), 1);
  }));

Deno.test("describe() returns the declaration with functions replaced, and the position of the call of rule()", () =>
  withIsolates({}, async ({ isolates, module }) => {
    const code = await module(`import { cron, poll, rule } from "whenthen";
export const read = () => 1;
export default rule({
  when: [cron("0 9 * * *", { timezone: "UTC" }), poll({ run: ["df"], key: "item.mount" })],
  if: () => true, mode: "single", config: { threshold: 85 }, limit: undefined,
  then: () => {},
});`);
    assert.deepEqual(await isolates.describe(code), {
      exports: ["default", "read"],
      rule: {
        at: { file: "rule0.ts", line: 3, column: 16 },
        declaration: {
          when: [{ cron: "0 9 * * *", timezone: "UTC" }, { poll: { run: ["df"] }, key: "item.mount" }],
          if: { function: true },
          mode: "single",
          config: { threshold: 85 },
          then: { function: true },
        },
      },
    });
  }));

Deno.test("describe() of a helper returns its exports", () =>
  withIsolates({}, async ({ isolates, module }) => {
    assert.deepEqual(await isolates.describe(await module("export const a = 1; export function b() {}")), {
      exports: ["a", "b"],
    });
    await assert.rejects(
      isolates.describe(await module("export default { when: 1, then: () => {} }")),
      /is not made by rule\(\)/,
    );
  }));

Deno.test("describe() leaves no worker behind", () =>
  withIsolates({}, async ({ isolates, module }) => {
    const codes = await Promise.all(Array.from({ length: 6 }, (_, n) => module(`export const n = ${n};`, `h${n}.ts`)));
    await Promise.all(codes.map((code) => isolates.describe(code)));
    assert.equal(isolates.count(), 0);
  }));

Deno.test("an error of rule code comes back with its class, name, message and the position in the user's file", () =>
  withIsolates({}, async ({ isolates, module }) => {
    const run = async (body: string) => {
      const code = await module(ruleSource(body));
      return await isolates.runRule(code, scope(), executor(), never).then(() => assert.fail(), (error) => error);
    };
    const plain = await run(`const x: undefined = undefined;\n  (x as any).y;`);
    assert.ok(plain instanceof RuleCodeError);
    assert.equal(plain.name, "TypeError");
    assert.equal(plain.blocked, false);
    assert.equal(plain.at?.line, 4);
    assert.match(plain.stack!, /^TypeError: .*\n {4}at .*rule0\.ts:4:\d+/);
    assert.doesNotMatch(plain.stack!, /data:|worker\.ts/);
    const terminal = await run(`throw new TerminalError("never again")`);
    assert.ok(terminal instanceof TerminalError);
    const later = await run(`throw new RetryAfterError("later", 5000)`);
    assert.ok(later instanceof RetryAfterError);
    assert.equal(later.retryAfter, 5_000);
    assert.equal((await run(`throw "just text"`)).message, "just text");
  }));

Deno.test("an error in step.do reaches the main thread with its class and is thrown at the call of the step", () =>
  withIsolates({}, async ({ isolates, module }) => {
    const seen: unknown[] = [];
    const code = await module(ruleSource(`
      try { await step.do("a", () => { throw new RetryAfterError("later", 7) }); }
      catch (error) { return { name: error.name, isRetry: error instanceof RetryAfterError, after: error.retryAfter }; }`));
    const base = executor();
    const output = await isolates.runRule(code, scope(), (call, computed) => {
      if (computed && "error" in computed) seen.push(computed.error.name, computed.error.retryAfter);
      return base(call, computed);
    }, never);
    assert.deepEqual(seen, ["RetryAfterError", 7]);
    assert.deepEqual(output, { name: "RetryAfterError", isRetry: true, after: 7 });
    const failing = await module(ruleSource(`\n\nawait step.http("tell", "https://example.org");`));
    const failed = isolates.runRule(failing, scope(), () => {
      return Promise.resolve({ kind: "failed", error: { name: "HttpError", message: "500", detail: { status: 500 } } });
    }, never);
    await assert.rejects(failed, (error: RuleCodeError) => {
      assert.deepEqual([error.name, error.message, error.at?.line], ["HttpError", "500", 5]);
      assert.deepEqual((error as { detail?: unknown }).detail, { status: 500 });
      return true;
    });
  }));

Deno.test("step.do runs again as often as the main thread asks, for the same call object", () =>
  withIsolates({}, async ({ isolates, module }) => {
    const code = await module(ruleSource(`return await step.do("a", ({ attempt }) => {
      if (attempt < 3) throw new Error("attempt " + attempt);
      return attempt;
    });`));
    const objects = new Set<StepCall>();
    let attempt = 0;
    const output = await isolates.runRule(code, scope(), (call, computed) => {
      objects.add(call);
      if (computed && "output" in computed) return Promise.resolve({ kind: "result", output: computed.output });
      return Promise.resolve({ kind: "compute", attempt: ++attempt, path: "a" });
    }, never);
    assert.equal(output, 3);
    assert.equal(objects.size, 1);
  }));

Deno.test("a result that JSON cannot represent is a clear error", () =>
  withIsolates({}, async ({ isolates, module }) => {
    const code = await module(ruleSource(`await step.do("read", () => ({ items: [1, { at: new Date(0) }] }));`));
    await assert.rejects(
      isolates.runRule(code, scope(), executor(), never),
      /the result of step "read" has a Date at items\[1\]\.at, which JSON cannot represent: use toISOString\(\)/,
    );
  }));

Deno.test("calls of a run are concurrent", () =>
  withIsolates({}, async ({ isolates, module }) => {
    const code = await module(ruleSource(
      `return await Promise.all(["a", "b", "c"].map((name) => step.do(name, () => step.http("h" + name, "https://x.org"))));`,
    ));
    const arrived: string[] = [];
    const all = gate();
    const output = await isolates.runRule(
      code,
      scope(),
      executor(async (call) => {
        arrived.push(call.name);
        if (arrived.length === 3) all.resolve();
        await all.promise;
        return call.name;
      }),
      never,
    );
    assert.deepEqual(output, ["ha", "hb", "hc"]);
  }));

Deno.test("a call that is abandoned never settles, and the abort that follows leaves the worker usable", () =>
  withIsolates({}, async ({ isolates, module, logs }) => {
    const code = await module(ruleSource(`
      if (config.suspend) try { await step.http("wait", "https://x.org"); } finally { console.log("settled"); }
      return "ok";`));
    const controller = new AbortController();
    const asked = gate();
    const suspended = isolates.runRule(code, scope({ config: { suspend: true } }), () => {
      asked.resolve();
      return Promise.resolve({ kind: "abandon" });
    }, controller.signal);
    await asked.promise;
    assert.equal(await isolates.runRule(code, scope(), executor(), never), "ok");
    controller.abort(new Error("suspended"));
    await assert.rejects(suspended, /suspended/);
    assert.equal(await isolates.runRule(code, scope(), executor(), never), "ok");
    assert.equal(isolates.count(), 1);
    assert.deepEqual(logs, []);
  }));

Deno.test("a function if is called", () =>
  withIsolates({}, async ({ isolates, module }) => {
    const code = await module(ruleSource("", "if: ({ event, config }) => event.data.n > config.least,"));
    assert.equal(await isolates.askCondition(code, scope({ config: { least: 0 } }), never), true);
    assert.equal(await isolates.askCondition(code, scope({ config: { least: 1 } }), never), false);
  }));

Deno.test("an event that its validator refuses is an InvalidEventError with the path; else rules see the validated data", () =>
  withIsolates({}, async ({ isolates, module }) => {
    const code = await module(`import { event, rule } from "whenthen";
      const order = { "~standard": { version: 1, vendor: "test", validate: (value: any) =>
        typeof value.n === "number" ? { value: { n: value.n * 2 } } : { issues: [{ message: "expected number", path: ["n"] }] } } } as const;
      export default rule({ when: event("order", order), then: ({ event }) => event.data });`);
    assert.deepEqual((await isolates.describe(code)).rule?.declaration, {
      when: { event: "order" },
      if: { function: true },
      then: { function: true },
    });
    assert.equal(await isolates.askCondition(code, scope(), never), true);
    assert.deepEqual(await isolates.runRule(code, scope(), executor(), never), { n: 2 });
    const wrong = scope({ event: { ...scope().event, type: "order", data: { n: "1" } } });
    const refused = (error: Error) => {
      assert.ok(error instanceof InvalidEventError);
      assert.equal(error.message, "event order is not as the rule expects: data.n: expected number");
      return true;
    };
    await assert.rejects(isolates.askCondition(code, wrong, never), refused);
    await assert.rejects(isolates.runRule(code, wrong, executor(), never), refused);
  }));

Deno.test("callFunction() calls an export with its arguments and a signal", () =>
  withIsolates({}, async ({ isolates, module }) => {
    const code = await module(`
      import { TerminalError } from "whenthen";
      export const read = ({ cursor, signal }: any) => ({ items: [cursor], isSignal: signal instanceof AbortSignal });
      export const fail = () => { throw new TerminalError("no") };
      export const wait = ({ signal }: any) => new Promise((resolve) => signal.addEventListener("abort", resolve));
      export const loop = () => { for (;;); };`);
    assert.deepEqual(await isolates.callFunction(code, "read", { cursor: 3 }, never), { items: [3], isSignal: true });
    await assert.rejects(isolates.callFunction(code, "fail", null, never), TerminalError);
    await assert.rejects(isolates.callFunction(code, "nope", null, never), /exports no function nope; it exports fail/);
    await assert.rejects(isolates.callFunction(code, "wait", null, AbortSignal.timeout(50)), { name: "TimeoutError" });
    assert.equal(isolates.count(), 1);
    await assert.rejects(isolates.callFunction(code, "loop", null, AbortSignal.timeout(50)), { name: "TimeoutError" });
    assert.deepEqual(await isolates.callFunction(code, "read", { cursor: 4 }, never), { items: [4], isSignal: true });
  }));

Deno.test("a secret's name is reported before a step that uses it; one that is not set throws", () =>
  withIsolates({ secrets: () => ({ TOKEN: "s3cret" }) }, async ({ isolates, module, secretsUsed, logs }) => {
    const code = await module(ruleSource(`
      console.log(secrets);
      await step.http("tell", "https://x.org", { headers: { authorization: secrets.TOKEN } });
      await step.log("has", String("OTHER" in secrets));
      return secrets.OTHER;`));
    const told: string[][] = [];
    const execute = executor(() => void told.push([...secretsUsed]));
    await assert.rejects(isolates.runRule(code, scope(), execute, never), /the secret "OTHER" is not set/);
    assert.deepEqual(told[0], ["TOKEN"]);
    assert.equal(execute.calls[1].args.log, "false");
    assert.doesNotMatch(logs[0].message, /s3cret/);
  }));

Deno.test("workers see only the environment that they are given", () =>
  withIsolates({ env: () => ({ COLOUR: "blue" }) }, async ({ isolates, module }) => {
    const code = await module(ruleSource(`return [env.COLOUR, process.env.COLOUR, process.env.PATH ?? null];`));
    assert.deepEqual(await isolates.runRule(code, scope(), executor(), never), ["blue", "blue", null]);
  }));

Deno.test("console output goes to the log with its level and run", () =>
  withIsolates({}, async ({ isolates, module, logs }) => {
    const code = await module(ruleSource(`
      console.log("a %d", 1, { b: 2 }); console.warn("careful"); console.error(new Error("here").stack); console.debug("d");
      process.stdout.write("raw\\n");`));
    await isolates.runRule(code, scope(), executor(), never);
    assert.deepEqual(logs.map((line) => line.level), ["info", "warn", "error", "debug", "info"]);
    assert.deepEqual(logs[0], { level: "info", message: "a 1 { b: 2 }", file: "rule0.ts", run: "run1" });
    assert.match(logs[2].message, /rule0\.ts:4:/);
    assert.equal(logs[4].message, "raw");
  }));

Deno.test("a function is idle after it has made all calls that are possible with the results so far", () =>
  withIsolates({}, async ({ isolates, module }) => {
    const code = await module(ruleSource(`
      await Promise.all(["a", "b"].map(async (name) => {
        await step.log(name + 1, "x");
        const end = Date.now() + 50;
        while (Date.now() < end);
        await null;
        await step.log(name + 2, "x");
      }));`));
    const seen: string[] = [];
    let quiet = gate();
    const answers = new Map<string, () => void>();
    const done = isolates.runRule(
      code,
      scope(),
      executor(({ name }) => {
        seen.push(name);
        return new Promise<void>((resolve) => answers.set(name, resolve));
      }),
      never,
      () => {
        seen.push("quiet");
        quiet.resolve();
      },
    );
    for (const name of ["a1", "b1", "a2", "b2"]) {
      await quiet.promise;
      quiet = gate();
      answers.get(name)!();
    }
    await done;
    assert.deepEqual(seen, ["a1", "b1", "quiet", "a2", "quiet", "b2", "quiet", "quiet"]);
  }));

Deno.test("a step called after its run was suspended is reported, with a remedy", () =>
  withIsolates({}, async ({ isolates, module, logs }) => {
    const code = await module(
      ruleSource(`
      await Promise.all([step.wait("pause", "6d"), (async () => {
        await new Promise((resolve) => globalThis.goOn = resolve);
        await step.http("late", "https://x.org");
      })()]);`).replace("then: async", "if: () => { globalThis.goOn(); return true; }, then: async"),
    );
    const suspended = new AbortController();
    const asked = gate();
    const run = isolates.runRule(code, scope(), () => {
      asked.resolve();
      return Promise.resolve({ kind: "abandon" });
    }, suspended.signal);
    await asked.promise;
    suspended.abort(new Error("suspended"));
    await assert.rejects(run, /suspended/);
    assert.equal(await isolates.askCondition(code, scope(), never), true);
    assert.equal(logs[0].level, "warn");
    assert.match(
      logs[0].message,
      /^step\.http\("late", …\) came after its run was suspended .* into step\.do$/,
    );
  }));
