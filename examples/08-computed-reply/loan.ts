import { rule, webhook } from "whenthen";

/** The same in TypeScript, for a GET: http://127.0.0.1:8080/hooks/loan/12000?months=24 */
export default rule({
  name: "Monthly payment of a loan",
  when: webhook("/loan/:amount", { auth: "none", method: "GET" }),
  config: { yearlyRate: 3.6 },
  then: async ({ event: { http }, config, step }) => {
    const amount = Number(http.params.amount);
    const months = Number(http.query.months ?? 12);
    if (!(amount > 0 && Number.isInteger(months) && months > 0)) {
      return await step.reply("refuse", 400, { json: { error: "/loan/<amount>?months=<whole number>" } });
    }
    const rate = config.yearlyRate / 100 / 12;
    const payment = amount * rate / (1 - (1 + rate) ** -months);
    await step.reply("answer", 200, { json: { amount, months, payment: Math.round(payment * 100) / 100 } });
  },
});
