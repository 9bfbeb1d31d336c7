import fc from "fast-check";
import assert from "node:assert/strict";
import { RE2JS } from "re2js";
import { checkClauses, compile, evaluate, ExpressionError } from "../../runtime/language/expressions/expression.ts";
import { matches, patternProblem } from "../../runtime/language/expressions/pattern.ts";
import { readFields } from "../../runtime/language/fields/read_fields.ts";
import { check, underlined, withThen } from "./check_support.ts";

const SLOW = "([ab]{0,30}){30}[cd]";

function refused(expression: string, data: unknown): string {
  try {
    evaluate(expression, { event: { data } });
  } catch (error) {
    assert.ok(error instanceof ExpressionError);
    return error.message;
  }
  assert.fail(`${expression} was evaluated`);
}

Deno.test("a match fails if program size times text length is too large, and says what would work", () => {
  const message = refused(`event.data.matches("${SLOW}")`, "ab".repeat(500_000));
  assert.equal(
    message,
    `cannot evaluate event.data.matches("${SLOW}"): matches() would take too long: the pattern "${SLOW}" compiles to ` +
      "1,863 instructions and the text has 1,000,000 characters, whose product may be at most 50,000,000; a text of at most " +
      "26,838 characters would work, or a pattern with smaller counts in {n,m}",
  );
  assert.equal(evaluate(`event.data.matches("${SLOW}")`, { event: { data: "x".repeat(26_838) } }), false);
  assert.match(refused(`event.data.matches("${SLOW}")`, "x".repeat(26_839)), /would take too long/);
  assert.equal(evaluate(`event.data.matches("abc+$")`, { event: { data: "x".repeat(1_000_000) + "abcc" } }), true);
});

Deno.test("a pattern from data is checked, too: its length, its counts, its syntax", () => {
  const from = (pattern: string) => refused("'text'.matches(event.data)", pattern);
  assert.match(from("a".repeat(10_001)), /it has 10,001 characters; a pattern may have at most 10,000$/);
  assert.match(
    from("(abcdefghijk){1000}"),
    /to about 13,000 instructions; at most 10,000 would work, which takes smaller/,
  );
  assert.match(from("x{0,900}".repeat(8)), /to about 14,\d+ instructions; at most 10,000 would work/);
  assert.match(from("a(b"), /cannot read the pattern "a\(b": .*missing closing \)/);
});

Deno.test("a pattern in an expression that can match nothing is a problem at load, with its position", () => {
  for (
    const [call, pattern, why] of [
      ["event.data.matches(PATTERN)", '"(abcdefghijk){1000}"', /about 13,000 instructions/],
      ["matches(event.data, PATTERN)", '"a(b"', /cannot read the pattern/],
      ["event.data.list.exists(x, x.matches(PATTERN))", '"[b-a]"', /cannot read the pattern/],
    ] as const
  ) {
    const expression = call.replace("PATTERN", pattern);
    const text = `when: start\nif: ${expression}\nthen: [{ log: a }]\n`;
    const found = underlined(text, check(text).problems);
    assert.equal(found.length, 1);
    assert.equal(found[0][0], pattern);
    assert.match(found[0][1], why);
  }
  const inTemplate = withThen(`- log: '\${{ event.data.matches("a(b") }}'`);
  assert.equal(underlined(inTemplate, check(inTemplate).problems)[0][0], '"a(b"');
  assert.equal(compile('event.data.matches("[a-z]+@example[.]org")').problem, undefined);
});

Deno.test("many matches in one expression that take long together fail", () => {
  const all = Array.from({ length: 20 }, () => `event.data.matches("${SLOW}")`).join(" || ");
  assert.match(refused(all, "ab".repeat(13_000)), /takes longer than 2 s; .*many matches in long texts/);
});

/** Patterns with repeat counts, as written by users and by attackers. */
const pattern = fc.letrec((tie) => ({
  sequence: fc.array(tie("part"), { minLength: 1, maxLength: 4 }).map((parts) => parts.join("")),
  part: fc.tuple(tie("atom"), fc.constantFrom("", "", "*", "+", "?", "{3}", "{0,9}", "{2,}", "{40}", "|")).map((both) =>
    both.join("")
  ),
  atom: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(
      "a",
      ".",
      "\\d",
      "\\(",
      "[)(]",
      "[^]{9}]",
      "[[:alpha:](]",
      "\\pL",
      "\\p{Greek}",
      "\\Q(a{9}\\E",
      "^",
      "\\b",
    ),
    tie("sequence").map((inner) => `(${inner})`),
    tie("sequence").map((inner) => `(?:${inner})`),
  ),
})).sequence as fc.Arbitrary<string>;

Deno.test("large patterns are refused before they are compiled: refused ones are large, accepted ones small", () => {
  let compiled = 0;
  fc.assert(
    fc.property(pattern, (text) => {
      const problem = patternProblem(text);
      let size: number;
      try {
        size = RE2JS.compile(text).programSize();
      } catch {
        assert.match(problem!, /cannot (read|use) the pattern/);
        return;
      }
      if (problem === undefined) {
        compiled++;
        assert.ok(size <= 10_000);
        assert.equal(matches("", text), RE2JS.compile(text).matcher("").find());
      } else assert.ok(size > 2_000, `${text}: ${size}, but ${problem}`);
    }),
    { numRuns: 500 },
  );
  assert.ok(compiled > 100);
});

const clauses = (...texts: string[]) => texts.map((text) => ({ text, at: { line: 1, column: 1 } }));
const scope = {
  event: {
    subject: "/",
    data: { old: { used: 80 }, new: { used: 91 }, long: "x".repeat(1_000), many: Array(500).fill(1) },
  },
  config: { threshold: 95 },
  secrets: new Map([["KEY", "hunter22"]]),
};

Deno.test("all clauses must hold", () => {
  assert.deepEqual(checkClauses([], scope), { holds: true });
  assert.deepEqual(checkClauses(clauses("event.data.new.used > 90", "event.subject == '/'"), scope), { holds: true });
});

Deno.test("the result names the first false clause and its values", () => {
  const clause = "event.data.old.used <= config.threshold && event.data.new.used > config.threshold";
  assert.deepEqual(checkClauses(clauses("true", clause, "false"), scope), {
    holds: false,
    clause,
    values: { "event.data.old.used": 80, "config.threshold": 95, "event.data.new.used": 91 },
    reason: `${clause} is false`,
  });
});

Deno.test("a clause with a missing key is false, and the key is named", () => {
  const answer = checkClauses(clauses("event.data.new.free < 10"), scope);
  assert.ok(!answer.holds);
  assert.match(answer.reason, /event\.data\.new has no key "free"/);
  assert.deepEqual(answer.values, {});
});

Deno.test("the values contain no secrets, long ones are described", () => {
  const answer = checkClauses(clauses("secrets.KEY == event.data.long || event.data.many == []"), scope);
  assert.ok(!answer.holds);
  assert.deepEqual(answer.values, {
    "secrets.KEY": "***",
    "event.data.long": `${"x".repeat(200)}…`,
    "event.data.many": "[500 items]",
  });
});

Deno.test("an evaluation that fails for another reason is an error, not false", () => {
  assert.throws(() => checkClauses(clauses("event.subject > 5"), scope), ExpressionError);
  assert.throws(() => checkClauses(clauses("event.data.new.used"), scope), /gave 91, expected true or false/);
});

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
