import assert from "node:assert/strict";
import { fields, readFields } from "../../runtime/language/fields/fields.ts";
import { parseWith } from "../../runtime/language/checker/sentences.ts";

Deno.test("a plain value is short for a field with that default", () => {
  const { fields, problems } = readFields({ a: 85, b: "hi", c: true, d: [1] });
  assert.deepEqual(problems, []);
  assert.deepEqual(fields, {
    a: { type: "number", required: true, default: 85 },
    b: { type: "text", required: true, default: "hi" },
    c: { type: "boolean", required: true, default: true },
    d: { type: "list", required: true, default: [1] },
  });
});

Deno.test("the long form is read, its default checked", () => {
  const { fields, problems } = readFields({
    a: { type: "choice", choices: ["x", "y"], default: "y", title: "A" },
    b: { type: "text", required: false, lines: 5 },
  });
  assert.deepEqual(problems, []);
  assert.deepEqual(fields, {
    a: { type: "choice", choices: ["x", "y"], default: "y", title: "A", required: true },
    b: { type: "text", required: false, lines: 5 },
  });
});

const bad: [string, unknown, (string | number)[], RegExp, RegExp?][] = [
  [
    "a type that does not exist",
    { a: { type: "nmber" } },
    ["a", "type"],
    /^expected one of "text".*got "nmber"$/,
    /"number"/,
  ],
  ["a choice without choices", { a: { type: "choice" } }, ["a", "type"], /needs its choices/, /choices: \[a, b\]/],
  [
    "a default that is not valid",
    { a: { type: "number", default: "x" } },
    ["a", "default"],
    /the default is not valid: expected a number/,
  ],
  ["a key misspelt", { a: { type: "text", titel: "x" } }, ["a", "titel"], /unknown key "titel"/, /"title"/],
  ["nothing after the name", { a: null }, ["a"], /has no value/, /a: 85/],
  ["a name with a dash", { "a-b": 1 }, ["a-b"], /is not a valid field name/, /minus/],
  [
    "a type in place of a default",
    { a: "text" },
    ["a"],
    /would be a text with the default "text"/,
    /\{ type: text \}/,
  ],
];

for (const [name, raw, path, message, hint] of bad) {
  Deno.test(`${name} is a problem at ${path.join(".")}`, () => {
    const { problems } = readFields(raw);
    assert.equal(problems.length, 1, JSON.stringify(problems));
    assert.deepEqual(problems[0].path, path);
    assert.match(problems[0].message, message);
    if (hint) assert.match(problems[0].hint ?? "", hint);
  });
}

Deno.test("a list as the field of a form means choices, and is a problem that says how to write them", () => {
  assert.deepEqual(parseWith(fields(), { decision: ["yes", "no"], note: { type: "text" } }).problems, [{
    path: ["decision"],
    part: "value",
    message: 'decision: ["yes","no"] would be a list with that default',
    hint: 'write decision: { type: choice, choices: ["yes","no"] }, or { type: list, default: ["yes","no"] }',
  }]);
});
