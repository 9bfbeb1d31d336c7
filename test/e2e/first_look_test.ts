import assert from "node:assert/strict";
import { rulesFolder } from "./folder.ts";
import { start, whenthen } from "./program.ts";
import { WebServer } from "./web_server.ts";

/** What a new user tries first, and sees on the screen. */
Deno.test("a failing step, its fallback and its error are readable in show; a CloudEvent may be sent as plain JSON", async () => {
  await using server = await WebServer.start((_, response) => {
    response.statusCode = 500;
    response.end("oops");
  });
  await using folder = await rulesFolder({
    "orders.yaml": `
when: { event: order.created }
then:
  - id: tell
    http: POST ${server.url}/tell
    retry: 1
    onError:
      - log: "not told: \${{ errors.tell.message }} (\${{ error.step }})"
  - http: ${server.url}/again
    retry: 1
`,
    "thrown.ts": `
import { event, rule } from "whenthen";
export default rule({
  when: event("order.created"),
  then: async ({ step }) => {
    await step.call("tell", "./lib.ts#tell", { text: "hi" } as never);
  },
});
`,
    "lib.ts": "export const tell = () => 1;\n",
  });
  await using program = start(folder.rules, { data: folder.data });
  const event = { specversion: "1.0", id: "A1", source: "/shop", type: "order.created", data: {} };
  const answer = await program.post("/events", event);
  assert.equal(answer.status, 202, JSON.stringify(answer.body));
  const told = await program.waitForMessage("not told: ");
  assert.match(told.message, /POST .*\/tell answered 500 Internal Server Error: oops \(tell\)$/);
  const show = async (rule: string) => {
    await program.waitForMessage(`${rule} failed`);
    const run = (await program.api("runs")).find((run: { rule: string }) => run.rule === rule);
    return (await whenthen(["--data", folder.data, "show", run.id])).stdout;
  };
  assert.match(await show("orders"), /\n {4}error {4}POST .*\/tell answered 500/, "no class, no frames of the program");
  const thrown = await show("thrown");
  assert.match(thrown, /arguments go under with, as in with: \{ text: … \}/);
  assert.doesNotMatch(thrown, /\b(node|ext|file):|NodeWorker/, "only frames of the files of the user");
});
