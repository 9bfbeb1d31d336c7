import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { rulesFolder } from "./folder.ts";
import { whenthen } from "./program.ts";
import { WebServer } from "./web_server.ts";

const RULE = `when: { event: order.created }
then:
  - id: pay
    http: POST https://pay.example.org/\${{ event.data.id }}
  - log: paid
`;

const PASSES = `tests:
  - name: pays within six days
    stub: { http: [{ status: 500 }, { status: 201 }] }
    do:
      - send: { type: order.created, data: { id: A1 } }
      - advance: 6d
      - expect: { run: succeeded, steps: [pay, log] }
`;

const FAILS = `  - name: pays nobody
    stub: { http: {} }
    do:
      - send: { type: order.created, data: { id: A1 } }
      - expect: { run: failed, calls: [{ http: POST https://pay.example.org/A2 }, { http: POST https://pay.example.org/A3 }] }
`;

const IN_TYPESCRIPT = `import { testRule } from "whenthen";

testRule("shop/pay", "pays", { stub: { pay: { status: 201 } } }, async (t) => {
  await t.send({ type: "order.created", data: { id: "A1" } });
  t.expect({ run: "succeeded", calls: [{ http: "POST https://pay.example.org/A1" }] });
});
`;

Deno.test("test: all pass, those of YAML and TypeScript; exit 0, and only a cache is left", async () => {
  await using folder = await rulesFolder({ "shop/pay.yaml": RULE + PASSES, "shop/pay.test.ts": IN_TYPESCRIPT });
  const { code, stdout, stderr } = await whenthen(["test", folder.rules, "--data", folder.data]);
  assert.equal(code, 0, stdout + stderr);
  assert.match(stdout, /^shop\/pay\.yaml\n {2}✓ pays within six days {2}\S+\nshop\/pay\.test\.ts\n {2}✓ pays {2}\S+\n/);
  assert.match(stdout, /\n2 tests passed, 0 failed\n$/);
  assert.equal(stderr, "");
  const left = await readdir(folder.data).catch(() => []);
  assert.deepEqual(left.filter((name) => name !== "cache"), []);
});

Deno.test("test: one fails; exit 1, with position and diff", async () => {
  await using folder = await rulesFolder({ "pay.yaml": RULE + PASSES + FAILS });
  const { code, stdout } = await whenthen(["test", folder.rules]);
  assert.equal(code, 1, stdout);
  const [, failure] = /✗ pays nobody {2}\S+\n(.*)\n1 test passed, 1 failed\n$/s.exec(stdout)!;
  assert.equal(
    failure,
    `    pay.yaml:17:9: not as expected  - expected, + seen
      run
        - "failed"
        + "succeeded"
      calls
        - {"http":"POST https://pay.example.org/A2"}
        - {"http":"POST https://pay.example.org/A3"}
        + {"http":"POST https://pay.example.org/A1"}
`,
  );
});

Deno.test("test: a rule that does not load means exit 2, and the others are still tested", async () => {
  await using folder = await rulesFolder({
    "bad.yaml": "when: { crn: x }\nthen: [{ log: a }]\n",
    "pay.yaml": RULE + PASSES + FAILS.replace("advance", "advnce").replace("send:", "snd:"),
  });
  const { code, stdout } = await whenthen(["test", folder.rules]);
  assert.equal(code, 2, stdout);
  assert.match(stdout, /✓ pays within six days/);
  assert.match(stdout, /^bad\.yaml:1:9: expected one of .*\n {4}when: \{ crn: x \}\n {12}\^\^\^\n/m);
  assert.match(stdout, /^pay\.yaml:16:9: expected one of "send", .* got "snd"\n(.*\n){2} {4}did you mean "send"\?$/m);
  assert.match(stdout, /\n1 test passed, 0 failed, 2 problems\n$/);
});

Deno.test("test --json: results, failures and problems as data", async () => {
  await using folder = await rulesFolder({ "pay.yaml": RULE + PASSES + FAILS });
  const { code, stdout } = await whenthen(["test", folder.rules, "--json"]);
  assert.equal(code, 1, stdout);
  const { results, problems } = JSON.parse(stdout);
  assert.deepEqual(problems, []);
  const [passed, failed] = results;
  assert.deepEqual([passed.rule, passed.file, passed.name, passed.failure], [
    "pay",
    "pay.yaml",
    "pays within six days",
    undefined,
  ]);
  assert.equal(typeof passed.took, "number");
  assert.deepEqual(failed.failure.mismatches[0], { part: "run", expected: "failed", seen: "succeeded" });
  assert.deepEqual([failed.failure.file, failed.failure.at], ["pay.yaml", { line: 17, column: 9 }]);
});

Deno.test("test: nothing reaches the outside, though the whole rule runs", async () => {
  await using server = await WebServer.start();
  await using folder = await rulesFolder({
    "a.yaml": `when: { event: a }
then:
  - { id: get, http: "POST ${server.url}/", onError: continue }
  - { id: touch, run: [touch, ./touched], onError: continue }
tests:
  - { name: get, stub: { touch: {} }, do: [{ send: { type: a } }] }
  - { name: touch, stub: { get: {} }, do: [{ send: { type: a } }] }
  - { name: stubbed, stub: { get: {}, touch: {} }, do: [{ send: { type: a } }, { expect: { run: succeeded } }] }
`,
  });
  const { code, stdout } = await whenthen(["test", folder.rules]);
  assert.equal(code, 1, stdout);
  assert.match(stdout, /a\.yaml:6:\d+: Step "get" acts on the outside world and has no stub/);
  assert.match(stdout, /a\.yaml:7:\d+: Step "touch" acts on the outside world and has no stub/);
  assert.match(stdout, /\n1 test passed, 2 failed\n$/);
  assert.deepEqual(server.seen, []);
  assert.deepEqual(await readdir(folder.rules), ["a.yaml"]);
});

Deno.test("check: tests are checked, with positions; test files are not rules", async () => {
  await using folder = await rulesFolder({
    "pay.yaml": RULE + FAILS.replace("  - name", "tests:\n  - name").replace("POST https", "PST https"),
    "pay.test.ts": IN_TYPESCRIPT,
  });
  const right = await whenthen(["check", folder.rules]);
  assert.equal(right.code, 0, right.stdout);
  assert.match(right.stdout, /^1 rule, 0 problems$/m);
  await folder.write("pay.yaml", RULE + PASSES.replace("steps: [pay, log]", "steps: [pai]"));
  const wrong = await whenthen(["check", folder.rules]);
  assert.equal(wrong.code, 2, wrong.stdout);
  assert.match(wrong.stdout, /^pay\.yaml:12:\d+: the rule has no step "pai"\n.*\n +\^\^\^\n {4}did you mean "pay"\?$/m);
});
