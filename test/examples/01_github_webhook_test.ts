import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import examples from "@octokit/webhooks-examples/api.github.com/index.json" with { type: "json" };
import { start } from "../e2e/program.ts";
import { WebServer } from "../e2e/web_server.ts";
import { copyExample } from "./example.ts";

const SECRET = "It's a Secret to Everybody";

interface Push {
  ref: string;
  repository: { full_name: string; default_branch: string };
  commits: unknown[];
}

const pushes = (examples as unknown as { name: string; examples: Push[] }[])
  .find(({ name }) => name === "push")!.examples;

Deno.test("example 01: a push signed by GitHub is announced once; a forged one and another branch are not", async () => {
  await using chat = await WebServer.start();
  await using folder = await copyExample("01-github-webhook", {
    "config.yaml": `push: { chat: "${chat.url}/room" }`,
  });
  await using program = start(folder.rules, { data: folder.data, env: { GITHUB_WEBHOOK_SECRET: SECRET } });
  const deliver = (event: string, payload: unknown, id: string, secret = SECRET) => {
    const signature = createHmac("sha256", secret).update(JSON.stringify(payload)).digest("hex");
    const headers = { "x-github-event": event, "x-github-delivery": id, "x-hub-signature-256": `sha256=${signature}` };
    return program.post("/hooks/github", payload, headers);
  };
  const [payload] = pushes;
  const commit = { id: "0123456789abcdef", message: "Mend the roof\n\nIt leaked" };
  const ref = `refs/heads/${payload.repository.default_branch}`;
  const push = { ...payload, ref, commits: [commit] };

  assert.equal((await deliver("ping", { zen: "Keep it simple" }, "d0")).status, 200);
  assert.equal((await deliver("push", push, "d1", "a guess")).status, 401);
  assert.equal((await deliver("push", { ...push, ref: "refs/heads/else" }, "d2")).status, 202);
  const first = await deliver("push", push, "d3");
  assert.equal(first.status, 202);
  const again = await deliver("push", push, "d3");
  assert.deepEqual([again.status, again.body.duplicate], [200, true]);

  const [told] = await chat.waitFor(1);
  const { text } = JSON.parse(told.body);
  assert.ok(text.includes(`pushed to ${payload.repository.full_name}:\n0123456 Mend the roof\n`), text);
  await program.waitForMessage("push succeeded");
  assert.equal((await program.api("runs?rule=push")).length, 1);
  assert.equal(chat.seen.length, 1);
});
