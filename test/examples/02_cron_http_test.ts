import assert from "node:assert/strict";
import { command } from "../e2e/command.ts";
import { start } from "../e2e/program.ts";
import { WebServer } from "../e2e/web_server.ts";
import { copyExample } from "./example.ts";

Deno.test("example 02: check shows the next working mornings in the rule's time zone", async () => {
  await using folder = await copyExample("02-cron-http");
  const { code, stdout } = await command("check", folder.rules, "--json");
  assert.equal(code, 0, stdout);
  const next: number[] = JSON.parse(stdout).rules[0].triggers[0].next;
  assert.equal(next.length, 5);
  for (const time of next) {
    const local = new Intl.DateTimeFormat("en-GB", {
      weekday: "short",
      hour: "2-digit",
      minute: "2-digit",
      timeZone: "Europe/Berlin",
    });
    assert.match(local.format(new Date(time)), /^(Mon|Tue|Wed|Thu|Fri),? 08:30$/);
  }
});

Deno.test("example 02: at its time the digest fetches the orders, retries if the shop fails, and posts", async () => {
  await using peer = await WebServer.start((seen, response, count) => {
    if (count === 1) return response.writeHead(503).end();
    response.setHeader("content-type", "application/json");
    response.end(seen.method === "GET" ? '[{"id":1},{"id":2},{"id":3}]' : "{}");
  });
  await using folder = await copyExample("02-cron-http", {
    "config.yaml": `digest: { schedule: "* * * * * *", shop: "${peer.url}", chat: "${peer.url}/chat" }`,
  });
  await using _program = start(folder.rules, { data: folder.data });
  const [post] = await peer.waitFor(1, ({ method }) => method === "POST");
  assert.match(JSON.parse(post.body).text, /^\d{4}-\d{2}-\d{2}: 3 open orders$/);
  assert.ok(peer.seen.every(({ path }) => path === "/orders?state=open" || path === "/chat"));
});
