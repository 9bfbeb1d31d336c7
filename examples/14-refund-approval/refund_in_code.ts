import { event, rule, type } from "whenthen";

/** The same as refund.yaml, in TypeScript. */
export default rule({
  name: "Refund, in TypeScript",
  when: event("refund.wanted", type<{ order: string; amount: number }>()),
  key: "event.data.order",
  mode: "single",
  config: { limit: 100, bank: { type: "url", default: "https://pay.example.org" } },
  then: async ({ event: { data: refund }, config, step }) => {
    if (refund.amount > config.limit) {
      const approval = await step.form("approval", `Refund ${refund.amount} EUR for order ${refund.order}?`, {
        to: "finance",
        fields: {
          decision: { type: "choice", choices: ["approve", "reject"] },
          reason: { type: "text", lines: 5, required: false },
        },
        remind: "1d",
        escalate: { after: "2d", to: "cfo" },
        timeout: "5d",
      });
      if (approval === null) return await step.stop("late", "Nobody answered", { as: "failed" });
      if (approval.decision === "reject") {
        const { reason, by } = approval;
        return await step.emit("tell", "refund.rejected", { subject: refund.order, data: { reason, by } });
      }
    }
    await step.http("pay", `POST ${config.bank}/refunds/${refund.order}`, { json: { amount: refund.amount } });
    await step.emit("tell", "refund.paid", { subject: refund.order });
  },
});
