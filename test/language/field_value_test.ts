import assert from "node:assert/strict";
import type { Field } from "../../runtime/model/rule.ts";
import { checkValue, checkValues } from "../../runtime/language/fields/field_value.ts";

const field = (type: Field["type"], more: Partial<Field> = {}): Field => ({ type, required: true, ...more });

const good: [Field, unknown][] = [
  [field("text"), ""],
  [field("number", { min: 1, max: 9 }), 9],
  [field("boolean"), false],
  [field("choice", { choices: ["a", 2] }), 2],
  [field("duration"), "5m"],
  [field("date"), "2028-02-29"],
  [field("date"), "2027-01-31T09:00:00Z"],
  [field("email"), "anna@example.org"],
  [field("url"), "https://example.org/"],
  [field("list", { max: 2 }), [1, 2]],
];

for (const [of, value] of good) {
  Deno.test(`${JSON.stringify(value)} is a valid ${of.type}`, () =>
    assert.deepEqual(checkValue(of, value as never), { value }));
}

const bad: [Field, unknown, string][] = [
  [field("text"), 5, "expected text, got 5"],
  [field("text", { min: 3 }), "ab", "expected at least 3 characters, got 2"],
  [field("number"), "5", 'expected a number, got "5"'],
  [field("number", { min: 1 }), 0, "expected at least 1, got 0"],
  [field("boolean"), "yes", 'expected true or false, got "yes"'],
  [field("choice", { choices: ["a", "b"] }), "c", 'expected one of "a", "b", got "c"'],
  [field("duration"), 5, "expected a duration such as 30s, 5m or 2h, got 5"],
  [field("date"), "2027-02-30", 'expected a date such as 2027-01-31, got "2027-02-30"'],
  [field("email"), "anna", 'expected an e-mail address, got "anna"'],
  [field("url"), "javascript:1", 'expected a URL such as https://example.org/, got "javascript:1"'],
  [field("list"), {}, "expected a list, got an object"],
  [field("list", { max: 1 }), [1, 2], "expected at most 1 items, got 2"],
  [field("number"), null, "expected a number, got nothing"],
];

for (const [of, value, problem] of bad) {
  Deno.test(`${JSON.stringify(value)} is not a valid ${of.type}: ${problem}`, () =>
    assert.deepEqual(checkValue(of, value as never), { problem }));
}

Deno.test("an absent value is the default, null if optional, else a problem", () => {
  assert.deepEqual(checkValue(field("number", { default: 85 }), undefined), { value: 85 });
  assert.deepEqual(checkValue(field("number", { required: false }), undefined), { value: null });
  assert.deepEqual(checkValue(field("number"), undefined), { problem: "expected a number, got nothing" });
});

Deno.test("values are checked together, and unknown keys suggest the nearest", () => {
  const fields = { threshold: field("number"), host: field("text", { default: "h" }) };
  assert.deepEqual(checkValues(fields, { treshold: 5 }), {
    values: { host: "h" },
    problems: [
      { key: "treshold", message: 'unknown key "treshold"', hint: "did you mean threshold?" },
      { key: "threshold", message: "expected a number, got nothing" },
    ],
  });
});
