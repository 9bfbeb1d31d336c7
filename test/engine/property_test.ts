import assert from "node:assert/strict";
import fc from "fast-check";
import type { CalledAction, Step } from "../../runtime/model/rule.ts";
import { isFinal } from "../../runtime/model/run.ts";
import { callStep, makeRule, makeStep, withBench } from "./harness.ts";

type Shape =
  | { kind: "act"; fails: boolean; answer: "none" | "continue" | "list" }
  | { kind: "if"; holds: boolean; then: Shape[]; else: Shape[] }
  | { kind: "call"; then: Shape[]; fails: boolean }
  | { kind: "skipped" };

const { shapes } = fc.letrec<{ shapes: Shape[]; shape: Shape }>((tie) => ({
  shapes: fc.array(tie("shape"), { minLength: 1, maxLength: 4, depthIdentifier: "d" }),
  shape: fc.oneof(
    { depthIdentifier: "d", maxDepth: 3 },
    fc.record({
      kind: fc.constant("act" as const),
      fails: fc.boolean(),
      answer: fc.constantFrom("none" as const, "continue" as const, "list" as const),
    }),
    fc.record({ kind: fc.constant("skipped" as const) }),
    fc.record({ kind: fc.constant("if" as const), holds: fc.boolean(), then: tie("shapes"), else: tie("shapes") }),
    fc.record({ kind: fc.constant("call" as const), then: tie("shapes"), fails: fc.boolean() }),
  ),
}));

/** A rule's steps of that shape; each acting step calls `act` with a number of its own. */
function build(shapes: Shape[], actions: Record<string, CalledAction>, next: { n: number }): Step[] {
  return shapes.map((shape, index): Step => {
    const id = `s${index}`;
    const act = (id: string) =>
      callStep(id, "act", { retry: { attempts: 3, delay: 1_000, max: 1_000 } }, { n: next.n++ });
    switch (shape.kind) {
      case "skipped":
        return { ...act(id), if: "false" };
      case "act": {
        const step = act(id);
        if (shape.answer === "continue") step.onError = "continue";
        if (shape.answer === "list") step.onError = [act("handler")];
        return step;
      }
      case "if": {
        const children = { then: build(shape.then, actions, next), else: build(shape.else, actions, next) };
        return makeStep(id, "if", { if: String(shape.holds) }, { children });
      }
      case "call": {
        const file = `called${next.n++}.yaml`;
        const then = build(shape.then, actions, next);
        actions[`ops/${file}`] = { inputs: {}, then, ...(shape.fails && { output: "steps.nothing.there" }) };
        return makeStep(id, "call", { call: `./${file}` }, { onError: "continue" });
      }
    }
  });
}

Deno.test("a run ends under any failures and crashes, and no recorded step is executed again", async () => {
  const fates = fc.array(fc.constantFrom("ok", "ok", "ok", "fail", "crash"), { minLength: 1, maxLength: 30 });
  await fc.assert(
    fc.asyncProperty(shapes, fates, (shapes, fates) =>
      withBench(async (bench) => {
        const actions: Record<string, CalledAction> = {};
        const rule = makeRule(build(shapes, actions, { n: 0 }), { actions });
        rule.modules = { "ops/lib.ts": "" };
        const succeeded: unknown[] = [];
        let crashed = Promise.withResolvers<void>();
        bench.functions.act = ({ n }, _signal, count) => {
          const fate = fates[count - 1] ?? "ok";
          if (fate === "fail") throw new Error("by chance");
          if (fate === "crash") {
            crashed.resolve();
            return new Promise<never>(() => {});
          }
          succeeded.push(n);
          return n;
        };
        const run = await bench.send(rule);
        for (;;) {
          const ended = await Promise.race([
            bench.finish().then(() => true, () => false),
            crashed.promise.then(() => false),
          ]);
          if (ended) break;
          crashed = Promise.withResolvers();
          await bench.crash();
        }
        const { run: { state }, steps } = await bench.trace(run);
        assert.ok(isFinal(state), state);
        assert.equal(new Set(succeeded).size, succeeded.length, `computed twice: ${succeeded}`);
        const recorded = steps.filter(({ kind, state }) => kind === "call" && state === "succeeded")
          .map(({ output }) => output).filter((output) => output !== null);
        assert.deepEqual(recorded.sort(), succeeded.sort());
        for (const step of steps) assert.ok(step.attempts <= 3 && step.state !== "retrying", JSON.stringify(step));
      })),
    { numRuns: 12 },
  );
});
