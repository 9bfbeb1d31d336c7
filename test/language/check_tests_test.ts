import assert from "node:assert/strict";
import { findMismatches } from "../../runtime/language/expectation.ts";
import type { JsonObject } from "../../runtime/model/json.ts";
import type { Seen } from "../../runtime/model/test.ts";
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
      ["evening", 'the rule has no trigger "evening"', 'known here: "event order.*", "morning", "webhook /stripe"'],
      ["two days", 'expected a duration such as 2d, or a time such as 2027-01-04T09:00:00Z, got "two days"'],
      [
        "done",
        'expected one of "queued", "running", "waiting", "succeeded", "failed", "cancelled", "none", got "done"',
        'did you mean "none"?',
      ],
      ["pai", 'the rule has no step "pai"', 'did you mean "pay"?'],
      ["pay", 'the rule has no form "pay"', "known here: none"],
      ["webhook", "a request goes under send", "write - send: { webhook: /path, json: … }"],
      ["a", 'the test "a" is here twice', "give one of the two another name"],
      ["many", 'expected a number, got "many"'],
      ["limt", 'unknown key "limt"', 'did you mean "limit"?'],
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

const step = (step: string, state: "succeeded" | "skipped" | "failed", output: number | null = null) => {
  return { step, kind: "log", state, attempts: 1, input: null, output, error: null };
};

const SEEN: Seen = {
  now: "2027-01-04T09:00:00.000Z",
  runs: ["succeeded", "waiting"],
  verdict: "started",
  clause: null,
  forms: [{ step: "approval", title: "Refund?", to: ["finance"], fields: ["decision"], until: null }],
  waits: [{ step: "approval", kind: "form", what: "form", until: null }],
  steps: [step("a", "succeeded", 1), step("check/then/b", "skipped"), step("lines[0]/save", "succeeded", 2)],
  calls: [
    { http: "https://example.org/", step: "a" },
    { http: "POST https://example.org/x", json: { n: 1, m: 2 }, step: "lines[0]/save" },
  ],
  logs: ["one line", "another line"],
  events: [],
  response: null,
  output: { n: 1, list: [1, 2] },
  error: null,
  state: { up: true },
};

const mismatches = (expected: JsonObject, exact = false) => findMismatches(expected, SEEN, exact);

Deno.test("what is not mentioned is not compared", () => {
  assert.deepEqual(
    mismatches({
      run: "waiting",
      runs: ["succeeded", "waiting"],
      form: { step: "approval" },
      waits: [{ kind: "form" }],
      steps: ["save"],
      calls: [{ http: "GET https://example.org/" }, { json: { n: 1 } }],
      logs: ["another"],
      output: { n: 1 },
      state: {},
    }),
    [],
  );
});

Deno.test("a list matches in this order with others between; an exact one is complete", () => {
  assert.deepEqual(mismatches({ steps: ["a", "save"], logs: ["one", "line"] }, true), []);
  assert.deepEqual(mismatches({ steps: ["save", "a"] }), [
    { part: "steps", expected: ["save", "a"], seen: ["a", "save"] },
  ]);
  assert.deepEqual(mismatches({ logs: ["one"] }), []);
  assert.deepEqual(mismatches({ logs: ["one"] }, true).length, 1);
  assert.deepEqual(mismatches({ output: { list: [1] } }), [
    { part: "output", expected: { list: [1] }, seen: { list: [1, 2] } },
  ]);
});

Deno.test("only the parts of the actual value that the expectation mentions are shown", () => {
  assert.deepEqual(mismatches({ calls: [{ http: "POST https://example.org/x", json: { n: 3 } }] }), [{
    part: "calls",
    expected: [{ http: "POST https://example.org/x", json: { n: 3 } }],
    seen: [{ http: "https://example.org/" }, { http: "POST https://example.org/x", json: { n: 1 } }],
  }]);
  assert.deepEqual(mismatches({ form: { to: ["cfo"] }, output: { n: 2 }, error: "gone" }), [
    { part: "form", expected: { to: ["cfo"] }, seen: { step: "approval", to: ["finance"] } },
    { part: "output", expected: { n: 2 }, seen: { n: 1 } },
    { part: "error", expected: "gone", seen: null },
  ]);
  assert.deepEqual(mismatches({ form: "none" }).length, 1);
});

Deno.test("each item of a list is shown as far as any expected item mentions it", () => {
  const wanted: JsonObject[] = [{ http: "POST https://example.org/x", json: { n: 1 } }, { json: { m: 2 } }];
  const [{ seen }] = mismatches({ calls: wanted });
  assert.deepEqual(seen, [{ http: "https://example.org/" }, { http: "POST https://example.org/x", json: { n: 1 } }]);
});

Deno.test("steps by name: their state, more about them, or that they were not reached", () => {
  assert.deepEqual(
    mismatches({ steps: { a: { state: "succeeded", output: 1 }, "check/then/b": "skipped", c: "none" } }),
    [],
  );
  assert.deepEqual(mismatches({ steps: { a: { output: 2 }, b: "none" } }), [
    { part: "steps", expected: { a: { output: 2 }, b: "none" }, seen: { a: { output: 1 }, b: "skipped" } },
  ]);
});

Deno.test("one recipient is the same as a list of one", () => {
  const seen = { ...SEEN, calls: [{ mail: "anna@example.org" }, { mail: ["ben@example.org"] }] };
  assert.deepEqual(
    findMismatches({ calls: [{ mail: ["anna@example.org"] }, { mail: "ben@example.org" }] }, seen, true),
    [],
  );
});

Deno.test("waits, forms and calls are found by the step's id, too, and times compare across zones", () => {
  const until = "2027-01-04T09:00:00.000Z";
  const step = "week/hourly[3]/ask";
  const seen = {
    ...SEEN,
    waits: [{ step, kind: "form" as const, what: "form", until }],
    forms: [{ ...SEEN.forms[0], step, until }],
    calls: [{ http: "https://example.org/", step }],
  };
  const form = { step: "ask", until: "2027-01-04T10:00:00+01:00" };
  assert.deepEqual(findMismatches({ waits: [form], form, calls: [{ step: "daily/ask" }] }, seen, true).length, 1);
  assert.deepEqual(findMismatches({ waits: [form], form, calls: [{ step: "ask" }] }, seen, true), []);
  for (const wrong of [{ ...form, step: "hourly" }, { ...form, until: "2027-01-04T09:00:01Z" }, { until: null }]) {
    const mismatches = findMismatches({ waits: [wrong], form: wrong }, seen, true);
    assert.deepEqual(mismatches.map(({ part }) => part), ["waits", "form"], JSON.stringify(wrong));
  }
  assert.deepEqual(findMismatches({ waits: [] }, seen, true), [{ part: "waits", expected: [], seen: [{ step }] }]);
});

Deno.test("waits match in any order", () => {
  const wait = (step: string) => ({ step, kind: "time" as const, what: "time", until: null });
  const seen = { ...SEEN, waits: [wait("a"), wait("b"), wait("c")] };
  assert.deepEqual(findMismatches({ waits: [{ step: "c" }, { step: "a" }] }, seen, false), []);
  assert.deepEqual(findMismatches({ waits: [{ step: "c" }, { kind: "time" }, { step: "b" }] }, seen, true), []);
  assert.deepEqual(findMismatches({ waits: [{ step: "c" }, { step: "c" }] }, seen, false), [
    { part: "waits", expected: [{ step: "c" }, { step: "c" }], seen: [{ step: "c" }, { step: "a" }, { step: "b" }] },
  ]);
});

Deno.test("an expectation about something that does not exist throws and names what exists", () => {
  assert.throws(() => mismatches({ stepz: [] }), /no part "stepz"; did you mean "steps"\?/);
});
