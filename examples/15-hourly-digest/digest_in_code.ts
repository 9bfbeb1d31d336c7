import { event, rule, type } from "whenthen";

interface Comment {
  customer: string;
  text: string;
  spam?: boolean;
}

/** The same as digest.yaml, in TypeScript. */
export default rule({
  name: "Comments of the last hour, in TypeScript",
  when: event("remark.added", type<Comment>(), { batch: { every: "1h" } }),
  key: "event.data.customer",
  if: "!default(event.data.spam, false)",
  config: { team: { type: "email", default: "team@example.org" } },
  then: async ({ event: { subject, data: { count, events } }, config, step }) => {
    await step.mail("tell", config.team, {
      subject: `${subject}: ${count} new ${count === 1 ? "comment" : "comments"}`,
      text: events.map(({ data }) => data.text).join("\n\n"),
    });
  },
});
