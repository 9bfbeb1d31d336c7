import assert from "node:assert/strict";
import { check, underlined } from "./check_support.ts";

const RULE = `when:
  - { event: order.* }
  - { cron: "0 8 * * *", name: morning }
  - { webhook: /stripe, auth: stripe, secret: STRIPE }
config:
  limit: 100
then:
  - id: pay
    http: POST https://pay.example.org/
  - if: event.data.amount > config.limit
    then: [{ id: tell, run: [./tell.sh] }]
`;

function found(tests: string, rule = RULE) {
  const text = rule + tests;
  const { testProblems } = check(text);
  return underlined(text, testProblems);
}

Deno.test("a test is read with its defaults, each entry with its position", () => {
  const { rule, tests, testProblems } = check(`${RULE}tests:
  - name: pays
    now: 2027-03-01
    people: { finance: [anna] }
    config: { limit: 5 }
    stub: { http: { status: 200 }, tell: [{ stdout: a }, { error: gone }] }
    do:
      - send: { type: order.paid, data: { amount: 7 } }
      - advance: 2d
      - advance: 2027-03-05T10:00+01:00
      - skip: pay
      - expect: { run: succeeded, steps: [pay, if/then/tell], calls: [{ http: POST https://pay.example.org/ }] }
        exact: true
`);
  assert.ok(rule);
  assert.deepEqual(testProblems, []);
  const [{ do: entries, at, ...world }] = tests;
  assert.deepEqual(world, {
    name: "pays",
    now: Date.parse("2027-03-01T00:00:00Z"),
    people: { finance: ["anna"] },
    config: { limit: 5 },
    secrets: {},
    env: {},
    stub: { http: { status: 200 }, tell: [{ stdout: "a" }, { error: "gone" }] },
  });
  assert.deepEqual([at.line, at.column], [13, 5]);
  assert.deepEqual(entries.map(({ kind, at, args }) => [kind, at.line, at.column, args]), [
    ["send", 19, 9, { send: { type: "order.paid", data: { amount: 7 } } }],
    ["advance", 20, 9, { advance: { by: 172_800_000 } }],
    ["advance", 21, 9, { advance: { to: Date.parse("2027-03-05T09:00:00Z") } }],
    ["skip", 22, 9, { skip: "pay" }],
    ["expect", 23, 9, {
      expect: {
        run: "succeeded",
        steps: ["pay", "if/then/tell"],
        calls: [{ http: "POST https://pay.example.org/" }],
      },
      exact: true,
    }],
  ]);
});

Deno.test("a mistake in a test has its position and a remedy, and the rule still loads", () => {
  const { rule } = check(`${RULE}tests: yes`);
  assert.ok(rule);
  assert.deepEqual(found("tests: yes"), [
    ["yes", 'expected a list of tests, got "yes"', "write each test on a line that begins with - name:"],
  ]);
  assert.deepEqual(
    found(`tests:
  - name: a
    do:
      - snd: { type: x }
      - send: { typ: x }
      - send: { trigger: evening }
      - advance: two days
      - expect: { run: done }
      - expect: { steps: [pai, tell] }
      - answer: pay
      - webhook: /stripe
  - name: a
    config: { limit: many, limt: 5 }
    stub: { htp: {}, tell: [{ stdot: a }, b], http: { body: null } }
    now: noon
    do: []
  - nme: b
    do:
`),
    [
      [
        "snd",
        'expected one of "send", "advance", "answer", "start", "config", "skip", "look", "device", "expect", got "snd"',
        'did you mean "send"?',
      ],
      ["typ", 'unknown key "typ"', 'did you mean "type"?'],
      ["evening", 'the rule has no trigger "evening"', 'there are: "event order.*", "morning", "webhook /stripe"'],
      ["two days", 'expected a duration such as 2d, or a time such as 2027-01-04T09:00:00Z, got "two days"'],
      [
        "done",
        'expected one of "queued", "running", "waiting", "succeeded", "failed", "cancelled", "none", got "done"',
        'did you mean "none"?',
      ],
      ["pai", 'the rule has no step "pai"', 'did you mean "pay"?'],
      ["pay", 'the rule has no form "pay"', "there are: none"],
      ["webhook", "a request goes under send", "write - send: { webhook: /path, json: … }"],
      ["a", 'the test "a" is here twice', "give one of the two another name"],
      ["many", 'expected a number, got "many"'],
      ["limt", 'unknown key "limt"', "did you mean limit?"],
      ["htp", 'the rule has no step "htp"', 'did you mean "http"?'],
      ["stdot", 'unknown key "stdot"', 'did you mean "stdout"?'],
      ["b", 'expected a result of run, got "b"', "as in { code: … }"],
      ["noon", 'expected a time such as 2027-01-04T09:00:00Z, got "noon"'],
      [
        "[",
        "expected a list of entries, got an empty list",
        "write each entry on a line that begins with -, as in - send: { type: … }",
      ],
      ["nme", 'unknown key "nme"', 'did you mean "name"?'],
      ["do", '"do" has no value', "give it a value or remove it; a value that starts with # must be in quotes"],
    ],
  );
});

Deno.test("steps of called actions and of TypeScript cannot be known, so any name is taken", () => {
  const calls = `when: { event: a }\nthen:\n  - call: ./lib/tell.yaml\n`;
  assert.deepEqual(found(`tests: [{ name: a, stub: { post: {} }, do: [{ expect: { steps: [post] } }] }]`, calls), []);
});
