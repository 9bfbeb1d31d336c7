import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readSet } from "../../runtime/folder/settings/config_layers.ts";
import { outcomes, simulate } from "./simulating.ts";

const PEOPLE = { "whenthen.yaml": "people: { anna: { groups: [ops] }, ben: {} }\n" };

const RULE = `when: { event: paid }
then:
  - wait: 1h
  - log: limit \${{ config.limit }}
editors: ops
config:
  limit: { type: integer, default: 1, max: 10 }
  mail: { type: email, required: false, requires: [subject] }
  subject: { type: text, required: false }
`;

Deno.test("a test sets config as a person: for later runs, while earlier ones keep theirs; who may not, and what does not fit, is refused", async () => {
  const report = await simulate({
    ...PEOPLE,
    "pay.yaml": `${RULE}tests:
  - name: set
    do:
      - send: { type: paid }
      - config: { as: anna, set: { limit: 5 } }
      - send: { type: paid }
      - advance: 1h
      - expect: { runs: [succeeded, succeeded], logs: [limit 1, limit 5] }
      - config: { set: { limit: null } }
      - send: { type: paid }
      - advance: 1h
      - expect: { logs: [limit 1, limit 5, limit 1] }
  - name: refused
    config: { limit: 2 }
    do:
      - config: { as: ben, set: { limit: 5 } }
        refused: forbidden
      - config: { as: anna, set: { limit: 50 } }
        refused: invalid
      - config: { as: anna, set: { mail: a@example.org } }
        refused: invalid
      - config: { as: anna, set: { lmit: 5 } }
        refused: invalid
      - send: { type: paid }
      - advance: 1h
      - expect: { logs: [limit 2] }
  - name: not as expected
    do:
      - config: { as: ben, set: { limit: 5 } }
`,
  });
  assert.deepEqual(report.problems, []);
  assert.deepEqual(outcomes(report), [
    "set",
    "refused",
    "not as expected: The config set by ben was refused: forbidden",
  ]);
});

Deno.test("a TypeScript test sets config", async () => {
  const report = await simulate({
    ...PEOPLE,
    "pay.yaml": RULE,
    "pay.test.ts": `import { testRule } from "whenthen";
testRule("pay", "set", async (t) => {
  await t.config({ as: "anna", set: { limit: 5 } });
  await t.config({ as: "ben", set: { limit: 6 }, refused: "forbidden" });
  await t.send({ type: "paid" });
  await t.advance("1h");
  t.expect({ logs: ["limit 5"] });
});
`,
  });
  assert.deepEqual([report.problems, outcomes(report)], [[], ["set"]]);
});

Deno.test("config of the files does not reach tests, but that of --set does, below the test's own", async () => {
  const report = await simulate({
    ...PEOPLE,
    "config.yaml": "pay: { limit: 3 }\n",
    "pay.yaml": `${RULE}tests:
  - name: of --set
    do:
      - send: { type: paid }
      - advance: 1h
      - expect: { logs: [limit 4] }
  - name: own
    config: { limit: 2 }
    do:
      - send: { type: paid }
      - advance: 1h
      - expect: { logs: [limit 2] }
`,
  }, { set: [readSet("pay.limit=4")!] });
  assert.deepEqual(outcomes(report), ["of --set", "own"]);
});

Deno.test("a request goes to a host of the config field that decides it, whatever the event adds; a person cannot set another host", async () => {
  const report = await simulate({
    ...PEOPLE,
    "tell.yaml": `when: { event: told }
then:
  - http: POST \${{ config.url }}\${{ event.data.more }}/x
    auth: { bearer: "\${{ secrets.TELL_KEY }}" }
editors: ops
config:
  url: { type: url, hosts: [a.example, b.example], default: https://a.example }
tests:
  - name: hosts
    stub: { http: { status: 200 } }
    do:
      - send: { type: told, data: { more: "" } }
      - expect: { run: succeeded, calls: [{ http: POST https://a.example/x }] }
      - send: { type: told, data: { more: .evil.example } }
      - expect: { run: failed }
      - config: { as: anna, set: { url: "https://evil.example" } }
        refused: invalid
      - config: { as: anna, set: { url: "https://b.example" } }
      - send: { type: told, data: { more: "" } }
      - expect: { run: succeeded, calls: [{ http: POST https://b.example/x }] }
`,
  });
  assert.deepEqual([report.problems.filter(({ severity }) => severity === "error"), outcomes(report)], [[], ["hosts"]]);
});

const ANNA = { "whenthen.yaml": "people: { anna: { groups: [ops] } }\n" };

const KEYS = `inputs:
  bits: { type: choice, choices: [2048, 4096], default: 2048 }
  out: { type: path }
  quiet: { type: boolean, required: false, conflicts: [verbose] }
  verbose: { type: boolean, required: false }
when:
  - manual: true
    to: ops
  - cron: "0 3 1 * *"
    inputs: { bits: 4096, out: "\${{ event.data.scheduled.substring(0, 7) }}.pem" }
then:
  - log: \${{ inputs.bits }} bits in \${{ inputs.out }} for \${{ default(event.by, 'nobody') }}
`;

Deno.test("a test starts a rule as a person, with inputs; who may not, and what does not fit, is refused", async () => {
  const report = await simulate({
    ...ANNA,
    "keys.yaml": `${KEYS}tests:
  - name: by hand
    people: { ops: [anna] }
    do:
      - start: { as: anna, inputs: { out: key.pem } }
      - expect: { run: succeeded, logs: [2048 bits in key.pem for anna] }
      - start: { as: anna, inputs: { out: two.pem }, id: once }
      - start: { as: anna, inputs: { out: two.pem }, id: once }
      - expect: { runs: [succeeded, succeeded] }
        exact: true
  - name: refused
    people: { ops: [anna], others: [ben] }
    do:
      - start: { as: ben, inputs: { out: key.pem } }
        refused: forbidden
      - start: { as: anna, inputs: { out: ../key.pem } }
        refused: invalid
      - start: { as: anna, inputs: { out: key.pem, quiet: true, verbose: true } }
        refused: invalid
      - expect: { run: none }
  - name: a cron carries values
    do:
      - advance: 2027-02-01T04:00:00Z
      - expect: { run: succeeded, logs: [4096 bits in 2027-02.pem for nobody] }
`,
  });
  assert.deepEqual(report.problems, []);
  assert.deepEqual(outcomes(report), ["by hand", "refused", "a cron carries values"]);
});

Deno.test("a start that was not refused as expected fails the test, and says why", async () => {
  const report = await simulate({
    ...ANNA,
    "keys.yaml": `${KEYS}tests:
  - name: taken
    people: { ops: [anna] }
    do:
      - start: { as: anna, inputs: { out: key.pem } }
        refused: forbidden
  - name: not taken
    do:
      - start: { inputs: { bits: 1 } }
`,
  });
  assert.deepEqual(report.problems, []);
  assert.deepEqual(report.results.map(({ failure }) => failure?.message), [
    "The start by anna was accepted, not refused as forbidden",
    "The start by an operator was refused: invalid, bits: expected one of 2048, 4096, got 1; " +
    "out is missing: expected a relative path without .., such as reports/may.csv",
  ]);
});

Deno.test("values from expressions that do not fit are the verdict invalid", async () => {
  const report = await simulate({
    "keys.yaml": `inputs: { bits: { type: integer } }
when:
  webhook: /keys
  auth: none
  inputs: { bits: "\${{ event.data.bits }}" }
then: [{ reply: 200 }]
tests:
  - name: invalid
    do:
      - send: { webhook: /keys, json: { bits: abc } }
      - expect: { verdict: invalid, run: none, response: { status: 422, json: { problems: { bits: 'bits: expected a whole number, got "abc"' } } } }
`,
  });
  assert.deepEqual(report.problems, []);
  assert.deepEqual(outcomes(report), ["invalid"]);
});

Deno.test("a TypeScript rule sees its inputs, typed", async () => {
  const report = await simulate({
    ...ANNA,
    "keys.ts": `import { cron, manual, rule } from "whenthen";
export default rule({
  inputs: { bits: { type: "integer", default: 2048 }, name: { type: "text", required: false } },
  when: [manual({ to: "ops" }), cron("0 3 1 * *", { inputs: { bits: 4096 } })],
  if: ({ inputs }) => inputs.bits > 1000,
  then: async ({ inputs, step }) => {
    const name: string | null = inputs.name;
    await step.log("say", \`\${inputs.bits + 1} \${name}\`);
  },
});
`,
    "keys.test.ts": `import { testRule } from "whenthen";
import keys from "./keys.ts";
testRule(keys, "by hand", { people: { ops: ["anna"] } }, async (t) => {
  await t.start({ as: "ben", refused: "forbidden" });
  await t.start({ as: "anna", inputs: { bits: "x" }, refused: "invalid" });
  await t.start({ as: "anna", inputs: { bits: 2000, name: "k" } });
  t.expect({ run: "succeeded", logs: ["2001 k"] });
});
testRule(keys, "by cron", async (t) => {
  await t.advance("2027-02-01T04:00:00Z");
  t.expect({ run: "succeeded", logs: ["4097 null"] });
});
`,
  });
  assert.deepEqual(report.problems, []);
  assert.deepEqual(outcomes(report), ["by hand", "by cron"]);
});

Deno.test("an input that is a secret holds its name; the value is used, and recorded as an expression", async () => {
  const report = await simulate({
    "send.yaml": `inputs: { token: { type: secret, choices: [ONE, TWO] } }
when: manual
then:
  - id: send
    http: POST https://example.org/
    headers: { authorization: "Bearer \${{ secrets[inputs.token] }}" }
tests:
  - name: sends
    secrets: { ONE: first, TWO: second secret }
    stub: { send: { status: 200 } }
    do:
      - start: { inputs: { token: TWO } }
      - expect:
          calls: [{ headers: { authorization: Bearer second secret } }]
          steps: { send: { input: { headers: { authorization: "Bearer \${{ secrets[inputs.token] }}" } } } }
      - start: { inputs: { token: second secret } }
        refused: invalid
`,
  });
  assert.deepEqual(report.problems.filter(({ severity }) => severity === "error"), []);
  assert.deepEqual(outcomes(report), ["sends"]);
});

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

Deno.test("a file saved in a test has the size and hash of the stub's answer, and is not written", async () => {
  const report = await simulate({
    "a.yaml": `when: { event: a }
then:
  - { id: get, http: https://example.org/a.csv, save: a.csv }
  - { id: list, run: [./list.sh], save: "\${{ event.data.name }}" }
  - log: "\${{ steps.get.body.path }}"
tests:
  - name: saved
    stub:
      http: { headers: { content-type: text/csv }, body: "id\\n1\\n" }
      run: { stdout: "żółć", stderr: "err" }
    do:
      - send: { type: a, data: { name: list.txt } }
      - expect:
          run: succeeded
          steps:
            get: { output: { body: { name: a.csv, type: text/csv, bytes: 5, sha256: ${sha256("id\n1\n")} } } }
            list: { output: { code: 0, stdout: { name: list.txt, bytes: 8, sha256: ${
      sha256("żółć")
    } }, stderr: err, json: null } }
  - name: wrong name
    stub: { http: { body: x }, run: {} }
    do:
      - send: { type: a, data: { name: ../list.txt } }
      - expect: { run: failed }
`,
    "b.ts": `import { event, rule, type SavedFile } from "whenthen";
export default rule({ when: event("a"), then: async ({ step }) => {
  const { body } = await step.http("get", "https://example.org/", { save: "a.txt" });
  const { stdout, dropped } = await step.run("list", ["ls"], { save: "b.txt", keep: "tail" });
  const files: SavedFile[] = [body, stdout];
  await step.log("say", files.map(({ name, bytes }) => name + " " + bytes).join(", ") + " " + dropped?.stderr);
} });
`,
    "b.test.ts": `import { testRule } from "whenthen";
import b from "./b.ts";
testRule(b, "in code", { stub: { http: { body: "abc" }, run: { stdout: "de" } } }, async (t) => {
  await t.send({ type: "a" });
  t.expect({ run: "succeeded", logs: ["a.txt 3, b.txt 2 0"] });
});
`,
  });
  assert.deepEqual(report.problems, []);
  assert.deepEqual(outcomes(report).sort(), ["in code", "saved", "wrong name"]);
  assert.ok(!existsSync("/files"));
});
