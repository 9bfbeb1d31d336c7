import assert from "node:assert/strict";
import { checkClauses } from "../../runtime/language/expressions/condition.ts";
import { ExpressionError } from "../../runtime/language/expressions/expression.ts";

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

Deno.test("the answer names the first clause that does not hold, and the values in it", () => {
  const clause = "event.data.old.used <= config.threshold && event.data.new.used > config.threshold";
  assert.deepEqual(checkClauses(clauses("true", clause, "false"), scope), {
    holds: false,
    clause,
    values: { "event.data.old.used": 80, "config.threshold": 95, "event.data.new.used": 91 },
    reason: `${clause} is false`,
  });
});

Deno.test("a missing key does not hold and is named", () => {
  const answer = checkClauses(clauses("event.data.new.free < 10"), scope);
  assert.ok(!answer.holds);
  assert.match(answer.reason, /event\.data\.new has no key "free"/);
  assert.deepEqual(answer.values, {});
});

Deno.test("secrets are not among the values, long ones are described", () => {
  const answer = checkClauses(clauses("secrets.KEY == event.data.long || event.data.many == []"), scope);
  assert.ok(!answer.holds);
  assert.deepEqual(answer.values, {
    "secrets.KEY": "***",
    "event.data.long": `${"x".repeat(200)}…`,
    "event.data.many": "[500 items]",
  });
});

Deno.test("what cannot be evaluated for another reason is an error, not a no", () => {
  assert.throws(() => checkClauses(clauses("event.subject > 5"), scope), ExpressionError);
  assert.throws(() => checkClauses(clauses("event.data.new.used"), scope), /gave 91, expected true or false/);
});
