import { rule, webhook } from "whenthen";

/**
 * Tells a chat room about pushes to the default branch.
 *
 * In the settings of the repository add a webhook with the address https://<your host>/hooks/github, the content type
 * application/json and a secret; put the same secret into the environment variable GITHUB_WEBHOOK_SECRET, or into .env
 * beside this file. Requests with a wrong signature are answered 401. A redelivery has the id of the first delivery, so
 * nothing is posted twice.
 */
export default rule({
  name: "Tell about pushes",
  when: webhook("/github", { auth: "github", secret: "GITHUB_WEBHOOK_SECRET", maxBody: "25MB" }),
  // CEL, decided before anything runs: the verdict of other events says which clause did not hold, and why.
  if: [
    "event.type == 'github.push'",
    "event.data.ref == 'refs/heads/' + event.data.repository.default_branch",
    "size(event.data.commits) > 0",
  ],
  config: {
    chat: { type: "url", help: "Where messages are posted", default: "https://chat.example.org/hooks/team" },
  },
  then: async ({ event, config, step }) => {
    if (event.type !== "github.push") return; // Never here, by the condition: it tells the compiler which event it is.
    const push = event.data;
    const lines = push.commits.map(({ id, message }) => `${id.slice(0, 7)} ${message.split("\n")[0]}`);
    const text = `${push.pusher.name} pushed to ${push.repository.full_name}:\n${lines.join("\n")}\n${push.compare}`;
    // Every effect is a step with a name: recorded, and not repeated when the run resumes after a crash.
    await step.http("tell", `POST ${config.chat}`, { json: { text }, retry: 5 });
  },
});
