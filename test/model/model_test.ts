import fc from "fast-check";
import assert from "node:assert/strict";
import { formatDuration, parseDuration, parseRate } from "../../runtime/model/duration.ts";
import { recordError } from "../../runtime/model/errors.ts";
import { newId } from "../../runtime/model/id.ts";
import type { Json, JsonObject } from "../../runtime/model/json.ts";
import { applyMergePatch, composePatches, mergePatchOf, takeOver } from "../../runtime/model/merge_patch.ts";
import { formatProblem } from "../../runtime/model/problem.ts";
import { reviveThrown } from "../../runtime/workers/thread_messages.ts";

Deno.test("parseDuration() reads short and ISO 8601 durations as milliseconds", () => {
  const cases = { "250ms": 250, "30s": 30_000, "5m": 300_000, "2h": 7_200_000, "3d": 259_200_000, "1.5s": 1_500 };
  for (const [text, ms] of Object.entries(cases)) assert.equal(parseDuration(text), ms, text);
  const iso = { PT1M: 60_000, P1DT12H: 129_600_000, P2W: 1_209_600_000, "PT0.5S": 500 };
  for (const [text, ms] of Object.entries(iso)) assert.equal(parseDuration(text), ms, text);
});

Deno.test("parseDuration() refuses durations without a fixed length or a unit", () => {
  for (const text of ["", "5", "5 m", "m", "-5m", "P1M", "P1Y", "P", "PT", "1h30m x"]) {
    assert.equal(parseDuration(text), undefined, text);
  }
});

Deno.test("formatDuration() writes readable durations", () => {
  const cases: [number, string][] = [[0, "0ms"], [40, "40ms"], [2_500, "2.5s"], [90_000, "1m30s"], [
    5_400_000,
    "1h30m",
  ]];
  for (const [ms, text] of cases) assert.equal(formatDuration(ms), text);
});

Deno.test("formatDuration() of whole units parses back to the same duration", () => {
  const units = fc.constantFrom(1_000, 60_000, 3_600_000, 86_400_000);
  fc.assert(fc.property(units, fc.integer({ min: 1, max: 20 }), (unit, count) => {
    const text = formatDuration(unit * count);
    const parts = text.match(/\d+(?:\.\d+)?(?:ms|[smhd])/g)!;
    assert.equal(parts.reduce((sum, part) => sum + parseDuration(part)!, 0), unit * count);
  }));
});

Deno.test("parseRate() reads a count per unit of time", () => {
  assert.deepEqual(parseRate("100/m"), { count: 100, per: 60_000 });
  assert.deepEqual(parseRate("10/s"), { count: 10, per: 1_000 });
  for (const text of ["0/m", "10", "10/min", "/s", "1.5/s"]) assert.equal(parseRate(text), undefined, text);
});

Deno.test("stack frames of rule code are recorded, those of the program are not", () => {
  assert.deepEqual(recordError(new TypeError("no")), { name: "TypeError", message: "no" });
  const stack = "TypeError: no\n    at then (a.ts:3:9)";
  const thrown = reviveThrown({ name: "TypeError", message: "no", stack });
  assert.deepEqual(recordError(thrown), { name: "TypeError", message: "no", stack });
});

Deno.test("newId() sorts by time, even within a millisecond and after a clock rollback", () => {
  const now = Date.UTC(2026, 10, 21);
  const ids = [now, now, now, now - 5_000, now + 1].map((time) => newId(time));
  assert.deepEqual(ids, ids.toSorted());
  assert.equal(new Set(ids).size, ids.length);
  for (const id of ids) assert.match(id, /^[0-9a-hjkmnp-tv-z]{20}$/);
});

Deno.test("newId() keeps increasing beyond the ids of one millisecond", () => {
  const ids = Array.from({ length: 40_000 }, () => newId(Date.UTC(2026, 10, 21)));
  assert.ok(ids.every((id, index) => index === 0 || ids[index - 1] < id));
});

/** Target, patch and result of the appendix of RFC 7396. */
const CASES: [Json, Json, Json][] = [
  [{ a: "b" }, { a: "c" }, { a: "c" }],
  [{ a: "b" }, { b: "c" }, { a: "b", b: "c" }],
  [{ a: "b" }, { a: null }, {}],
  [{ a: "b", b: "c" }, { a: null }, { b: "c" }],
  [{ a: ["b"] }, { a: "c" }, { a: "c" }],
  [{ a: "c" }, { a: ["b"] }, { a: ["b"] }],
  [{ a: { b: "c" } }, { a: { b: "d", c: null } }, { a: { b: "d" } }],
  [{ a: [{ b: "c" }] }, { a: [1] }, { a: [1] }],
  [["a", "b"], ["c", "d"], ["c", "d"]],
  [{ a: "b" }, ["c"], ["c"]],
  [{ a: "foo" }, null, null],
  [{ a: "foo" }, "bar", "bar"],
  [{ e: null }, { a: 1 }, { e: null, a: 1 }],
  [[1, 2], { a: "b", c: null }, { a: "b" }],
  [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
];

Deno.test("merge patches are applied as in the appendix of RFC 7396, and change nothing in place", () => {
  for (const [target, patch, result] of CASES) {
    const before = JSON.stringify([target, patch]);
    assert.deepEqual(applyMergePatch(target, patch), result, before);
    assert.equal(JSON.stringify([target, patch]), before);
  }
});

Deno.test("a patch from one object to another makes the other, and is empty if they are the same", () => {
  const key = fc.constantFrom("a", "b", "c", "__proto__");
  const { value } = fc.letrec<{ value: Json }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 3 },
      fc.constantFrom<Json>(1, 2, "x", true, []),
      fc.array(fc.constantFrom<Json>(1, "x")),
      fc.dictionary(key, tie("value"), { maxKeys: 3, noNullPrototype: true }),
    ),
  }));
  const object = fc.dictionary(key, value, { noNullPrototype: true }) as fc.Arbitrary<JsonObject>;
  fc.assert(fc.property(object, object, (from, to) => {
    const patch = mergePatchOf(from, to);
    assert.deepEqual(applyMergePatch(from, patch), to);
    assert.equal(Object.keys(mergePatchOf(from, from)).length, 0);
  }));
});

Deno.test("only what differs is in a patch, at any depth", () => {
  const from = { name: "a", tags: [1], due: { on: "x", at: 1 }, gone: 1, none: null };
  const to = { name: "a", tags: [1, 2], due: { on: "x", at: 2 }, none: null };
  assert.deepEqual(mergePatchOf(from, to), { gone: null, tags: [1, 2], due: { at: 2 } });
});

Deno.test("composed patches do what both do, and keep what they remove", () => {
  const [first, second] = [{ a: null, b: { c: 1, d: null } }, { b: { c: 2 }, e: null }];
  assert.deepEqual(composePatches(first, second), { a: null, b: { c: 2, d: null }, e: null });
  assert.deepEqual(composePatches({}, { a: null }), { a: null });
});

Deno.test("only what was sent is taken over from an answer, as the answer has it", () => {
  const item = { name: "a", due: { on: "x", at: 1 }, gone: 1 };
  const sent = { name: "b", due: { on: "y" }, gone: null };
  const answer = { name: "B", due: { on: "Y", at: 9 }, other: 1 };
  assert.deepEqual(takeOver(item, sent, answer), { name: "B", due: { on: "Y", at: 1 } });
});

Deno.test("formatProblem() shows position, line, caret and remedy", () => {
  const text = formatProblem({
    severity: "error",
    file: "ops/disk.yaml",
    at: { line: 3, column: 5, length: 3 },
    message: 'expected one of "cron", "poll", got "crn"',
    hint: 'did you mean "cron"?',
    sourceLine: "  - crn: 5m",
  });
  assert.equal(
    text,
    [
      'ops/disk.yaml:3:5: expected one of "cron", "poll", got "crn"',
      "      - crn: 5m",
      "        ^^^",
      '    did you mean "cron"?',
    ].join("\n"),
  );
});

Deno.test("formatProblem() keeps the caret within the line and below tabs", () => {
  const problem = { severity: "warning", file: "a.yaml", message: "m", sourceLine: "\tx" } as const;
  const text = formatProblem({ ...problem, at: { line: 1, column: 2, length: 99 } });
  assert.equal(text, "a.yaml:1:2: warning: m\n     x\n     ^");
});

Deno.test("formatProblem() escapes control characters in names and data, so that they add no lines", () => {
  const text = formatProblem({
    severity: "error",
    file: "a\n08:00:00 forged.yaml",
    at: { line: 1, column: 3 },
    message: 'got "x\r\n\u001b[2J\u2028y"',
    hint: "one\ntwo\u202e",
    sourceLine: "a\u001bb",
  });
  assert.deepEqual(text.split("\n"), [
    'a\\n08:00:00 forged.yaml:1:3: got "x\\r\\n\\u001b[2J\\u2028y"',
    "    a�b",
    "      ^",
    "    one",
    "    two\\u202e",
  ]);
});
