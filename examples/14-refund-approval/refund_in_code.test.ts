import { testRule } from "whenthen";
import refund from "./refund_in_code.ts";

const wanted = (order: string, amount: number) => ({ type: "refund.wanted", data: { order, amount } });
const mailed = (...people: string[]) => people.map((person) => ({ mail: `${person}@example.org` }));

testRule(refund, "a small refund needs nobody", { stub: { pay: {} } }, async (t) => {
  await t.send(wanted("A1", 20));
  t.expect({ run: "succeeded", form: "none", events: [{ type: "refund.paid", subject: "A1" }] });
  t.expect({ calls: [{ http: "POST https://pay.example.org/refunds/A1", json: { amount: 20 } }] }, { exact: true });
});

testRule(refund, "asked again after a day; the CFO decides after two", { stub: { pay: {}, mail: {} } }, async (t) => {
  await t.send(wanted("A2", 250));
  t.expect({ form: { step: "approval", to: ["finance"], until: "2027-01-09T09:00:00Z" } });
  t.expect({ calls: mailed("anna", "ben") }, { exact: true });
  await t.advance("1d");
  t.expect({ calls: mailed("anna", "ben", "anna", "ben") }, { exact: true });
  await t.answer("approval", { as: "carl", with: { decision: "approve" }, refused: "forbidden" });
  await t.advance("1d");
  t.expect({ form: { to: ["finance", "cfo"] }, calls: mailed("carl") });
  await t.answer("approval", { as: "carl", with: { decision: "approve" } });
  t.expect({ run: "succeeded", calls: [{ http: "POST https://pay.example.org/refunds/A2" }] });
});

testRule(refund, "a rejection pays nothing", async (t) => {
  await t.send(wanted("A3", 250));
  await t.answer("approval", { as: "anna", with: { decision: "reject", reason: "Used" } });
  t.expect(
    { run: "succeeded", calls: [], events: [{ type: "refund.rejected", data: { reason: "Used", by: "anna" } }] },
    {
      exact: true,
    },
  );
});

testRule(refund, "nobody answers", { stub: { mail: {} } }, async (t) => {
  await t.send(wanted("A4", 250));
  await t.send(wanted("A4", 30));
  t.expect({ verdict: "busy" });
  await t.advance("5d");
  t.expect({ run: "failed", form: "none", error: "Nobody answered" });
});
