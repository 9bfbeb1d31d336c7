import fc from "fast-check";
import assert from "node:assert/strict";
import { checkValues, sayProblem } from "../../runtime/language/fields/check_values.ts";
import { readFields } from "../../runtime/language/fields/read_fields.ts";
import { complete } from "../../runtime/language/fields/relations.ts";
import type { Json } from "../../runtime/model/json.ts";
import type { Field } from "../../runtime/model/rule.ts";
import { check, underlined } from "./check_support.ts";
import { relationsOf, smallestPossible } from "./field_sets.ts";

/** Flags by name with what they require and exclude; all are switches. */
type Switches = Record<string, { requires?: Field["requires"]; conflicts?: string[] }>;

function switches(given: Switches, rest: Record<string, unknown> = {}): Record<string, Field> {
  const raw = Object.fromEntries(Object.entries(given).map(([name, more]) => [name, { type: "boolean", ...more }]));
  const { fields, problems } = readFields({ ...raw, ...rest }, { flags: true, required: false });
  assert.deepEqual(problems, []);
  return fields;
}

const set = (...names: string[]): Record<string, Json> => Object.fromEntries(names.map((name) => [name, true]));
const says = (fields: Record<string, Field>, values: Record<string, Json>) =>
  checkValues(fields, values).problems.map(sayProblem);

const openssl = switches({
  "-i": { requires: ["-filepath", "-dest"], conflicts: ["-t"] },
  "-t": { requires: ["-folderpath", "-dest"] },
  "-filepath": {},
  "-folderpath": {},
  "-dest": {},
});

const table: [string[], string[]][] = [
  [["-i", "-filepath", "-dest"], []],
  [["-t", "-folderpath", "-dest"], []],
  [["-dest"], []],
  [["-i", "-filepath"], ["-dest is missing: -i requires -dest"]],
  [["-t", "-folderpath", "-i", "-filepath", "-dest"], ["-i conflicts with -t"]],
  [["-i", "-t"], [
    "-dest is missing: -i requires -dest",
    "-filepath is missing: -i requires -filepath",
    "-folderpath is missing: -t requires -folderpath",
    "-i conflicts with -t",
  ]],
];

for (const [names, problems] of table) {
  Deno.test(`{${names}} ${problems.length === 0 ? "is accepted" : `is refused: ${problems.join("; ")}`}`, () =>
    assert.deepEqual(says(openssl, set(...names)), problems));
}

Deno.test("each missing field has its shortest path", () => {
  const fields = switches({ a: { requires: ["b"] }, b: { requires: ["c"] }, c: {}, d: { requires: ["c"] } });
  assert.deepEqual(says(fields, set("a")), [
    "b is missing: a requires b",
    "c is missing: a requires b and b requires c",
  ]);
  assert.deepEqual(says(fields, set("a", "d")), ["b is missing: a requires b", "c is missing: d requires c"]);
  assert.deepEqual(complete(fields, set("a")), {
    set: ["a", "b", "c"],
    added: ["b", "c"],
    values: set("a", "b", "c"),
    open: [],
  });
});

Deno.test("what is required may be one of several, and a conflict may be with what is missing", () => {
  const fields = switches({
    a: { requires: [{ any: ["b", "c"] }, "d"] },
    b: {},
    c: {},
    d: { conflicts: ["e"] },
    e: {},
  });
  assert.deepEqual(says(fields, set("a", "e")), [
    "b or c is missing: a requires b or c",
    "d conflicts with e: a requires d",
    "d is missing: a requires d",
  ]);
  assert.deepEqual(says(fields, set("a", "c", "d")), []);
});

Deno.test("exactly one field of a group is set", () => {
  const fields = switches({ a: {}, b: {}, c: {} }, { oneOf: [["a", "b"]] });
  assert.deepEqual(says(fields, set("c")), ["a or b is missing: exactly one of them has to be set"]);
  assert.deepEqual(says(fields, set("a", "b")), ["a conflicts with b"]);
  assert.deepEqual(says(fields, set("b")), []);
});

Deno.test("all problems come at once, ordered by name: unknown, of the wrong type, missing, in conflict", () => {
  const { fields } = readFields({
    "--top-ports": { type: "integer", min: 1 },
    "--retry": { type: "integer" },
    "--retry-delay": { type: "integer", requires: ["--retry"] },
    "-I": { type: "boolean", conflicts: ["--data"] },
    "--data": { type: "text" },
    host: { type: "ip", required: true },
  }, { flags: true, required: false });
  const values = { "--top-ports": "abc", "--retry-delay": 3, "-I": true, "--data": "x", "--retri": 1 };
  const before = structuredClone(values);
  assert.deepEqual(says(fields, values), [
    'unknown key "--retri"; did you mean "--retry"?',
    "--retry is missing: --retry-delay requires --retry",
    '--top-ports: expected a whole number, got "abc"',
    "-I conflicts with --data",
    "host is missing: expected an IP address such as 192.0.2.1 or 2001:db8::1",
  ]);
  assert.deepEqual(values, before);
});

Deno.test("a default counts as set, and yields to a value that it conflicts with", () => {
  const { fields, problems } = readFields({
    out: { type: "text", default: "o.txt", requires: ["format"] },
    format: { type: "text" },
    quiet: { type: "boolean", conflicts: ["out"] },
  }, { required: false });
  assert.deepEqual(problems, []);
  assert.deepEqual(says(fields, {}), ["format is missing: out requires format"]);
  assert.deepEqual(checkValues(fields, { format: "x" }), {
    values: { out: "o.txt", format: "x", quiet: null },
    problems: [],
  });
  assert.deepEqual(checkValues(fields, { quiet: true }), {
    values: { out: null, format: null, quiet: true },
    problems: [],
  });
});

Deno.test("a default is there for what requires it, unless it is switched off or in the way", () => {
  const { fields } = readFields({
    level: { type: "integer", requires: ["compress"] },
    compress: { type: "boolean", default: true },
    raw: { type: "boolean", conflicts: ["compress"] },
  }, { required: false });
  assert.deepEqual(says(fields, { level: 9 }), []);
  assert.deepEqual(says(fields, { level: 9, compress: false }), ["compress is missing: level requires compress"]);
  assert.deepEqual(checkValues(fields, { raw: true }).values, { level: null, compress: null, raw: true });
  assert.deepEqual(says(fields, { raw: true, level: 9 }), [
    "compress is missing: level requires compress",
    "raw conflicts with compress: level requires compress",
  ]);
  assert.deepEqual(complete(fields, { level: 9 })!.added, []);
});

Deno.test("what is switched off is not set", () => {
  const fields = switches({ a: { requires: ["b"] }, b: {} });
  assert.deepEqual(says(fields, { a: false }), []);
  assert.deepEqual(says(fields, { a: true, b: false }), ["b is missing: a requires b"]);
  assert.equal(complete(fields, { a: true, b: false }), undefined);
});

Deno.test("a field that is added is given its only value, and is open if it has several", () => {
  const { fields } = readFields({
    a: { type: "boolean", requires: ["b", "c", "d"] },
    b: { type: "integer" },
    c: { type: "choice", choices: ["x"] },
    d: { type: "integer" },
  }, { required: false });
  const { values, open } = complete(fields, { a: true })!;
  assert.deepEqual({ values, open }, { values: { a: true, c: "x" }, open: ["b", "d"] });
});

const NAMES = ["a", "b", "c", "d", "e", "f"];
const few = fc.subarray(NAMES, { maxLength: 2 });
/** Sets of switches without cycles: a name requires only those behind it in some order. */
const sets = fc.record({
  order: fc.shuffledSubarray(NAMES, { minLength: NAMES.length }),
  requires: fc.tuple(...NAMES.map(() => few)),
  any: fc.tuple(...NAMES.map(() => fc.option(fc.subarray(NAMES, { minLength: 2, maxLength: 3 }), { freq: 1 }))),
  conflicts: fc.tuple(...NAMES.map(() => fc.option(fc.constantFrom(...NAMES), { freq: 1 }))),
  given: few,
}).map(({ order, requires, any, conflicts, given }) => {
  const raw = order.map((name, index) => {
    const behind = order.slice(index + 1);
    const choice = any[index]?.filter((other) => other !== name) ?? [];
    const all = [
      ...requires[index].filter((other) => behind.includes(other)),
      ...choice.length > 1 ? [{ any: choice }] : [],
    ];
    const excluded = conflicts[index] === null || conflicts[index] === name ? [] : [conflicts[index]!];
    return [name, {
      type: "boolean",
      ...all.length > 0 && { requires: all },
      ...excluded.length > 0 && { conflicts: excluded },
    }] as const;
  });
  return { raw, given };
});
const RUNS = { numRuns: 500 };

Deno.test("any order of declarations gives the same verdict", () => {
  const shuffled = sets.chain(({ raw, given }) =>
    fc.record({
      one: fc.constant(raw),
      other: fc.shuffledSubarray(raw, { minLength: raw.length }),
      given: fc.constant(given),
      again: fc.shuffledSubarray(given, { minLength: given.length }),
    })
  );
  fc.assert(
    fc.property(shuffled, ({ one, other, given, again }) => {
      const [a, b] = [one, other].map((raw) => readFields(Object.fromEntries(raw), { required: false }));
      assert.deepEqual(sorted(a.problems), sorted(b.problems));
      if (a.problems.length > 0) return;
      assert.deepEqual(says(a.fields, set(...given)), says(b.fields, set(...again)));
      assert.deepEqual(complete(a.fields, set(...given)), complete(b.fields, set(...again)));
    }),
    RUNS,
  );
});

const sorted = (problems: { message: string }[]) => problems.map(({ message }) => message).sort();

Deno.test("complete() is minimal and valid, and finds a set wherever there is one", () => {
  fc.assert(
    fc.property(sets, ({ raw, given }) => {
      const { fields, problems } = readFields(Object.fromEntries(raw), { required: false });
      fc.pre(problems.length === 0);
      const found = complete(fields, set(...given));
      assert.equal(found?.set.length, smallestPossible(fields, given)?.length);
      if (found === undefined) return;
      assert.deepEqual(says(fields, found.values), []);
      assert.deepEqual(Object.keys(found.values).sort(), found.set);
      assert.ok(given.every((name) => found.set.includes(name)));
    }),
    RUNS,
  );
});

Deno.test("a field is refused at load exactly if no set with it is valid, or if one that it requires is refused", () => {
  fc.assert(
    fc.property(sets, ({ raw }) => {
      const { fields, problems } = readFields(Object.fromEntries(raw), { required: false });
      const refused = new Set(problems.map(({ path }) => path[0]));
      const declared = Object.fromEntries(raw) as unknown as Record<string, Field>;
      for (const name of NAMES) {
        const isUsable = smallestPossible(problems.length === 0 ? fields : declared, [name]) !== undefined;
        const isBlamed = [...relationsOf(declared, name)].some((other) => refused.has(other));
        assert.equal(isUsable, !isBlamed, `${name} in ${JSON.stringify(declared)}`);
      }
    }),
    RUNS,
  );
});

const rule = (when: string, rest = "") =>
  `inputs:
  bits: { type: choice, choices: [2048, 4096], default: 2048 }
  version: { type: text, required: false }
when:
${when.replace(/^/gm, "  ")}
${rest}then: [{ log: "\${{ inputs.bits }}" }]
`;

function problemsOf(text: string): string[][] {
  return underlined(text, check(text, { people: ["anna", "ops"] }).problems);
}

Deno.test("a rule has inputs, and each trigger gives its values for them", () => {
  const { rule: found, problems } = check(
    rule(`- manual: true\n  to: ops\n- cron: "0 3 1 * *"\n  inputs: { bits: 4096, version: 1.10 }`),
    { people: ["ops"] },
  );
  assert.deepEqual(problems, []);
  assert.deepEqual(Object.keys(found!.inputs!), ["bits", "version"]);
  assert.deepEqual(found!.triggers.map(({ inputs }) => inputs), [undefined, { bits: 4096, version: "1.10" }]);
  assert.deepEqual(found!.triggers[0].args, { manual: true, to: ["ops"] });
});

Deno.test("values of a trigger that do not fit are problems at their places", () => {
  const text = rule(
    `- cron: "0 3 1 * *"\n  inputs: { bits: 1024, versoin: x }\n- event: a\n  inputs: { bits: "\${{ event.data.bits }}" }`,
  );
  assert.deepEqual(problemsOf(text), [
    ["1024", "expected one of 2048, 4096, got 1024"],
    ["versoin", 'unknown key "versoin"', 'did you mean "version"?'],
  ]);
});

Deno.test("a trigger that leaves out what is required is a problem, but not one by hand: a person gives it", () => {
  const text = "inputs: { a: { type: text } }\nwhen:\n  - event: x\n  - manual: true\nthen: [{ log: hi }]\n";
  assert.deepEqual(problemsOf(text), [["event", "the input a is missing: expected text"]]);
});

Deno.test("inputs need the rule's declaration; unknown names in expressions are problems", () => {
  assert.deepEqual(problemsOf("when:\n  event: a\n  inputs: { x: 1 }\nthen: [{ log: hi }]\n"), [
    ["inputs", '"inputs" means nothing here: the rule declares none', "add inputs: beside when:"],
  ]);
  assert.deepEqual(problemsOf(rule("event: a", "if: inputs.bit > 1\n")), [
    ["inputs.bit", "unknown inputs.bit", 'did you mean "inputs.bits"?'],
  ]);
  const none = "when: { event: a }\nif: inputs.x == 1\nthen: [{ log: hi }]\n";
  assert.match(problemsOf(none)[0][1], /unknown name "inputs"/);
});

Deno.test("a batch has no event to take values from", () => {
  const text = rule(`event: a\nbatch: { every: 1h }\ninputs: { version: "\${{ event.data.x }}" }`);
  assert.match(problemsOf(text)[0][1], /unknown name "event"/);
  const { rule: found } = check(
    `config: { v: "7" }\n${rule('event: a\nbatch: { every: 1h }\ninputs: { version: "\${{ config.v }}" }')}`,
  );
  assert.deepEqual(found!.triggers[0].inputs, { version: "7" });
});

Deno.test("who may start a rule is known, or an address", () => {
  assert.deepEqual(problemsOf(rule("manual: true\nto: [anna, opps, x@example.org]")), [
    ["opps", 'unknown person or group "opps"', 'did you mean "ops"?'],
  ]);
});
