import assert from "node:assert/strict";
import type { Field } from "../../runtime/model/rule.ts";
import { checkValues } from "../../runtime/language/fields/check_values.ts";
import { checkValue } from "../../runtime/language/fields/field_value.ts";

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
  [field("integer"), 7],
  [field("integer"), -3],
  [field("port"), 65535],
  [field("ip"), "192.0.2.1"],
  [field("ip"), "2001:db8::1"],
  [field("path"), "reports/may.csv"],
  [field("path", { under: "/srv/data" }), "/srv/data/x"],
  [field("secret", { choices: ["API_TOKEN"] }), "API_TOKEN"],
  [field("text", { pattern: "[a-z]+" }), "abc"],
  [field("text", { choices: ["a", "b"] }), "b"],
  [field("list", { of: { type: "port" } }), [80, 443]],
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
  [field("integer"), 1.5, "expected a whole number, got 1.5"],
  [field("integer"), "7", 'expected a whole number, got "7"'],
  [field("port"), 0, "expected a port from 1 up to 65535, got 0"],
  [field("ip"), "192.0.2.256", 'expected an IP address such as 192.0.2.1 or 2001:db8::1, got "192.0.2.256"'],
  [field("path"), "/etc/passwd", 'expected a relative path without .., such as reports/may.csv, got "/etc/passwd"'],
  [field("path"), "a/../../b", 'expected a relative path without .., such as reports/may.csv, got "a/../../b"'],
  [field("path"), "a\0b", 'expected a relative path without .., such as reports/may.csv, got "a\\u0000b"'],
  [
    field("path", { under: "/srv/data" }),
    "/srv/database",
    'expected a path below /srv/data without .., got "/srv/database"',
  ],
  [field("path", { under: "/srv" }), "/srv/../etc", 'expected a path below /srv without .., got "/srv/../etc"'],
  [
    field("secret", { choices: ["A", "B"] }),
    "hunter2",
    'expected the name of a secret, one of "A", "B"',
  ],
  [field("text", { pattern: "[a-z]+" }), "abc1", 'expected text that matches [a-z]+, got "abc1"'],
  [field("integer", { choices: [1, 2] }), 3, "expected one of 1, 2, got 3"],
  [field("list", { of: { type: "integer", max: 9 } }), [1, 10], "item 2: expected at most 9, got 10"],
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
      { key: "treshold", kind: "unknown", message: 'unknown key "treshold"', hint: "did you mean threshold?" },
      { key: "threshold", kind: "missing", message: "expected a number, got nothing" },
    ],
  });
});
