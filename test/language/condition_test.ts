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
