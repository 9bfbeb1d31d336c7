import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import {
  type BundledModule,
  type ExecuteStep,
  InterruptedError,
  type Isolates,
  RuleCodeError,
} from "../../runtime/workers/workers.ts";
import { BLOCK, executor, gate, never, ruleSource, scope, withIsolates } from "./harness.ts";

/** Waits on the main thread until `release`, or loops, or hangs, as `config.do` says. */
const CHOICE = ruleSource(`
  await step.log("begun", config.do);
  if (config.do === "loop") { console.log("looping"); for (;;); }
  if (config.do === "hang") await new Promise(() => {});
  if (config.do === "ask") await step.http("ask", "https://x.org");
  if (config.do === "reject") { Promise.reject(new Error("floating")); await new Promise(() => {}); }
  if (config.do === "throw") { setTimeout(() => { throw new Error("in a timer") }); await new Promise(() => {}); }
  if (config.do === "exit") process.exit(3);
  return "fine";`);

/** Starts a run; `reached` resolves with the first call of that kind. */
function startRun(isolates: Isolates, code: BundledModule, what: string, kind: string, signal = never, alone = false) {
  const reached = gate();
  const execute = executor((call) => {
    if (call.kind === kind) reached.resolve();
    return call.kind === "http" ? new Promise(() => {}) : null;
  });
  const result = isolates.runRule(code, scope({ config: { do: what }, alone }), execute, signal)
    .then((output) => ({ output }), (error) => ({ error }));
  return { result, reached: reached.promise };
}

Deno.test("a loop is ended and blamed; a run that awaits the main thread meanwhile is interrupted, to be attempted again", () =>
  withIsolates({ blockedAfter: 3_000 }, async ({ isolates, module }) => {
    const code = await module(CHOICE);
    const waiting = startRun(isolates, code, "ask", "http");
    await waiting.reached;
    const looping = startRun(isolates, code, "loop", "log");
    const blamed = (await looping.result as { error: RuleCodeError }).error;
    assert.ok(blamed instanceof RuleCodeError && blamed.blocked);
    assert.match(blamed.message, /rule0\.ts did not answer for 3s and was ended/);
    assert.ok((await waiting.result as { error: Error }).error instanceof InterruptedError);
    assert.deepEqual(await startRun(isolates, code, "", "log").result, { output: "fine" });
  }));

Deno.test("blocking code is blamed even if a call of an abandoned branch is never answered", () =>
  withIsolates({ blockedAfter: 3_000 }, async ({ isolates, module }) => {
    const code = await module(ruleSource(`
      if (config.ask) return await step.http("ask", "https://x.org");
      await step.any("race", { loser: () => step.http("loser", "https://x.org"), winner: () => 1 });
      ${BLOCK}`));
    const base = executor(() => new Promise(() => {}));
    const loser = gate();
    const execute: ExecuteStep = async (call, computed) => {
      if (call.name === "loser") {
        await loser.promise;
        return { kind: "abandon", lost: true };
      }
      if (computed) loser.resolve();
      return await base(call, computed);
    };
    const waiting = isolates.runRule(code, scope({ config: { ask: true } }), execute, never);
    const interrupted = assert.rejects(waiting, InterruptedError);
    await assert.rejects(isolates.runRule(code, scope(), execute, never), (error: RuleCodeError) => error.blocked);
    await interrupted;
  }));

Deno.test("other rules continue while one loops", () =>
  withIsolates({ blockedAfter: 3_000 }, async ({ isolates, module }) => {
    const [bad, good] = [await module(CHOICE), await module(CHOICE)];
    const looping = startRun(isolates, bad, "loop", "log");
    await looping.reached;
    assert.deepEqual(await startRun(isolates, good, "", "log").result, { output: "fine" });
    assert.equal(isolates.count(), 2);
    assert.ok("error" in await looping.result);
  }));

Deno.test("aborting a run that computes ends its worker at once and interrupts the others", () => {
  const begun = gate();
  return withIsolates({ onLog: () => begun.resolve() }, async ({ isolates, module }) => {
    const code = await module(CHOICE);
    const waiting = startRun(isolates, code, "ask", "http");
    await waiting.reached;
    const controller = new AbortController();
    const looping = startRun(isolates, code, "loop", "log", controller.signal);
    await begun.promise;
    controller.abort(new Error("timed out"));
    assert.equal((await looping.result as { error: Error }).error.message, "timed out");
    assert.ok((await waiting.result as { error: Error }).error instanceof InterruptedError);
    assert.equal(isolates.count(), 0);
  });
});

Deno.test("aborting a run that blocks without a word ends its worker soon", () =>
  withIsolates({ blockedAfter: 600_000 }, async ({ isolates, module }) => {
    const shown = join(await mkdtemp(join(tmpdir(), "whenthen-blocks-")), "begun");
    const code = await module(ruleSource(`
      if (!config.file) return "loaded";
      (await import("node:fs")).writeFileSync(config.file, "");
      ${BLOCK}`));
    assert.equal(await isolates.runRule(code, scope(), executor(), never), "loaded");
    const controller = new AbortController();
    const blocking = isolates.runRule(code, scope({ config: { file: shown } }), executor(), controller.signal);
    while (!existsSync(shown)) await new Promise((resolve) => setTimeout(resolve, 10));
    controller.abort(new Error("timed out"));
    await assert.rejects(blocking, { message: "timed out" });
    while (isolates.count() > 0) await new Promise((resolve) => setTimeout(resolve, 20));
    await rm(dirname(shown), { recursive: true });
  }));

Deno.test("aborting a run that waits leaves one that computes in the same worker alone", () =>
  withIsolates({ blockedAfter: 600_000 }, async ({ isolates, module }) => {
    const folder = await mkdtemp(join(tmpdir(), "whenthen-computes-"));
    const [begun, end] = [join(folder, "begun"), join(folder, "end")];
    const code = await module(ruleSource(`
      if (config.waits) return await step.http("ask", "https://x.org");
      const { existsSync, writeFileSync } = await import("node:fs");
      writeFileSync(config.begun, "");
      while (!existsSync(config.end));
      return "computed";`));
    const controller = new AbortController();
    const asked = gate();
    const waiting = isolates.runRule(code, scope({ config: { waits: true } }), () => {
      asked.resolve();
      return new Promise(() => {});
    }, controller.signal);
    await asked.promise;
    const computing = isolates.runRule(code, scope({ config: { begun, end } }), executor(), never);
    while (!existsSync(begun)) await new Promise((resolve) => setTimeout(resolve, 10));
    controller.abort(new Error("timed out"));
    await assert.rejects(waiting, { message: "timed out" });
    // Longer than code has that may block.
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    await writeFile(end, "");
    assert.equal(await computing, "computed");
    await rm(folder, { recursive: true });
  }));

Deno.test("blocking code abandoned while it waited is detected, too", () => {
  const begun = gate();
  return withIsolates({ blockedAfter: 3_000, onLog: () => begun.resolve() }, async ({ isolates, module }) => {
    const code = await module(ruleSource(`step.http("ask", "https://x.org"); console.log("blocks"); ${BLOCK}`));
    const controller = new AbortController();
    const run = startRun(isolates, code, "", "http", controller.signal);
    await begun.promise;
    controller.abort(new Error("timed out"));
    await run.result;
    while (isolates.count() > 0) await new Promise((resolve) => setTimeout(resolve, 20));
  });
});

Deno.test("an error that nothing awaits fails the only run in the worker", () =>
  withIsolates({}, async ({ isolates, module }) => {
    for (const [what, message] of [["reject", "floating"], ["throw", "in a timer"]]) {
      const code = await module(CHOICE);
      const { error } = await startRun(isolates, code, what, "log").result as { error: RuleCodeError };
      assert.equal(error.message, message);
      assert.equal(error.blocked, false);
      assert.match(error.stack!, /rule\d\.ts:\d+:\d+/);
      assert.deepEqual(await startRun(isolates, code, "", "log").result, { output: "fine" });
    }
  }));

Deno.test("if several runs share the worker of such an error, each is attempted alone to find its cause", () =>
  withIsolates({}, async ({ isolates, module }) => {
    const code = await module(CHOICE);
    const waiting = startRun(isolates, code, "ask", "http");
    await waiting.reached;
    const rejecting = startRun(isolates, code, "reject", "log");
    for (const run of [waiting, rejecting]) {
      const { error } = await run.result as { error: RuleCodeError };
      assert.ok(error instanceof RuleCodeError && error.blocked);
    }
    const { error } = await startRun(isolates, code, "reject", "log", never, true).result as { error: RuleCodeError };
    assert.deepEqual([error.message, error.blocked], ["floating", false]);
  }));

Deno.test("process.exit is an error and does not end the program", () =>
  withIsolates({}, async ({ isolates, module }) => {
    const { error } = await startRun(isolates, await module(CHOICE), "exit", "log").result as { error: Error };
    assert.match(error.message, /process\.exit is not for rule code/);
  }));

Deno.test("a module that throws at its top level fails its runs with the position", () =>
  withIsolates({}, async ({ isolates, module }) => {
    const code = await module(`\nnull!.x;\n${CHOICE}`);
    const { error } = await startRun(isolates, code, "", "log").result as { error: RuleCodeError };
    assert.deepEqual([error.name, error.at?.file, error.at?.line, error.blocked], ["TypeError", "rule0.ts", 2, false]);
    assert.equal(isolates.count(), 0);
    await assert.rejects(isolates.describe(code), { name: "TypeError" });
  }));

Deno.test("a module that never finishes loading is abandoned", () =>
  withIsolates({ blockedAfter: 2_000 }, async ({ isolates, module }) => {
    const waits = await module(`await new Promise(() => {});\n${CHOICE}`);
    await assert.rejects(isolates.describe(waits), /rule0\.ts was not loaded after 2s/);
    const blocks = await module(`${BLOCK}\n${CHOICE}`);
    await assert.rejects(isolates.describe(blocks), /rule1\.ts (was not loaded|did not answer)/);
    assert.equal(isolates.count(), 0);
  }));

Deno.test("a run that executes alone has its own worker, which ends with it", () =>
  withIsolates({}, async ({ isolates, module }) => {
    const code = await module(CHOICE);
    const controller = new AbortController();
    const waiting = startRun(isolates, code, "ask", "http", controller.signal);
    await waiting.reached;
    const alone = startRun(isolates, code, "ask", "http", controller.signal, true);
    await alone.reached;
    assert.equal(isolates.count(), 2);
    controller.abort(new Error("over"));
    await Promise.all([waiting.result, alone.result]);
    assert.equal(isolates.count(), 1);
  }));

Deno.test("the longest idle worker is evicted; if none is idle, work waits", () =>
  withIsolates({ maxWorkers: 2 }, async ({ isolates, module }) => {
    const [a, b, c] = [await module(CHOICE), await module(CHOICE), await module(CHOICE)];
    await startRun(isolates, a, "", "log").result;
    const controller = new AbortController();
    const held = startRun(isolates, b, "ask", "http", controller.signal);
    await held.reached;
    assert.deepEqual(await startRun(isolates, c, "", "log").result, { output: "fine" });
    assert.equal(isolates.count(), 2);
    const second = startRun(isolates, c, "ask", "http", controller.signal);
    await second.reached;
    const waits = startRun(isolates, a, "", "log");
    const gone = new AbortController();
    const aborted = startRun(isolates, a, "", "log", gone.signal);
    gone.abort(new Error("no longer"));
    assert.equal((await aborted.result as { error: Error }).error.message, "no longer");
    controller.abort(new Error("over"));
    assert.deepEqual(await waits.result, { output: "fine" });
  }));

Deno.test("a module that listens and finds no worker fails at once; it gets one after another has ended", () =>
  withIsolates({ maxWorkers: 2 }, async ({ isolates, module }) => {
    const listen = async (signal: AbortSignal) => {
      const code = await module(`import { source } from "whenthen";
        export const feed = source({
          listen: async ({ emit, signal }) => {
            await emit(1);
            await new Promise((resolve) => signal.addEventListener("abort", resolve));
          },
        });`);
      const begun = gate();
      const begin = (): ExecuteStep => () => {
        begun.resolve();
        return Promise.resolve({ kind: "result", output: null });
      };
      const call = { name: "feed", method: "listen", inputs: {}, more: {} } as const;
      await Promise.race([begun.promise, isolates.callDefinition(code, call, begin, signal)]);
    };
    const [first, others] = [new AbortController(), new AbortController()];
    await listen(first.signal);
    await listen(others.signal);
    await assert.rejects(listen(others.signal), /Cannot start a worker for rule2\.ts: 2 modules listen already/);
    first.abort();
    await listen(others.signal);
    others.abort();
  }));

Deno.test("a listen that does not return after its abort leaves others in its worker alone, and the log says so", async () => {
  const [begun, said] = [gate(), gate()];
  let count = 0;
  const onLog = ({ message }: { message: string }) => {
    if (message.includes("it listens") && ++count === 2) begun.resolve();
    if (message.includes("listen did not return")) said.resolve();
  };
  await withIsolates({ onLog }, async ({ isolates, module }) => {
    const code = await module(`import { source } from "whenthen";
      const listen = (obeys) => source({
        listen: async ({ signal }) => {
          console.log("it listens");
          await new Promise((resolve) => obeys && signal.addEventListener("abort", resolve));
        },
      });
      export const fine = listen(true);
      export const stubborn = listen(false);`);
    const listening = (name: string, { signal }: AbortController) => {
      const call = { name, method: "listen", inputs: {}, more: {} } as const;
      const begin = (): ExecuteStep => () => Promise.resolve({ kind: "result", output: null });
      return isolates.callDefinition(code, call, begin, signal).catch((error: Error) => error.message);
    };
    const [first, second] = [new AbortController(), new AbortController()];
    const [stubborn, fine] = [listening("stubborn", first), listening("fine", second)];
    await begun.promise;
    first.abort(new Error("reloaded"));
    assert.equal(await stubborn, "reloaded");
    await said.promise;
    second.abort(new Error("over"));
    assert.equal(await fine, "over");
    while (isolates.count() > 0) await new Promise((resolve) => setTimeout(resolve, 10));
  });
});

Deno.test("idle workers are discarded", () =>
  withIsolates({ idleAfter: 50 }, async ({ isolates, module }) => {
    await startRun(isolates, await module(CHOICE), "", "log").result;
    while (isolates.count() > 0) await new Promise((resolve) => setTimeout(resolve, 10));
  }));

Deno.test("workers of a discarded version finish their work first", () =>
  withIsolates({}, async ({ isolates, module }) => {
    const code = await module(CHOICE);
    const answer = gate<unknown>();
    const asked = gate();
    const run = isolates.runRule(
      code,
      scope({ config: { do: "ask" } }),
      executor((call) => {
        if (call.kind !== "http") return null;
        asked.resolve();
        return answer.promise;
      }),
      never,
    );
    await asked.promise;
    await isolates.discard(code.version);
    answer.resolve(null);
    assert.equal(await run, "fine");
    assert.equal(isolates.count(), 0);
  }));

Deno.test("close() interrupts what runs", () =>
  withIsolates({}, async ({ isolates, module }) => {
    const code = await module(CHOICE);
    const hanging = startRun(isolates, code, "hang", "log");
    await hanging.reached;
    await isolates.close();
    assert.ok((await hanging.result as { error: Error }).error instanceof InterruptedError);
    assert.ok((await startRun(isolates, code, "", "log").result as { error: Error }).error instanceof InterruptedError);
  }));
