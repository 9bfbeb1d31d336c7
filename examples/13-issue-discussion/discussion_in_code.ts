import { manual, rule } from "whenthen";

interface Mail {
  from: string;
  subject: string;
}

const WEEK = 7 * 24 * 3_600_000;

/** The same cycle as discussion.yaml, in TypeScript: the loop is a loop, the branches are functions. */
export default rule({
  name: "Issue discussion, in TypeScript",
  when: manual(),
  config: {
    list: { type: "url", default: "https://list.example.org" },
    calendar: { type: "url", default: "https://calendar.example.org" },
  },
  then: async ({ event, config, step }) => {
    const deadline = new Date(Date.parse(event.time) + WEEK).toISOString();
    await step.http("announce", `POST ${config.list}/announcements`, {
      json: { text: `The list of issues is open for discussion until ${deadline}` },
    });

    // Two branches of which one ends the other: the loop goes on until the deadline, also while a form is open.
    const hourly = async () => {
      for (;;) {
        const mails = await step.http<Mail[]>("mails", `GET ${config.list}/pending`, { format: "json" });
        if (mails.body.length > 0) {
          const { decision, by, note } = await step.form("moderate", `${mails.body.length} mails to moderate`, {
            to: "moderators",
            fields: {
              decision: { type: "choice", choices: ["publish", "reject"] },
              note: { type: "text", lines: 4, required: false },
            },
          });
          await step.http("tell", `POST ${config.list}/${decision}`, { json: { mails: mails.body, by, note } });
        }
        await step.wait("hour", "1h");
      }
    };
    const moderation = () => step.any("moderation", { hourly, deadline: () => step.wait("end", deadline) });

    const warning = async () => {
      await step.wait("sixDays", "6d");
      await step.http("warn", `POST ${config.list}/announcements`, { json: { text: "The discussion ends tomorrow" } });
    };

    const call = async () => {
      const calls = await step.http<Mail[]>("calls", `GET ${config.calendar}/calls?week=${event.time.slice(0, 10)}`, {
        format: "json",
      });
      if (calls.body.length > 0) await step.http("block", `POST ${config.calendar}/block`, { json: calls.body[0] });
      return calls.body.length > 0;
    };

    const week = await step.all("week", { moderation, warning, call });
    await step.http("evaluate", `POST ${config.list}/evaluations`, { json: { call: week.call } });
  },
});
