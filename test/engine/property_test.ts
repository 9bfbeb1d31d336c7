import fc from "fast-check";
import assert from "node:assert/strict";
import type { CalledAction, Rule, Step } from "../../runtime/model/rule.ts";
import { isFinal } from "../../runtime/model/run.ts";
import type { Trace } from "../../runtime/store/store.ts";
import { type Bench, callStep, codeRule, makeRule, makeStep, until, withBench, withCode } from "./harness.ts";

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

/** An expression of a rule function; `id` makes its names its own. */
type Part =
  | { kind: "call" | "do" | "wait" }
  | { kind: "sequence" | "all" | "any" | "caught"; parts: Part[] }
  | { kind: "each"; items: number; max: number; part: Part };

const parts = fc.letrec<{ part: Part }>((tie) => {
  const lists = fc.array(tie("part"), { minLength: 1, maxLength: 3 });
  return {
    part: fc.oneof(
      { maxDepth: 3, withCrossShrink: true },
      { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom("call" as const, "do" as const, "wait" as const) }) },
      { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom("sequence" as const, "all" as const), parts: lists }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom("any" as const, "caught" as const), parts: lists }) },
      {
        weight: 2,
        arbitrary: fc.record({
          kind: fc.constant("each" as const),
          items: fc.nat(3),
          max: fc.integer({ min: 1, max: 3 }),
          part: tie("part"),
        }),
      },
    ),
  };
}).part;
const functions: fc.Arbitrary<Part> = fc.record({
  kind: fc.constant("all" as const),
  parts: fc.array(parts, { minLength: 2, maxLength: 4 }),
});

/** Its code. Its result does not depend on which branch is faster. */
function codeOf(part: Part, nextId: () => number): string {
  const id = nextId();
  const branch = (part: Part) => `async () => ${codeOf(part, nextId)}`;
  switch (part.kind) {
    case "call":
      return `(await call("call${id}", "work", { n: ${id} }))`;
    case "do":
      return `(await step.do("do${id}", () => ${id}))`;
    case "wait":
      return `(await step.wait("wait${id}", "${1 + id % 5}h"))`;
    case "sequence":
      return `[${part.parts.map((part) => codeOf(part, nextId)).join(", ")}]`;
    case "all":
      return `(await step.all("all${id}", { ${part.parts.map((part, n) => `b${n}: ${branch(part)}`).join(", ")} }))`;
    case "any": {
      const losers = part.parts.map((part, n) =>
        `l${n}: async () => { await step.wait("late", "900d"); return ${codeOf(part, nextId)}; }`
      );
      return `(await step.any("any${id}", { ${losers.join(", ")}, wins: ${branch(part.parts[0])} })).winner`;
    }
    case "caught": {
      const throws = `throws: async () => { await step.wait("soon", "30d"); throw new Error("boom ${id}"); }`;
      const others = part.parts.map((part, n) => `b${n}: ${branch(part)}`);
      return `(await step.all("caught${id}", { ${[...others, throws].join(", ")} }).catch((error) => error.message))`;
    }
    case "each": {
      const body = `async (item) => [item, ${codeOf(part.part, nextId)}]`;
      const items = JSON.stringify(Array.from({ length: part.items }, (_, n) => n));
      return `(await step.each("each${id}", ${items}, ${body}, { max: ${part.max} })).results`;
    }
  }
}

/** Executes a run with crashes at calls or ends of waits, each after so many of them since the previous crash. */
async function executeCrashing(bench: Bench, rule: Rule, crashes: number[]) {
  const left = [...crashes];
  const before = bench.calls.length;
  let moments = 0;
  let crashing = false;
  /** Calls that were made and not recorded when the program crashed. */
  let lost = 0;
  let isCounted = Promise.resolve();
  bench.functions.work = async ({ n }) => {
    await isCounted;
    crashing ||= ++moments === left[0];
    if (!crashing) return n;
    return await new Promise(() => {});
  };
  const run = await bench.send(rule);
  for (;;) {
    await until(() => crashing || bench.runner.idle);
    if (crashing) {
      const made = bench.calls.length - before;
      const counted = Promise.withResolvers<void>();
      isCounted = counted.promise;
      left.shift();
      [moments, crashing] = [0, false];
      await bench.crash();
      lost = made - recordedCalls(await bench.trace(run));
      counted.resolve();
      continue;
    }
    const trace = await bench.trace(run);
    const made = bench.calls.length - before - lost;
    if (isFinal(trace.run.state)) return { trace, made, crashed: crashes.length - left.length };
    assert.ok(bench.clock.wakeNext(Infinity), String(trace.run.waitingFor));
    crashing ||= ++moments === left[0];
  }
}

function recordedCalls({ steps }: Trace): number {
  return steps.filter(({ kind }) => kind === "call").length;
}

Deno.test("no crash changes the result of a function with nested branches, and no recorded step is executed again", () =>
  withCode(async (bench) => {
    let rules = 0;
    let crashed = 0;
    const crashes = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(functions, crashes, async (part, crashes) => {
        let id = 0;
        const body = `return ${codeOf(part, () => id++)};`;
        const rule = () => codeRule(body, { id: `ops/v${rules++}` });
        const { trace: { run } } = await executeCrashing(bench, rule(), []);
        assert.equal(run.error, undefined, body);
        const again = await executeCrashing(bench, rule(), crashes);
        assert.deepEqual([again.trace.run.error, again.trace.run.output], [undefined, run.output], body);
        assert.equal(again.made, recordedCalls(again.trace), body);
        assert.deepEqual(bench.errors, []);
        crashed += again.crashed;
      }),
      { numRuns: 15, seed: 7 },
    );
    assert.ok(crashed > 10, `only ${crashed} crashes`);
  }));
