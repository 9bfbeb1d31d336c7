import { testRule } from "whenthen";
import loan from "./loan.ts";

testRule(loan, "tells the monthly payment", async (t) => {
  await t.send({ webhook: "/loan/12000", query: { months: "24" } });
  t.expect({ response: { status: 200, json: { amount: 12_000, months: 24, payment: 518.97 } } });
});

testRule(loan, "counts with the rate that is configured", { config: { yearlyRate: 12 } }, async (t) => {
  await t.send({ webhook: "/loan/1000" });
  t.expect({ response: { json: { payment: 88.85 } } });
});

testRule(loan, "refuses what is no amount", async (t) => {
  await t.send({ webhook: "/loan/much" });
  t.expect({ run: "succeeded", response: { status: 400 }, steps: ["refuse"] }, { exact: true });
});
