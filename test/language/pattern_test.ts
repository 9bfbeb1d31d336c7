import assert from "node:assert/strict";
import fc from "fast-check";
import { RE2JS } from "re2js";
import { compile, evaluate, ExpressionError } from "../../runtime/language/expressions/expression.ts";
import { matches, patternProblem } from "../../runtime/language/expressions/pattern.ts";
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
