import assert from "node:assert/strict";
import { outcomes, simulate } from "./simulating.ts";

const PEOPLE = { "whenthen.yaml": "people: { anna: { groups: [ops] } }\n" };

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
    ...PEOPLE,
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
    ...PEOPLE,
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
    ...PEOPLE,
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
