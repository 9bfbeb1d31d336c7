import { testRule } from "whenthen";
import report from "./report_in_code.ts";

const begin = { now: "2027-01-06T12:00:00+01:00", stub: { report: { status: 201 } } }; // a Wednesday

testRule(report, "each Monday, also when nothing came", begin, async (t) => {
  await t.send({ type: "order.settled", data: { amount: 12.5 } });
  await t.send({ type: "order.settled", data: { amount: 7 } });
  t.expect({ verdict: "batched", run: "none" });
  await t.advance("2027-01-11T07:59:59+01:00");
  t.expect({ run: "none" });
  await t.advance("1s");
  const first = { json: { until: "2027-01-11T07:00:00.000Z", orders: 2, total: 19.5 } };
  t.expect({ runs: ["succeeded"], calls: [first] }, { exact: true });
  await t.advance("7d");
  const second = { json: { until: "2027-01-18T07:00:00.000Z", orders: 0, total: 0 } };
  t.expect({ runs: ["succeeded", "succeeded"], calls: [first, second] }, { exact: true });
});
