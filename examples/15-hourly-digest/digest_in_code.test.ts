import { testRule } from "whenthen";
import digest from "./digest_in_code.ts";

testRule(digest, "one mail an hour for each customer", { stub: { mail: {} } }, async (t) => {
  const comment = (customer: string, text: string, spam?: boolean) =>
    t.send({ type: "remark.added", data: { customer, text, spam } });
  await comment("c1", "Hello");
  t.expect({ verdict: "batched", run: "none" });
  await t.advance("10m");
  await comment("c2", "Hi");
  await comment("c1", "Buy this", true);
  t.expect({ verdict: "condition" });
  await t.advance("49m");
  await comment("c1", "And goodbye");
  t.expect({ run: "none" });
  await t.advance("1m");
  const first = { mail: "team@example.org", subject: "c1: 2 new comments", text: "Hello\n\nAnd goodbye" };
  t.expect({ runs: ["succeeded"], calls: [first] }, { exact: true });
  await t.advance("10m");
  const second = { mail: "team@example.org", subject: "c2: 1 new comment", text: "Hi" };
  t.expect({ runs: ["succeeded", "succeeded"], calls: [first, second] }, { exact: true });
});

testRule(digest, "no comment, no mail", async (t) => {
  await t.advance("1d");
  t.expect({ run: "none" });
});
