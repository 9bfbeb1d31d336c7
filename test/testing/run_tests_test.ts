import assert from "node:assert/strict";
import { mismatches, outcomes, simulate } from "./simulating.ts";

const REFUND = `when: { event: refund.requested }
if: event.data.amount > config.limit
config: { limit: 100 }
then:
  - id: pay
    http: POST https://pay.example.org/refunds/\${{ event.data.id }}
    json: { amount: "\${{ event.data.amount }}" }
    headers: { authorization: "Bearer \${{ secrets.TOKEN }}" }
  - log: paid \${{ steps.pay.body.n }} in \${{ env.TOWN }}
`;

Deno.test("a test executes the real rule, with stubs for the outside only", async () => {
  const report = await simulate({
    "refund.yaml": `${REFUND}tests:
  - name: pays
    stub: { pay: { body: { n: 7 } } }
    secrets: { TOKEN: open sesame }
    env: { TOWN: Kiel }
    do:
      - send: { type: refund.requested, data: { amount: 250, id: A1 } }
      - expect:
          run: succeeded
          verdict: started
          steps: [pay, log]
          calls: [{ http: POST https://pay.example.org/refunds/A1, json: { amount: 250 }, headers: { authorization: Bearer open sesame } }]
          logs: [paid 7 in Kiel]
        exact: true
  - name: refuses
    do:
      - send: { type: refund.requested, data: { amount: 50 } }
      - expect: { verdict: condition, clause: event.data.amount > config.limit, run: none }
  - name: has a config of its own
    config: { limit: 1000 }
    do:
      - send: { type: refund.requested, data: { amount: 250 } }
      - expect: { verdict: condition, runs: [], calls: [] }
        exact: true
  - name: is not told
    do:
      - send: { type: something.else }
      - expect: { verdict: unmatched }
`,
  });
  assert.deepEqual(report.problems, []);
  assert.deepEqual(outcomes(report), ["pays", "refuses", "has a config of its own", "is not told"]);
});

Deno.test("a failure has its position, and both expected and actual values", async () => {
  const report = await simulate({
    "a/refund.yaml": `${REFUND}tests:
  - name: pays
    stub: { http: { status: 404, body: nobody } }
    do:
      - send: { type: refund.requested, data: { amount: 250, id: A1 } }
      - expect: { verdict: started }
      - expect: { run: succeeded, steps: [pay], calls: [{ json: { amount: 25 } }] }
      - expect: { run: waiting }
`,
  });
  const [{ rule, file, at, name, failure }] = report.results;
  assert.deepEqual([rule, file, name, at], ["a/refund", "a/refund.yaml", "pays", { line: 11, column: 5 }]);
  assert.deepEqual([failure!.file, failure!.at], ["a/refund.yaml", { line: 16, column: 9 }]);
  assert.deepEqual(mismatches(report.results[0]), {
    run: { expected: "succeeded", seen: "failed" },
    steps: { expected: ["pay"], seen: [] },
    calls: {
      expected: [{ json: { amount: 25 } }],
      seen: [{ http: "POST https://pay.example.org/refunds/A1", json: { amount: 250 } }],
    },
  });
  assert.deepEqual(failure!.notes, [
    "the run failed: POST https://pay.example.org/refunds/A1 answered 404: nobody",
  ]);
});

Deno.test("of many failed steps the first ones are shown", async () => {
  const report = await simulate({
    "a.yaml": `when: { event: a }
then:
  - each: "[1, 2, 3, 4, 5, 6, 7]"
    onError: continue
    then: [{ http: https://example.org/, retry: 1 }]
tests:
  - { name: all, stub: { http: { status: 500 } }, do: [{ send: { type: a } }, { expect: { run: failed } }] }
`,
  });
  const { notes } = report.results[0].failure!;
  assert.equal(notes.length, 6);
  assert.deepEqual([notes[0], notes[5]], [
    'step "each[0]/http" failed: GET https://example.org/ answered 500',
    "2 more steps failed",
  ]);
});

Deno.test("tests share no state", async () => {
  const test = (name: string) => `
  - name: ${name}
    do:
      - send: { type: a, id: same }
      - expect: { verdict: started, output: null, state: { seen: 1 }, steps: { state: { output: null } }, logs: [one] }
        exact: true
`;
  const report = await simulate({
    "a.yaml": `when: { event: a }
then:
  - { state: seen, value: 1 }
  - log: one
tests: ${test("first")}${test("second")}`,
  });
  assert.deepEqual(outcomes(report), ["first", "second"]);
});

Deno.test("a rule that does not load is a problem, and the tests of all others run", async () => {
  const report = await simulate({
    "bad.yaml": "when: { crn: x }\nthen: [{ log: a }]\ntests: [{ name: never, do: [{ advance: 1s }] }]\n",
    "half.yaml": `when: { event: a }
then: [{ log: a }]
tests:
  - { name: typo, do: [{ advnce: 1s }] }
  - { name: fine, do: [{ advance: 1s }] }
`,
  });
  assert.deepEqual(report.problems.map(({ file, at }) => `${file}:${at.line}`), ["bad.yaml:1", "half.yaml:4"]);
  assert.deepEqual(outcomes(report), ["fine"]);
});

Deno.test("config of an operator applies only to values without a default; a disabled rule is tested, too", async () => {
  const report = await simulate({
    "a.yaml": `when: { event: a }
config: { greeting: { type: text }, name: Anna }
then: [{ log: "\${{ config.greeting }} \${{ config.name }}" }]
tests:
  - name: greets
    do: [{ send: { type: a } }, { expect: { logs: [hello Anna] } }]
`,
    "config.yaml": "a: { enabled: false, greeting: hello, name: Ben }\n",
  });
  assert.deepEqual(outcomes(report), ["greets"]);
});

Deno.test("config of a test applies to when, too; if the rule does not load with it, the test fails", async () => {
  const report = await simulate({
    "a.yaml": `when: { cron: "\${{ config.at }}" }
config: { at: "0 8 * * *" }
then: [{ log: morning }]
tests:
  - name: at noon
    now: 2027-03-01T11:00:00Z
    config: { at: "0 12 * * *" }
    do: [{ advance: 59m }, { expect: { run: none } }, { advance: 1m }, { expect: { logs: [morning] } }]
  - name: never
    config: { at: "0 0 31 2 *" }
    do: [{ advance: 1h }]
`,
  });
  const [noon, never] = outcomes(report);
  assert.equal(noon, "at noon");
  assert.match(never, /^never: The rule does not load with the config .*\na\.yaml:1:15: .*never fires/);
});
