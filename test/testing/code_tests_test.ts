import assert from "node:assert/strict";
import { BLOCK } from "../workers/harness.ts";
import { outcomes, simulate } from "./simulating.ts";

const PAY = `import { event, rule, type } from "whenthen";
export default rule({
  when: event("order.created", type<{ id: string; total: number }>()),
  if: ({ event, config }) => event.data.total > config.least,
  config: { least: 10 },
  then: async ({ event, step, secrets, env }) => {
    console.log("order", event.data.id);
    const { body } = await step.http<{ ok: boolean }>("pay", "POST https://pay.example.org/", {
      json: event.data,
      headers: { authorization: secrets.PAY_TOKEN },
      retry: 3,
    });
    const town = await step.do("town", () => env.TOWN ?? "nowhere");
    return { ok: body.ok, town };
  },
});
`;

Deno.test("a test in TypeScript does the same as one in YAML", async () => {
  const report = await simulate({
    "shop/pay.ts": PAY,
    "shop/pay.test.ts": `import { testRule } from "whenthen";
import pay from "./pay.ts";

testRule(pay, "pays", { stub: { pay: [{ status: 503 }, { body: { ok: true } }] }, env: { TOWN: "Kiel" } }, async (t) => {
  await t.send({ type: "order.created", data: { id: "o1", total: 20 } });
  t.expect({ run: "waiting", logs: ["order o1"] });
  await t.advance("1s");
  t.expect({ run: "succeeded", output: { ok: true, town: "Kiel" }, steps: ["pay", "town"] }, { exact: true });
  if (t.seen.calls.length !== 2) throw new Error("two attempts");
});

testRule("shop/pay", "not worth it", async (t) => {
  await t.send({ type: "order.created", data: { id: "o1", total: 1 } });
  t.expect({ verdict: "condition", runs: [] });
});

testRule(pay, "another config", { config: { least: 0 }, secrets: { PAY_TOKEN: "tok" }, stub: { http: { body: {} } } }, async (t) => {
  await t.send({ type: "order.created", data: { id: "o1", total: 1 } });
  t.expect({ calls: [{ headers: { authorization: "tok" } }] });
});
`,
  });
  assert.deepEqual(report.problems, []);
  assert.deepEqual(outcomes(report), ["pays", "not worth it", "another config"]);
  assert.deepEqual(report.results.map(({ rule, file, at }) => `${rule} ${file}:${at.line}`), [
    "shop/pay shop/pay.test.ts:4",
    "shop/pay shop/pay.test.ts:12",
    "shop/pay shop/pay.test.ts:17",
  ]);
});

Deno.test("Date uses the simulated clock: in rules, in their conditions, and in tests", async () => {
  const report = await simulate({
    "monday.ts": `import { event, rule } from "whenthen";
export default rule({
  when: event("a"),
  if: () => new Date().getUTCDay() === 1,
  then: async ({ step }) => {
    const before = await step.do("before", () => Date.now());
    await step.wait("pause", "2d");
    return await step.do("after", () => [new Date().toISOString(), Date.now() - before, Date().slice(0, 3)]);
  },
});
`,
    "monday.test.ts": `import { testRule } from "whenthen";
import monday from "./monday.ts";

testRule(monday, "on a Monday", async (t) => {
  await t.send({ type: "a" });
  await t.advance("2d");
  const output = ["2027-01-06T09:00:00.000Z", 2 * 86_400_000, "Wed"];
  t.expect({ run: "succeeded", output });
  if (new Date().toISOString() !== t.seen.now) throw new Error(new Date().toISOString());
  if (new Date(0).getTime() !== 0 || !(new Date() instanceof Date)) throw new Error("no date");
});

testRule(monday, "on a Sunday", { now: "2027-01-03" }, async (t) => {
  await t.send({ type: "a" });
  t.expect({ verdict: "condition" });
});
`,
  });
  assert.deepEqual(report.problems, []);
  assert.deepEqual(outcomes(report), ["on a Monday", "on a Sunday"]);
});

Deno.test("a failure in TypeScript has the position of the call, by the source map", async () => {
  const report = await simulate({
    "a.yaml": "when: { event: a }\nthen: [{ id: get, http: https://example.org/ }]\n",
    "helper.ts": `export function boom(): never {
  throw new Error("boom");
}
`,
    "a.test.ts": `import { testRule } from "whenthen";
import { boom } from "./helper.ts";
type Unused = { n: number };

testRule("a", "not as expected", { stub: { http: {} } }, async (t) => {
  await t.send({ type: "a" });
  t.expect({ run: "failed" });
});
testRule("a", "no stub", async (t) => {
  await t.send({ type: "a" });
});
testRule("a", "throws", () => boom());
testRule("a", "cannot be", async (t) => {
  await t.advance("soon");
});
testRule("a", "misspelt", async (t) => {
  await t.send({ typ: "a" } as never);
});
testRule("a", "has no such part", async (t) => {
  t.expect({ stepz: [] } as never);
});
`,
  });
  const shown = report.results.map(({ name, failure }) =>
    `${name}: ${failure!.file}:${failure!.at.line}: ${failure!.message}`
  );
  assert.deepEqual(shown, [
    "not as expected: a.test.ts:7: not as expected",
    'no stub: a.test.ts:10: Step "get" acts on the outside world and has no stub; add it, as in stub: { http: { status: 200 } }',
    "throws: helper.ts:2: boom",
    "cannot be: a.test.ts:14: t.advance: expected a duration such as 2d, or a time such as 2027-01-04T09:00:00Z, " +
    'got "soon"',
    'misspelt: a.test.ts:17: t.send: unknown key "typ"; did you mean "type"?',
    `has no such part: a.test.ts:20: expect has no part "stepz"; did you mean "steps"?`,
  ]);
  assert.deepEqual(report.results[0].failure!.mismatches, [{ part: "run", expected: "failed", seen: "succeeded" }]);
});

Deno.test("loops, rejections and forgotten awaits fail only their own test", async () => {
  const report = await simulate({
    "a.yaml": "when: { event: a }\nthen: [{ log: hi }]\n",
    "a.test.ts": `import { testRule } from "whenthen";
testRule("a", "loops", async (t) => {
  await t.send({ type: "a" });
  for (;;);
});
testRule("a", "rejects", async (t) => {
  Promise.reject(new Error("nobody hears"));
  await t.send({ type: "a" });
  await new Promise(() => {});
});
testRule("a", "forgets", async (t) => {
  t.send({ type: "a" });
});
testRule("a", "looks too early", async (t) => {
  t.send({ type: "a" });
  t.expect({ run: "succeeded" });
});
testRule("a", "is well", async (t) => {
  await t.send({ type: "a" });
  t.expect({ run: "succeeded" });
});
`,
  });
  const [loops, rejects, forgets, early, isWell] = outcomes(report);
  assert.match(loops, /^loops: a\.test\.ts did not answer for 2s and was ended: a loop does not end/);
  assert.match(rejects, /^rejects: .*nobody hears/);
  assert.match(forgets, /^forgets: t\.send had not settled when the test ended: is an await missing\?/);
  assert.match(early, /^looks too early: t\.expect was called before t\.send had settled: is an await missing\?/);
  assert.equal(isWell, "is well");
});

Deno.test("the same in the code of a rule fails its run, and only that test", async () => {
  const report = await simulate({
    "a.ts": `import { event, rule } from "whenthen";
export default rule({
  when: event("a"),
  then: async ({ event, step }) => {
    if (event.subject === "block") ${BLOCK}
    if (event.subject === "reject") {
      Promise.reject(new Error("nobody hears"));
      await new Promise((resolve) => setTimeout(resolve, 1_000));
    }
    await step.log("tell", "well");
  },
});
`,
    "a.test.ts": `import { testRule } from "whenthen";
import a from "./a.ts";
testRule(a, "blocks", async (t) => {
  await t.send({ type: "a", subject: "block" });
  t.expect({ run: "failed", error: "a loop does not end" });
});
testRule(a, "rejects", async (t) => {
  await t.send({ type: "a", subject: "reject" });
  t.expect({ run: "failed", error: "nobody hears" });
});
testRule(a, "is well", async (t) => {
  await t.send({ type: "a", subject: "none" });
  t.expect({ run: "succeeded", logs: ["well"] });
});
`,
  });
  assert.deepEqual(outcomes(report), ["blocks", "rejects", "is well"]);
});

Deno.test("code that waits for something that never comes fails the test after some time of inactivity", async () => {
  const report = await simulate({
    "a.ts": `import { event, rule } from "whenthen";
export default rule({
  when: event("a"),
  then: async ({ event, step }) => {
    await step.log("tell", "hi");
    if (event.subject === "stuck") await new Promise(() => {});
  },
});
`,
    "a.test.ts": `import { testRule } from "whenthen";
import a from "./a.ts";
testRule(a, "is stuck", async (t) => {
  await t.send({ type: "a", subject: "stuck" });
});
testRule(a, "is well", async (t) => {
  await t.send({ type: "a", subject: "none" });
  t.expect({ run: "succeeded" });
});
`,
  });
  assert.deepEqual(outcomes(report), [
    "is stuck: Nothing has happened for 10 s, but the rule is still running",
    "is well",
  ]);
  assert.deepEqual(report.results[0].failure!.notes, ["the run is executing; so far: tell succeeded"]);
});

Deno.test("a mistake in a test file, or in the setup of a test, is a problem with its position", async () => {
  const report = await simulate({
    "a.yaml": "when: { event: a }\nconfig: { n: 1 }\nthen: [{ id: get, http: https://example.org/ }]\n",
    "a.test.ts": `import { testRule } from "whenthen";
testRule("b", "of nobody", async () => {});
testRule("a", "wrong", { config: { n: "x" }, stub: { got: {} } }, async () => {});
testRule("a", "fine", async () => {});
`,
    "b.test.ts": `import { x } from "./nothing.ts";\nx();\n`,
    "c.test.ts": `const n: number[] = [];\nn[0].toFixed();\n`,
    "d.test.ts": `import { testRule } from "whenthen";\n\nexport const text = testRule;\n`,
  });
  assert.deepEqual(outcomes(report), ["fine"]);
  assert.deepEqual(report.problems.map(({ file, at, message }) => `${file}:${at.line}: ${message}`), [
    'a.test.ts:2: testRule: there is no rule "b" that loads; known here: a',
    'a.test.ts:3: config.n: expected a number, got "x"',
    'a.test.ts:3: stub: the rule has no step "got"; did you mean "get"?',
    'b.test.ts:1: cannot find "./nothing.ts"',
    "c.test.ts:2: cannot be loaded: Cannot read properties of undefined (reading 'toFixed')",
  ]);
});
