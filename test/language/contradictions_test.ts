import assert from "node:assert/strict";
import { readFields } from "../../runtime/language/fields/fields.ts";

type Raw = Record<string, unknown>;
const all = (fields: Raw) =>
  Object.fromEntries(Object.entries(fields).map(([name, more]) => [name, { type: "text", ...more as Raw }]));
const problemsOf = (fields: Raw, rest: Raw = {}, required = false) =>
  readFields({ ...all(fields), ...rest }, { flags: true, required }).problems.map((
    { path, message },
  ) => [path.join("."), message]);

const cases: [string, Raw, string, string][] = [
  [
    "a requires b, b requires c, and c excludes a",
    { a: { requires: ["b"] }, b: { requires: ["c"] }, c: { conflicts: ["a"] } },
    "a",
    "a can never be used: a requires b, b requires c, and c conflicts with a",
  ],
  [
    "a requires two that exclude each other",
    { a: { requires: ["b", "c"] }, b: {}, c: { conflicts: ["b"] } },
    "a",
    "a can never be used: a requires c, a requires b, and c conflicts with b",
  ],
  [
    "a cycle",
    { c: { requires: ["a"] }, b: { requires: ["c"] }, a: { requires: ["b"] }, d: { requires: ["a"] } },
    "a.requires",
    "a cycle: a requires b, b requires c, and c requires a",
  ],
  [
    "a name that does not exist",
    { "--retry": {}, "--retry-delay": { requires: ["--rety"] } },
    "--retry-delay.requires.0",
    'there is no field "--rety"',
  ],
  [
    "a choice of which nothing is left",
    { a: { requires: [{ any: ["b", "c"] }], conflicts: ["b", "c"] }, b: {}, c: {} },
    "a",
    "a can never be used: a requires b or c, and no choice of these is free of conflicts",
  ],
  [
    "one that excludes what is required",
    { a: { required: true }, b: { conflicts: ["a"] } },
    "b",
    "b can never be used: a is required and b conflicts with a",
  ],
  [
    "two that are required and exclude each other",
    { a: { required: true }, b: { required: true, conflicts: ["a"] } },
    "b",
    "the set can never be complete: b is required, a is required, and b conflicts with a",
  ],
  [
    "two defaults that exclude each other",
    { a: { default: "x" }, b: { default: "y", conflicts: ["a"] } },
    "b.default",
    "b and a have defaults, and b conflicts with a",
  ],
  ["itself", { a: { conflicts: ["a"] } }, "a.conflicts.0", "a cannot name itself"],
];

for (const [what, fields, path, message] of cases) {
  Deno.test(`at load: ${what} is a problem at ${path}`, () => assert.deepEqual(problemsOf(fields), [[path, message]]));
}

Deno.test("only the cause is a problem, not what requires it", () => {
  const fields = { top: { requires: ["a"] }, a: { requires: ["b"], conflicts: ["b"] }, b: {} };
  assert.deepEqual(problemsOf(fields), [["a", "a can never be used: a requires b and a conflicts with b"]]);
});

Deno.test("the names of a group exist, and its fields need no value each", () => {
  assert.deepEqual(problemsOf({ a: {}, b: {} }, { oneOf: [["a", "c"]] }), [["oneOf.0.1", 'there is no field "c"']]);
  assert.deepEqual(problemsOf({ a: {}, b: {} }, { oneOf: [["a", "b"]] }, true), []);
  assert.deepEqual(problemsOf({ a: { requires: ["b"] }, b: {} }, { oneOf: [["a", "b"]] }), [
    ["a", "a can never be used: a requires b and only one of a and b can be set"],
  ]);
});
