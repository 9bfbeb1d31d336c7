import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import examples from "@octokit/webhooks-examples/api.github.com/index.json" with { type: "json" };
import { rulesFolder } from "./folder.ts";
import { start } from "./program.ts";

const SECRET = "It's a Secret to Everybody";

function deliver(url: string, event: string, body: string, secret = SECRET, id: string = crypto.randomUUID()) {
  const signature = createHmac("sha256", secret).update(body).digest("hex");
  const headers = {
    "content-type": "application/json",
    "user-agent": "GitHub-Hookshot/044aadd",
    "x-github-event": event,
    "x-github-delivery": id,
    "x-hub-signature-256": `sha256=${signature}`,
  };
  return fetch(`${url}/hooks/github`, { method: "POST", headers, body });
}

Deno.test("every real payload of GitHub, signed as GitHub signs, starts one run; tampered ones none", async () => {
  await using folder = await rulesFolder({
    "github.yaml": `
when: { webhook: /github, auth: github, secret: GITHUB_SECRET, maxBody: 5MB }
limit: none
then:
  - log: "\${{ event.type }} \${{ default(event.data.action, '-') }}"
`,
  });
  await using program = start(folder.rules, { data: folder.data, env: { GITHUB_SECRET: SECRET } });
  const url = await program.url();
  let sent = 0;
  const expected: string[] = [];
  for (const { name, examples: payloads } of examples as { name: string; examples: { action?: string }[] }[]) {
    for (const payload of payloads) {
      const response = await deliver(url, name, JSON.stringify(payload));
      const answer = await response.json();
      if (name === "ping") continue;
      assert.equal(response.status, 202, `${name}: ${JSON.stringify(answer)}`);
      expected.push(`github.${name} ${payload.action ?? "-"}`);
      sent++;
    }
  }
  assert.ok(sent > 150, `${sent} payloads`);
  const logged = () => program.lines.map(({ message }) => message).filter((message) => message.startsWith("github."));
  await program.waitFor("all runs", () => logged().filter((line) => !line.startsWith("github.ping")).length >= sent);
  assert.deepEqual(logged().filter((line) => !line.startsWith("github.ping")).sort(), expected.sort());

  const body = JSON.stringify({ action: "opened" });
  assert.equal((await deliver(url, "issues", body, "another secret")).status, 401);
  const first = await deliver(url, "issues", body, SECRET, "delivery-1");
  assert.equal(first.status, 202);
  await first.body?.cancel();
  const again = await deliver(url, "issues", body, SECRET, "delivery-1");
  assert.equal(again.status, 200);
  assert.equal((await again.json()).duplicate, true);
});
