import { type RuleTester, testRule } from "whenthen";
import order from "./order_in_code.ts";

const warehouse = "https://warehouse.example.org";
const place = (t: RuleTester) => t.send({ type: "order.wanted", data: { id: "A1", amount: 40 } });
const pay = (t: RuleTester, id?: string) =>
  t.send({ type: "payment.received", ...id && { id }, data: { order: "A1" } });

testRule(order, "paid in time", { stub: { http: { status: 201 } } }, async (t) => {
  await place(t);
  t.expect({ run: "waiting", waits: [{ step: "payment", kind: "event", until: "2027-01-07T09:00:00Z" }] });
  await t.send({ type: "payment.received", data: { order: "B2" } });
  t.expect({ run: "waiting", verdict: "unmatched" });
  await t.advance("2d");
  await pay(t);
  t.expect({
    run: "succeeded",
    calls: [{ http: `POST ${warehouse}/reservations/A1` }, { http: `POST ${warehouse}/shipments/A1` }],
    events: [{ type: "order.shipped", subject: "A1" }],
  }, { exact: true });
});

testRule(order, "paid before it is waited for", {
  stub: { reserve: [{ status: 503 }, { status: 201 }], http: { status: 201 } },
}, async (t) => {
  await place(t);
  t.expect({ steps: { reserve: "retrying", payment: "none" } });
  await pay(t);
  await t.advance("1m");
  t.expect({ run: "succeeded", events: [{ type: "order.shipped" }] });
});

testRule(order, "paid twice", { stub: { http: { status: 201 } } }, async (t) => {
  await place(t);
  await pay(t, "p1");
  await pay(t, "p1");
  t.expect({ verdict: "duplicate" });
  await pay(t, "p2");
  t.expect({ verdict: "unmatched", runs: ["succeeded"], events: [{ type: "order.shipped" }] }, { exact: true });
});

testRule(order, "never paid", { stub: { http: { status: 201 } } }, async (t) => {
  await place(t);
  await t.advance("3d");
  t.expect({ run: "succeeded", output: "Not paid within three days", events: [] }, { exact: true });
  t.expect({ calls: [{ http: `DELETE ${warehouse}/reservations/A1` }] });
});
