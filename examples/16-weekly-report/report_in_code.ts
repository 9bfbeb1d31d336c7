import { event, rule, type } from "whenthen";

interface Order {
  amount: number;
}

/** The same as report.yaml, in TypeScript; the batch's events are typed. */
export default rule({
  name: "Weekly report, in TypeScript",
  when: event("order.settled", type<Order>(), {
    batch: { cron: "0 8 * * 1", timezone: "Europe/Berlin", empty: true },
  }),
  config: { office: { type: "url", default: "https://office.example.org/reports" } },
  then: async ({ event: { data: { scheduled, count, events } }, config, step }) => {
    const total = events.reduce((sum, { data }) => sum + data.amount, 0);
    await step.http("report", `POST ${config.office}`, { json: { until: scheduled, orders: count, total } });
  },
});
