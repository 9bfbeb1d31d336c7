import assert from "node:assert/strict";
import { isOfType, Part } from "../../../runtime/store/history/catalogue.ts";
import { eventLine, type Line, makePart, moreLine, runId, runLine } from "./helpers.ts";

async function partOf(...lines: Line[]): Promise<Part> {
  const { catalogue } = await makePart(lines);
  return new Part(JSON.parse(JSON.stringify(catalogue)));
}

Deno.test("a catalogue describes the content of its part", async () => {
  const part = await partOf(
    eventLine(1, 100, { type: "order.paid", subject: "anna", rules: ["a", "b"] }),
    eventLine(2, 101, { type: "order.sent", rules: [] }),
    runLine(3, 100, { rule: "a", state: "failed", subject: "anna" }),
    runLine(3, 101, { rule: "b" }),
    runLine(3, 7, { rule: "b" }),
    runLine(3, 102, { event: 50, rule: "b", listed: false }),
    moreLine(4, 100, { deliveries: 1 }),
    moreLine(4, 3, { deliveries: 1 }),
    moreLine(4, runId(100), {}),
    moreLine(4, runId(4), {}),
  );
  const { events, runs } = part.catalogue;
  assert.deepEqual(events, {
    count: 2,
    keys: [100, 101],
    types: { "order.paid": 1, "order.sent": 1 },
    rules: { a: 1, b: 1 },
    verdicts: { started: 1 },
    late: [],
  });
  assert.deepEqual([runs.count, runs.ids], [4, [runId(100), runId(101)]]);
  assert.deepEqual(runs.rules, { a: { failed: 1 }, b: { succeeded: 2 } });
  assert.deepEqual([99, 100, 101, 102].map((key) => part.mayHaveEvent(key)), [false, true, true, false]);
  assert.deepEqual([7, 100, 101, 102, 8, 99].map((nth) => part.mayHaveRun(runId(nth))), [
    true,
    true,
    true,
    true,
    false,
    false,
  ]);
  assert.deepEqual([3, 100, runId(4), runId(100)].map((id) => part.mayHaveMore(id)), [true, false, true, false]);
  assert.deepEqual(["a", "b", "c"].map((rule) => part.mayHaveRuns({ rule })), [true, true, false]);
  assert.deepEqual(["a", "b"].map((rule) => part.mayHaveRuns({ rule, state: "failed" })), [true, false]);
  assert.deepEqual([part.mayHaveRuns({ state: "cancelled" }), part.mayHaveRuns({ state: "failed" })], [false, true]);
  assert.deepEqual([7, 50, 100, 8].map((event) => part.mayHaveRuns({ event })), [true, true, true, false]);
  assert.deepEqual(["anna", "bob"].map((subject) => part.mayHaveRuns({ subject })), [true, false]);
  assert.deepEqual(["order.paid", "order"].map((type) => part.mayHaveEvents({ type })), [true, false]);
  assert.deepEqual([100, 101].map((before) => part.mayHaveEvents({ before })), [false, true]);
  const search = { types: ["order.*"], after: 100, needle: "" };
  assert.deepEqual(
    [search, { ...search, after: 101 }, { ...search, until: 100 }, { ...search, types: ["x"] }].map((each) =>
      part.mayHaveAwaited(each)
    ),
    [true, false, false, false],
  );
});

Deno.test("too many types or rules are not listed one by one, and any may be present", async () => {
  const lines = Array.from({ length: 300 }, (_, at) => [
    eventLine(1, at + 1, { type: `type-${at}`, rules: [`rule-${at}`] }),
    runLine(1, at + 1, { rule: `rule-${at}` }),
  ]).flat();
  const part = await partOf(...lines);
  const { events, runs } = part.catalogue;
  assert.deepEqual([events.types, events.rules, runs.rules], ["many", "many", "many"]);
  assert.ok(part.mayHaveRuns({ rule: "other" }) && part.mayHaveEvents({ type: "other", rule: "other" }));
  const long = await partOf(eventLine(1, 1, { type: "x".repeat(10_000) }));
  assert.equal(long.catalogue.events.types, "many");
});

Deno.test("names that objects inherit are ordinary names", async () => {
  const part = await partOf(
    eventLine(1, 1, { type: "__proto__", rules: ["constructor"] }),
    runLine(1, 1, { rule: "__proto__" }),
  );
  assert.ok(part.mayHaveEvents({ type: "__proto__", rule: "constructor" }) && part.mayHaveRuns({ rule: "__proto__" }));
  assert.ok(!part.mayHaveEvents({ type: "constructor" }) && !part.mayHaveRuns({ rule: "toString" }));
});

Deno.test("runs that began long ago have ranges of their own", async () => {
  const old = [10, 11, 12];
  const young = Array.from({ length: 40 }, (_, at) => 100_000 + at);
  const part = await partOf(eventLine(1, young[0]), ...[...young, ...old].map((nth) => runLine(2, nth)));
  const { spans } = part.catalogue.runs;
  assert.ok(spans.length <= 16);
  assert.deepEqual([spans[0][1], spans.at(-1)![0]], [runId(young.at(-1)!), runId(10)]);
  assert.ok(!part.mayHaveRuns({ before: runId(99_999) }, runId(13)), "nothing is between them");
  assert.ok(part.mayHaveRuns({ before: runId(99_999) }, runId(11)));
  assert.ok(!part.mayHaveRuns({ before: runId(10) }));
  assert.equal(part.newestRunBefore(undefined), runId(young.at(-1)!));
  assert.equal(part.newestRunBefore(runId(50_000)), runId(12));
  assert.equal(part.newestRunBefore(runId(10)), "");
});

Deno.test("a pattern stands for its types", () => {
  const cases: [string, string, boolean][] = [
    ["order.paid", "order.paid", true],
    ["order.paid", "order.*", true],
    ["order.paid.late", "order.*", true],
    ["order.paid", "*", true],
    ["order", "order.*", false],
    ["orders.paid", "order.*", false],
    ["order.paid", "order", false],
  ];
  for (const [type, pattern, expected] of cases) assert.equal(isOfType(type, pattern), expected, `${type} ${pattern}`);
});
