import assert from "node:assert/strict";
import { fields, readFields } from "../../runtime/language/fields/fields.ts";
import { parseYaml } from "../../runtime/folder/yaml/yaml.ts";
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

Deno.test("what is written beside a list about its items belongs to these", () => {
  const { fields, problems } = readFields({
    a: { type: "list", choices: ["x", "y"] },
    b: { type: "list", of: "integer", max: 3 },
    c: { type: "list", of: { type: "integer", min: 1 } },
    d: { type: "list", under: "/srv" },
  });
  assert.deepEqual(problems, []);
  assert.deepEqual(Object.values(fields).map(({ of, max }) => [of, max]), [
    [{ type: "choice", choices: ["x", "y"] }, undefined],
    [{ type: "integer" }, 3],
    [{ type: "integer", min: 1 }, undefined],
    [{ type: "path", under: "/srv" }, undefined],
  ]);
});

const flags = ["-m", "--retry", "<name>", "<input file>", "genpkey", "-sS", "+x"];
Deno.test("names may be flags where commands are described, and nowhere else", () => {
  const raw = Object.fromEntries(flags.map((name) => [name, { type: "boolean" }]));
  assert.deepEqual(readFields(raw, { flags: true }).problems, []);
  assert.equal(readFields(raw).problems.length, flags.length - 1);
  assert.equal(readFields({ "a b": 1 }, { flags: true }).problems.length, 1);
});

const impossible: [string, unknown, (string | number)[], RegExp][] = [
  ["a secret without choices", { a: { type: "secret" } }, ["a", "type"], /a secret needs its choices/],
  [
    "a value as the name of a secret",
    { a: { type: "secret", choices: ["h u"] } },
    ["a", "choices", 0],
    /name of a secret/,
  ],
  ["a choice that does not fit", { a: { type: "integer", choices: [1, 1.5] } }, ["a", "choices", 1], /never be chosen/],
  ["a range that holds nothing", { a: { type: "number", min: 2, max: 1 } }, ["a", "max"], /can never be set/],
  ["a bad pattern", { a: { type: "text", pattern: "(" } }, ["a", "pattern"], /pattern/],
  ["a relative folder", { a: { type: "path", under: "data" } }, ["a", "under"], /absolute folder/],
  ["items of what is no list", { a: { type: "text", of: "integer" } }, ["a", "of"], /means nothing/],
];

for (const [name, raw, path, message] of impossible) {
  Deno.test(`${name} is a problem at ${path.join(".")}`, () => {
    const { problems } = readFields(raw);
    assert.deepEqual(problems.map((problem) => problem.path), [path]);
    assert.match(problems[0].message, message);
  });
}

Deno.test("a scalar of a text field counts as it is written", () => {
  const { value, origin } = parseYaml(
    "config:\n  a: { type: text, default: 1.10 }\n  b: { type: text, choices: [1.10, 0x1F, yes] }\n  c: { type: number, default: 1.10 }\n  d: { type: list, of: text, default: [1.0] }\n",
    "x.yaml",
  );
  const raw = (value as { config: unknown }).config;
  const { fields, problems } = readFields(raw, { source: (path) => origin.written(["config", ...path]) });
  assert.deepEqual(problems, []);
  assert.deepEqual([fields.a.default, fields.b.choices, fields.c.default, fields.d.default], [
    "1.10",
    ["1.10", "0x1F", "yes"],
    1.1,
    ["1.0"],
  ]);
});
