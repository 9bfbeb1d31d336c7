import assert from "node:assert/strict";
import type { JsonObject } from "../../runtime/model/json.ts";
import type { Seen } from "../../runtime/model/test.ts";
import { findMismatches } from "../../runtime/language/expectation.ts";

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
  assert.throws(() => mismatches({ stepz: [] }), /no part "stepz"; known here: run, runs, verdict/);
});
