import { manual, rule } from "whenthen";

interface Mail {
  from: string;
  subject: string;
}

interface Call {
  subject: string;
  at: string;
}

/** The same cycle as discussion.yaml, in TypeScript, started by hand: the loop is a loop, the branches are functions. */
export default rule({
  name: "Issue discussion, in TypeScript",
  when: manual(),
  config: {
    list: { type: "url", default: "https://list.example.org" },
    calendar: { type: "url", default: "https://calendar.example.org" },
  },
  then: async ({ event, config, step }) => {
    const announce = (name: string, text: string) =>
      step.http(name, `POST ${config.list}/announcements`, { json: { text } });

    const moderate = async () => {
      const { body: mails } = await step.http<Mail[]>("mails", `GET ${config.list}/pending`);
      if (mails.length === 0) return;
      const { decision, by, note } = await step.form("moderate", `Mails to moderate: ${mails.length}`, {
        to: "moderators",
        fields: {
          decision: { type: "choice", choices: ["publish", "reject"] },
          note: { type: "text", lines: 4, required: false },
        },
      });
      await step.http("tell", `POST ${config.list}/${decision}`, { json: { mails, by, note } });
    };

    const loop = async () => {
      for (;;) {
        // The list cannot be read, or refuses the decision: again in an hour.
        await moderate().catch((error) => step.log("trouble", error.message, { level: "warn" }));
        await step.wait("hour", "1h");
      }
    };

    // The deadline ends the loop, even while a form is open.
    const moderation = () => step.any("discussion", { deadline: () => step.wait("wait", "7d"), loop });

    const warning = async () => {
      await step.wait("sixDays", "6d");
      await announce("warn", "The discussion ends tomorrow");
    };

    const call = async () => {
      const week = event.time.slice(0, 10);
      const { body: [first] } = await step.http<Call[]>("calls", `GET ${config.calendar}/calls`, { query: { week } });
      if (first !== undefined) await step.http("block", `POST ${config.calendar}/block`, { json: first });
      return first !== undefined;
    };

    await announce("announce", "The list of issues is open for discussion for a week");
    const week = await step.all("week", { moderation, warning, call });
    await step.http("evaluate", `POST ${config.list}/evaluations`, { json: { call: week.call } });
  },
});
