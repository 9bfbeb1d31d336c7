import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { command } from "./command.ts";
import { rulesFolder } from "./folder.ts";
import { WebServer } from "./web_server.ts";

/** Twelve mistakes in six files, each with its position and a word of its remedy. */
const FILES = {
  "a.yaml": `when:
  crn: "0 8 * * *"
then:
  - log: a
  - lgo: b
`,
  "b.yaml": `when: { webhook: /b, auth: none }
if: event.data.x > confg.limit
then:
  - id: one
    log: a
  - id: one
    log: b
`,
  "c.yaml": `when: { cron: "0 0 31 2 *" }
then:
  - log: a
    retry: often
  - http: GET https://example.org
    query: #deals
`,
  "d.yaml": `when: { webhook: /d, auth: github }
then:
  - run: "echo \${{ event.data.name }}"
  - call: ./missing.ts#read
`,
  "e.ts": `import { cron, rule } from "whenthen";

export default rule({
  when: cron("0 8 * * *"),
  mode: "sometimes",
  then: async () => {},
});
`,
  "f/g.yaml": `when: { event: order.created }
if: !event.data.paid
then:
  - log: a
`,
};

const EXPECTED: [place: string, text: RegExp][] = [
  ["a.yaml:2:3", /"crn".*|cron/],
  ["a.yaml:5:5", /"lgo"|log/],
  ["b.yaml:2:20", /confg|config/],
  ["b.yaml:6:9", /one/],
  ["c.yaml:1:", /never/],
  ["c.yaml:4:12", /retry|often/],
  ["c.yaml:6:12", /comment/],
  ["d.yaml:1:", /secret/],
  ["d.yaml:3:", /argument|env|stdin/],
  ["d.yaml:4:11", /missing\.ts/],
  ["e.ts:5:9", /mode|sometimes/],
  ["f/g.yaml:2:5", /tag|quote/],
];

Deno.test("twelve mistakes in six files are twelve problems, each at its position with a remedy", async () => {
  await using folder = await rulesFolder(FILES);
  const text = await command("check", folder.rules);
  assert.notEqual(text.code, 0);
  for (const [place, words] of EXPECTED) {
    const line = text.stdout.split("\n").find((line) => line.startsWith(place));
    assert.ok(line, `a problem at ${place} in:\n${text.stdout}${text.stderr}`);
    const block = text.stdout.slice(text.stdout.indexOf(line)).split("\n").slice(0, 4).join("\n");
    assert.match(block, words);
    assert.match(block, /^ +\^/m, `a caret below ${place}`);
  }
  const json = await command("check", folder.rules, "--json");
  assert.equal(json.code, text.code);
  const { problems } = JSON.parse(json.stdout);
  assert.equal(problems.length, 12, text.stdout);
  for (const { hint, message } of problems) assert.ok(hint ?? /expected /.test(message), `a remedy for: ${message}`);
});

Deno.test("a correct folder has no problems and shows when its crons fire", async () => {
  await using folder = await rulesFolder({
    "ok.yaml": `when: { cron: "30 8 * * 1-5", timezone: Europe/Berlin }\nthen:\n  - log: good morning\n`,
  });
  const { code, stdout } = await command("check", folder.rules);
  assert.equal(code, 0, stdout);
  assert.equal(stdout.match(/\d{4}-\d\d-\d\d.\d\d:\d\d/g)?.length, 5, stdout);
});

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
  const { code, stdout, stderr } = await command("test", folder.rules, "--data", folder.data);
  assert.equal(code, 0, stdout + stderr);
  assert.match(stdout, /^shop\/pay\.yaml\n {2}✓ pays within six days {2}\S+\nshop\/pay\.test\.ts\n {2}✓ pays {2}\S+\n/);
  assert.match(stdout, /\n2 tests passed, 0 failed\n$/);
  assert.equal(stderr, "");
  const left = await readdir(folder.data).catch(() => []);
  assert.deepEqual(left.filter((name) => name !== "cache"), []);
});

Deno.test("test: one fails; exit 1, with position and diff", async () => {
  await using folder = await rulesFolder({ "pay.yaml": RULE + PASSES + FAILS });
  const { code, stdout } = await command("test", folder.rules);
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
  const { code, stdout } = await command("test", folder.rules);
  assert.equal(code, 2, stdout);
  assert.match(stdout, /✓ pays within six days/);
  assert.match(stdout, /^bad\.yaml:1:9: expected one of .*\n {4}when: \{ crn: x \}\n {12}\^\^\^\n/m);
  assert.match(stdout, /^pay\.yaml:16:9: expected one of "send", .* got "snd"\n(.*\n){2} {4}did you mean "send"\?$/m);
  assert.match(stdout, /\n1 test passed, 0 failed, 2 problems\n$/);
});

Deno.test("test --json: results, failures and problems as data", async () => {
  await using folder = await rulesFolder({ "pay.yaml": RULE + PASSES + FAILS });
  const { code, stdout } = await command("test", folder.rules, "--json");
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
  const { code, stdout } = await command("test", folder.rules);
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
  const right = await command("check", folder.rules);
  assert.equal(right.code, 0, right.stdout);
  assert.match(right.stdout, /^1 rule, 0 problems$/m);
  await folder.write("pay.yaml", RULE + PASSES.replace("steps: [pay, log]", "steps: [pai]"));
  const wrong = await command("check", folder.rules);
  assert.equal(wrong.code, 2, wrong.stdout);
  assert.match(wrong.stdout, /^pay\.yaml:12:\d+: the rule has no step "pai"\n.*\n +\^\^\^\n {4}did you mean "pay"\?$/m);
});
