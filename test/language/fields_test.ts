import assert from "node:assert/strict";
import { z } from "zod";
import { parseYaml } from "../../runtime/folder/yaml/yaml.ts";
import * as field from "../../runtime/language/arg_types.ts";
import { ruleJsonSchema } from "../../runtime/language/checker/json_schema.ts";
import { parseWith } from "../../runtime/language/checker/sentences.ts";
import { checkValues } from "../../runtime/language/fields/check_values.ts";
import { checkValue, textOfValue, valueOfText } from "../../runtime/language/fields/field_value.ts";
import { fields, readFields } from "../../runtime/language/fields/read_fields.ts";
import type { Json } from "../../runtime/model/json.ts";
import type { Field } from "../../runtime/model/rule.ts";
import { kinds } from "./check_support.ts";

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

Deno.test("only a form asks for a file, one to a field, without choices and default", () => {
  const parse = (field: object) => {
    const parsed = fields().safeParse({ photo: field });
    return parsed.success ? [] : parsed.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
  };
  assert.deepEqual(parse({ type: "file", max: 5_000_000 }), []);
  assert.match(parse({ type: "file", default: "a.jpg" })[0], /^photo.default: a file has no default/);
  assert.match(parse({ type: "file", choices: ["a.jpg"] })[0], /^photo.choices: "choices" means nothing for a file/);
  assert.match(parse({ type: "list", of: "file" })[0], /^photo.of.type: a list of files is not possible/);
  assert.match(readFields({ photo: { type: "file" } }).problems[0].message, /^only a form can ask for a file$/);
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

const reads = (schema: z.ZodType, value: unknown) => schema.parse(value);
const refuses = (schema: z.ZodType, ...values: unknown[]) => {
  for (const value of values) assert.equal(schema.safeParse(value).success, false, JSON.stringify(value));
};

Deno.test("a duration becomes milliseconds; a number without a unit is refused; a template is read later", () => {
  assert.equal(reads(field.duration(), "5m"), 300_000);
  assert.equal(reads(field.duration(), "PT1H"), 3_600_000);
  assert.equal(reads(field.duration(), "${{ config.x }}"), "${{ config.x }}");
  refuses(field.duration(), 30, "30", "5 m", null, undefined);
});

Deno.test("a rate becomes count and milliseconds", () => {
  assert.deepEqual(reads(field.rate(), "100/m"), { count: 100, per: 60_000 });
  refuses(field.rate(), 100, "0/m", "100/y");
});

Deno.test("a size becomes bytes", () => {
  assert.deepEqual(["1MB", "1.5KiB", "12B", 7].map((size) => reads(field.size(), size)), [1_000_000, 1_536, 12, 7]);
  refuses(field.size(), "1XB", -1, 1.5, "MB");
});

Deno.test("an expression may be a plain boolean or number, as YAML reads it", () => {
  assert.deepEqual([true, 1, "x > 1"].map((value) => reads(field.expression(), value)), ["true", "1", "x > 1"]);
  refuses(field.expression(), "", " ", null, {});
});

Deno.test("a URL is http or https, a method may precede it", () => {
  assert.equal(reads(field.url(), "POST https://h/x"), "POST https://h/x");
  assert.equal(reads(field.url(), "${{ config.base }}/x"), "${{ config.base }}/x");
  refuses(field.url(), "ftp://h/", "h/x", "post https://h/", "https://", 5);
});

Deno.test("a command is a string or a list of scalars", () => {
  assert.deepEqual(reads(field.command(), ["sleep", 1]), ["sleep", "1"]);
  refuses(field.command(), [], "", [["a"]], {});
});

Deno.test("a target is a function of a module or a package, or a YAML action", () => {
  for (const target of ["./x.ts#read", "../lib/tell.yaml", "./a.mjs#$f", "x#f", "@a/b/c#d", "./packages/x#f"]) {
    assert.equal(reads(field.target(), target), target);
  }
  refuses(field.target(), "./x.ts", "./x.yaml#f", "x#", "x y#f", "./${{ a }}.yaml");
});

Deno.test("secrets are names, never values", () => {
  assert.deepEqual(reads(field.secret(), "KEY"), ["KEY"]);
  assert.deepEqual(reads(field.secret(), ["OLD", "NEW"]), ["OLD", "NEW"]);
  refuses(field.secret(), "whsec_a+b/c=", "${{ secrets.X }}", []);
});

Deno.test("numbers and booleans are validated, templates are read later", () => {
  assert.equal(reads(field.number({ min: 1, max: 5, integer: true }), 5), 5);
  refuses(field.number({ min: 1, max: 5, integer: true }), 0, 6, 1.5, "3", Infinity);
  assert.equal(reads(field.boolean(), "${{ x }}"), "${{ x }}");
  refuses(field.boolean(), "yes", 1);
});

Deno.test("metadata of a field survives optional, describe, default and refine", () => {
  const described = field.url().describe("where to").refine(() => true);
  assert.equal(field.fieldInfo.get(described)?.is, "url");
  assert.equal(z.strictObject({ a: field.duration().optional(), b: field.duration().default(5) }).parse({}).b, 5);
});

const read = (type: Field["type"], text: string, more: Partial<Field> = {}) =>
  valueOfText({ type, required: true, ...more }, text);

Deno.test("a text is read by the type of its field", () => {
  const cases: [Field["type"], string, Json | undefined][] = [
    ["text", " two\r\nlines ", " two\nlines "],
    ["number", " 2.5 ", 2.5],
    ["boolean", "Yes", true],
    ["boolean", "false", false],
    ["list", "a\r\n\n b ", ["a", "b"]],
    ["date", " 2027-01-31 ", "2027-01-31"],
    ["duration", "2h", "2h"],
  ];
  for (const [type, text, value] of cases) assert.deepEqual(read(type, text), value, type);
  assert.equal(read("choice", "1", { choices: ["a", 1] }), 1);
});

Deno.test("an empty text is no value, and an invalid one stays text", () => {
  for (const type of ["text", "number", "boolean", "list", "date"] as const) assert.equal(read(type, " \n"), undefined);
  assert.equal(read("number", "many"), "many");
  assert.equal(read("number", "Infinity"), "Infinity");
  assert.equal(read("boolean", "perhaps"), "perhaps");
  assert.equal(read("choice", "c", { choices: ["a", "b"] }), "c");
});

Deno.test("a value is written as text that reads back the same", () => {
  const values: [Field["type"], Json][] = [["number", -1e21], ["boolean", true], ["list", ["a", "b c"]], [
    "text",
    "x\ny",
  ]];
  for (const [type, value] of values) assert.deepEqual(read(type, textOfValue(value)), value);
  assert.equal(textOfValue(null), "");
});

const fieldOf = (type: Field["type"], more: Partial<Field> = {}): Field => ({ type, required: true, ...more });

const goodValues: [Field, unknown][] = [
  [fieldOf("text"), ""],
  [fieldOf("number", { min: 1, max: 9 }), 9],
  [fieldOf("boolean"), false],
  [fieldOf("choice", { choices: ["a", 2] }), 2],
  [fieldOf("duration"), "5m"],
  [fieldOf("date"), "2028-02-29"],
  [fieldOf("date"), "2027-01-31T09:00:00Z"],
  [fieldOf("email"), "anna@example.org"],
  [fieldOf("url"), "https://example.org/"],
  [fieldOf("list", { max: 2 }), [1, 2]],
  [fieldOf("integer"), 7],
  [fieldOf("integer"), -3],
  [fieldOf("port"), 65535],
  [fieldOf("ip"), "192.0.2.1"],
  [fieldOf("ip"), "2001:db8::1"],
  [fieldOf("path"), "reports/may.csv"],
  [fieldOf("path", { under: "/srv/data" }), "/srv/data/x"],
  [fieldOf("secret", { choices: ["API_TOKEN"] }), "API_TOKEN"],
  [fieldOf("text", { pattern: "[a-z]+" }), "abc"],
  [fieldOf("text", { choices: ["a", "b"] }), "b"],
  [fieldOf("list", { of: { type: "port" } }), [80, 443]],
];

for (const [of, value] of goodValues) {
  Deno.test(`${JSON.stringify(value)} is a valid ${of.type}`, () =>
    assert.deepEqual(checkValue(of, value as never), { value }));
}

const badValues: [Field, unknown, string][] = [
  [fieldOf("text"), 5, "expected text, got 5"],
  [fieldOf("text", { min: 3 }), "ab", "expected at least 3 characters, got 2"],
  [fieldOf("number"), "5", 'expected a number, got "5"'],
  [fieldOf("number", { min: 1 }), 0, "expected at least 1, got 0"],
  [fieldOf("boolean"), "yes", 'expected true or false, got "yes"'],
  [fieldOf("choice", { choices: ["a", "b"] }), "c", 'expected one of "a", "b", got "c"'],
  [fieldOf("duration"), 5, "expected a duration such as 30s, 5m or 2h, got 5"],
  [fieldOf("date"), "2027-02-30", 'expected a date such as 2027-01-31, got "2027-02-30"'],
  [fieldOf("email"), "anna", 'expected an e-mail address, got "anna"'],
  [fieldOf("url"), "javascript:1", 'expected a URL such as https://example.org/, got "javascript:1"'],
  [fieldOf("list"), {}, "expected a list, got an object"],
  [fieldOf("list", { max: 1 }), [1, 2], "expected at most 1 items, got 2"],
  [fieldOf("number"), null, "expected a number, got nothing"],
  [fieldOf("integer"), 1.5, "expected a whole number, got 1.5"],
  [fieldOf("integer"), "7", 'expected a whole number, got "7"'],
  [fieldOf("port"), 0, "expected a port from 1 up to 65535, got 0"],
  [fieldOf("ip"), "192.0.2.256", 'expected an IP address such as 192.0.2.1 or 2001:db8::1, got "192.0.2.256"'],
  [fieldOf("path"), "/etc/passwd", 'expected a relative path without .., such as reports/may.csv, got "/etc/passwd"'],
  [fieldOf("path"), "a/../../b", 'expected a relative path without .., such as reports/may.csv, got "a/../../b"'],
  [fieldOf("path"), "a\0b", 'expected a relative path without .., such as reports/may.csv, got "a\\u0000b"'],
  [
    fieldOf("path", { under: "/srv/data" }),
    "/srv/database",
    'expected a path below /srv/data without .., got "/srv/database"',
  ],
  [fieldOf("path", { under: "/srv" }), "/srv/../etc", 'expected a path below /srv without .., got "/srv/../etc"'],
  [
    fieldOf("secret", { choices: ["A", "B"] }),
    "hunter2",
    'expected the name of a secret, one of "A", "B"',
  ],
  [fieldOf("text", { pattern: "[a-z]+" }), "abc1", 'expected text that matches [a-z]+, got "abc1"'],
  [fieldOf("integer", { choices: [1, 2] }), 3, "expected one of 1, 2, got 3"],
  [fieldOf("list", { of: { type: "integer", max: 9 } }), [1, 10], "item 2: expected at most 9, got 10"],
];

for (const [of, value, problem] of badValues) {
  Deno.test(`${JSON.stringify(value)} is not a valid ${of.type}: ${problem}`, () =>
    assert.deepEqual(checkValue(of, value as never), { problem }));
}

Deno.test("an absent value is the default, null if optional, else a problem", () => {
  assert.deepEqual(checkValue(fieldOf("number", { default: 85 }), undefined), { value: 85 });
  assert.deepEqual(checkValue(fieldOf("number", { required: false }), undefined), { value: null });
  assert.deepEqual(checkValue(fieldOf("number"), undefined), { problem: "expected a number, got nothing" });
});

Deno.test("values are checked together, and unknown keys suggest the nearest", () => {
  const fields = { threshold: fieldOf("number"), host: fieldOf("text", { default: "h" }) };
  assert.deepEqual(checkValues(fields, { treshold: 5 }), {
    values: { host: "h" },
    problems: [
      { key: "treshold", kind: "unknown", message: 'unknown key "treshold"', hint: 'did you mean "threshold"?' },
      { key: "threshold", kind: "missing", message: "expected a number, got nothing" },
    ],
  });
});

interface Entry {
  description?: string;
  required?: string[];
  properties?: Record<string, { description?: string; anyOf?: unknown[]; enum?: string[] }>;
  additionalProperties?: boolean | object;
  enum?: string[];
}
const schema = ruleJsonSchema(kinds) as unknown as { anyOf: Entry[]; definitions: Record<string, { anyOf: Entry[] }> };

Deno.test("every kind is an entry that requires its key and knows all its options", () => {
  for (const [table, name] of [[kinds.triggers, "trigger"], [kinds.steps, "step"]] as const) {
    for (const kind of Object.values(table)) {
      const entry = schema.definitions[name].anyOf.find(({ required }) => required?.[0] === kind.kind);
      assert.ok(entry, kind.kind);
      assert.equal(entry.additionalProperties, false);
      assert.ok(entry.description);
      for (const key of [kind.kind, ...Object.keys(kind.options), ...kind.children ?? []]) {
        assert.ok(entry.properties![key], `${kind.kind}.${key}`);
      }
    }
  }
});

Deno.test("mandatory options are required", () => {
  const webhook = schema.definitions.trigger.anyOf.find(({ properties }) => properties?.webhook);
  assert.deepEqual(webhook?.required, ["webhook", "auth"]);
});

Deno.test("triggers without arguments may be one word", () => {
  assert.ok(
    schema.definitions.trigger.anyOf.some((entry) => entry.enum?.includes("start") && entry.enum.includes("manual")),
  );
});

Deno.test("every trigger takes a batch, which closes in one way", () => {
  for (const { properties } of schema.definitions.trigger.anyOf) {
    assert.ok(properties === undefined || properties.batch);
  }
  const { oneOf, properties } = schema.definitions.batch as unknown as Record<string, object>;
  assert.deepEqual(oneOf, [{ required: ["every"] }, { required: ["quiet"] }, { required: ["cron"] }]);
  assert.deepEqual(Object.keys(properties), ["every", "quiet", "within", "cron", "timezone", "empty", "max"]);
});

Deno.test("a rule has when and then, an action then; all references resolve", () => {
  assert.deepEqual(schema.anyOf.map(({ required }) => required), [["when", "then"], ["then"]]);
  const names = [...JSON.stringify(schema).matchAll(/"\$ref":"#\/definitions\/(\w+)"/g)].map(([, name]) => name);
  assert.ok(names.length > 0);
  for (const name of names) assert.ok(schema.definitions[name], name);
});

Deno.test("control steps are not sources of a poll", () => {
  const keys = schema.definitions.source.anyOf.map(({ required }) => required![0]);
  assert.ok(keys.includes("http") && !keys.includes("wait") && !keys.includes("stop"));
});

Deno.test("branches have any names, each with a list of steps", () => {
  const entry = schema.definitions.step.anyOf.find(({ required }) => required?.[0] === "parallel");
  const { additionalProperties } = entry!.properties!.parallel as Entry;
  assert.deepEqual(additionalProperties, { $ref: "#/definitions/steps" });
});
