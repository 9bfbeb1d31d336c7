import assert from "node:assert/strict";
import { evaluate, ExpressionError } from "../../runtime/language/expressions/expression.ts";

const list = Array.from({ length: 20_000 }, (_, index) => index);

/** Fails in a few seconds, not in hours, with the reason. */
function refused(expression: string, data: unknown, why: RegExp): void {
  const event = { data };
  assert.throws(
    () => evaluate(expression, { event }),
    (error) => error instanceof ExpressionError && why.test(error.message),
  );
}

Deno.test("nested loops over long lists fail, even those that continue after errors", () => {
  const TIME = /takes longer than 2 s/;
  for (
    const loop of [
      "event.data.map(a, event.data.map(b, event.data.map(c, a + b + c)))",
      "event.data.all(a, event.data.all(b, event.data.all(c, a + b + c >= 0)))",
    ]
  ) refused(loop, list, TIME);
});

Deno.test("text that grows with each call fails before it is made", () => {
  const grow = '.replace("a", "aaaaaaaaaa")'.repeat(10);
  refused(`size(event.data${grow}) > 0`, "a".repeat(1_000), /a text of more than 16777216 characters/);
  refused(
    `event.data.map(x, event.data).join("")`,
    "x".repeat(1).split("").concat(list.map(String)),
    /longer|more than/,
  );
});

Deno.test("a small expression with an extremely large result fails", () => {
  refused("event.data.map(x, event.data)", list, /its result is larger than|takes longer than/);
});

Deno.test("one pass over much data is fine", () => {
  const items = Array.from({ length: 100_000 }, (_, id) => ({ id, text: "x".repeat(100) }));
  const some = evaluate("event.data.filter(item, item.id % 2 == 0)", { event: { data: items } });
  assert.equal((some as unknown[]).length, 50_000);
  assert.equal((evaluate("event.data.map(item, item.text).join()", { event: { data: items } }) as string).length, 1e7);
});
