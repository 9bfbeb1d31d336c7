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
  then: async ({ event, config, step }) => {
    const amounts = event.data.events.map(({ data }) => data.amount);
    await step.http("report", `POST ${config.office}`, {
      json: { orders: amounts.length, total: amounts.reduce((sum, amount) => sum + amount, 0) },
    });
  },
});
