import { event, rule, type } from "whenthen";

/** The same as order.yaml, in TypeScript. */
export default rule({
  name: "Order, in TypeScript",
  when: event("order.wanted", type<{ id: string; amount: number }>()),
  config: { warehouse: { type: "url", default: "https://warehouse.example.org" } },
  then: async ({ event: { data: order }, config, step }) => {
    const reservation = `${config.warehouse}/reservations/${encodeURIComponent(order.id)}`;
    await step.http("reserve", `POST ${reservation}`);
    const payment = await step.waitFor("payment", "payment.received", {
      match: { "data.order": order.id },
      timeout: "3d",
    });
    if (payment === null) {
      await step.http("release", `DELETE ${reservation}`);
      return await step.stop("late", "Not paid within three days");
    }
    await step.http("ship", `POST ${config.warehouse}/shipments/${encodeURIComponent(order.id)}`);
    await step.emit("tell", "order.shipped", { subject: order.id });
  },
});
