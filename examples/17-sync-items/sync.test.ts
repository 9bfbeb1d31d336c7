import assert from "node:assert/strict";
import { type RuleTester, testRule } from "whenthen";
import sync from "./sync_in_code.ts";

const TOTAL = 1_000;
const items = Array.from({ length: TOTAL }, (_, index) => ({ id: `i${index}`, price: index }));
// Every hundredth item is refused.
const refused = items.filter((_, index) => index % 100 === 99);
const answers = refused.map(({ price }) => [`items[${price}]/put`, { status: 422 }]);
const stub = { list: { body: items }, put: {}, ...Object.fromEntries(answers) };

async function sendsAll(t: RuleTester): Promise<void> {
  const put = () => t.seen.calls.filter(({ step }) => step !== "list");
  await t.send({});
  await t.advance("20s");
  assert.equal(put().length, 201);
  await t.advance("79s");
  assert.equal(put().length, 991);
  t.expect({ run: "waiting" });
  await t.advance("1s");
  assert.deepEqual(put().map(({ json }) => json), items);
  t.expect({ run: "succeeded", logs: ["990 of 1000 items are in sync"] });
  const told = refused.map(({ id }) => `Item ${id}: PUT https://crm.example.org/items/${id} answered 422`);
  assert.deepEqual(t.seen.logs.slice(1), told);
}

testRule(
  "sync",
  "in YAML, 1,000 items at ten a second: each is sent once, and told where it is refused",
  { stub },
  sendsAll,
);
testRule(
  sync,
  "in code, 1,000 items at ten a second: each is sent once, and told where it is refused",
  { stub },
  sendsAll,
);
