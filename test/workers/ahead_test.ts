import assert from "node:assert/strict";
import { type ExecuteStep, InterruptedError, type StepAnswer } from "../../runtime/workers/workers.ts";
import { BLOCK, executor, gate, never, ruleSource, scope, withIsolates } from "./harness.ts";

/** The main thread's side: notes what arrives, and asks only for steps that the function did not begin by itself. */
function noting() {
  const base = executor();
  const heard: string[] = [];
  const execute: ExecuteStep = async (call, computed): Promise<StepAnswer | undefined> => {
    const begun = call.begunAt === undefined ? "" : " begun";
    heard.push(`${call.kind} ${call.name}${computed ? " computed" : begun}`);
    return begun !== "" && !computed ? undefined : await base(call, computed);
  };
  return { execute, heard };
}

Deno.test("a do of a new run is computed as it is called; nobody has to ask for it", () =>
  withIsolates({}, async ({ isolates, module }) => {
    const body = `
      const a = await step.do("a", () => 1);
      await step.log("say", "x");
      const b = await step.do("b", async () => { await new Promise((resolve) => setTimeout(resolve, 5)); return a + 1; });
      try { await step.do("c", () => { throw new Error("no"); }); } catch (error) { return b + error.message; }`;
    const code = await module(ruleSource(body));
    const ahead = noting();
    assert.equal(await isolates.runRule(code, scope({ ahead: true }), ahead.execute, never), "2no");
    const steps = (how: string) => [`do a${how}`, "do a computed", "log say", `do b${how}`, "do b computed"];
    assert.deepEqual(ahead.heard, [...steps(" begun"), "do c begun", "do c computed"]);
    const asked = noting();
    assert.equal(await isolates.runRule(code, scope(), asked.execute, never), "2no");
    assert.deepEqual(asked.heard, [...steps(""), "do c", "do c computed"]);
  }));

Deno.test("the main thread is asked first about a do that it may refuse, or attempt differently", () =>
  withIsolates({}, async ({ isolates, module }) => {
    const code = await module(ruleSource(`
      await step.do("retried", () => 1, { retry: 3 });
      for (let n = 0; n < 2; n++) await step.do("one after the other", () => n);
      await Promise.all([step.do("both", () => 1), step.do("both", () => 2), step.do("else", () => 3)]);
      await step.all("branches", { left: () => step.do("in", () => 1), right: () => step.do("in", () => 2) });
      await step.do("both", () => 4);
      const said = step.log("say", "x");
      await step.do("beside", () => 5);
      await said;`));
    const { execute, heard } = noting();
    await isolates.runRule(code, scope({ ahead: true }), execute, never);
    assert.deepEqual(heard.filter((what) => !what.endsWith("computed")), [
      "do retried",
      "do one after the other begun",
      "do one after the other begun",
      "do both begun",
      "do both",
      "do else begun",
      "all branches",
      // Branches have paths of their own.
      "do in begun",
      "do in begun",
      // The main thread refuses a name that branches side by side have used.
      "do both",
      "log say",
      // A run may be suspended for a step that is not computed.
      "do beside",
    ]);
  }));

Deno.test("a run that is given up before its turn is not begun", () =>
  withIsolates({}, async ({ isolates, module, logs }) => {
    const code = await module(ruleSource(`console.log("begun " + config.which); return await step.log("say", "x");`));
    const { execute } = noting();
    const run = (which: string, signal: AbortSignal) =>
      isolates.runRule(code, scope({ config: { which }, ahead: true }), execute, signal);
    await run("first", never);
    const controller = new AbortController();
    const second = run("second", controller.signal);
    controller.abort(new Error("given up"));
    await assert.rejects(second, { message: "given up" });
    await run("third", never);
    assert.deepEqual(logs.map(({ message }) => message), ["begun first", "begun third"]);
  }));

Deno.test("what a run has done is told before another one, which was answered at the same moment, can block", () =>
  withIsolates({ blockedAfter: 3_000 }, async ({ isolates, module }) => {
    const code = await module(ruleSource(`
      await step.log("ask", "x");
      if (config.blocks) ${BLOCK}
      await step.do("done", () => 1);
      await step.log("wait", "x");`));
    const { execute, heard } = noting();
    const asked = [gate(), gate()];
    const answer = gate();
    const run = (index: number, blocks: boolean) =>
      isolates.runRule(code, scope({ config: { blocks }, ahead: true }), async (call, computed) => {
        if (call.name === "ask") {
          asked[index].resolve();
          await answer.promise;
        }
        return call.name === "wait" ? await new Promise(() => {}) : await execute(call, computed);
      }, never);
    const [works, blocks] = [assert.rejects(run(0, false), InterruptedError), assert.rejects(run(1, true))];
    await Promise.all(asked.map(({ promise }) => promise));
    answer.resolve();
    await Promise.all([works, blocks]);
    assert.deepEqual(heard, ["log ask", "log ask", "do done begun", "do done computed"]);
  }));
