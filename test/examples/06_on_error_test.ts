import assert from "node:assert/strict";
import { command } from "../e2e/command.ts";
import { start } from "../e2e/program.ts";
import { WebServer } from "../e2e/web_server.ts";
import { copyExample } from "./example.ts";

Deno.test("example 06: the second source is used; a failed backup is reported and stays failed", async () => {
  await using peer = await WebServer.start((seen, response) => {
    if (seen.path.startsWith("/first")) return response.writeHead(503).end("down");
    response.writeHead(200, { "content-type": "application/json" }).end('{"USD":1.07}');
  });
  await using folder = await copyExample("06-on-error", {
    "config.yaml": `
rates: { first: "${peer.url}/first", second: "${peer.url}/second" }
backup: { pager: "${peer.url}/pager" }
`,
  });
  await using program = start(folder.rules, { data: folder.data });
  await program.url();
  const emit = async (...words: string[]) => {
    const { code, stdout, stderr } = await command("--data", folder.data, "emit", ...words);
    assert.equal(code, 0, stdout + stderr);
  };

  await emit("rates.wanted");
  await program.waitForMessage("1 EUR = 1.07 USD, history: none");
  await program.waitForMessage("rates succeeded");
  assert.deepEqual(peer.seen.map(({ path }) => path), ["/first", "/first", "/second", "/first/history"]);

  assert.equal((await command("--data", folder.data, "start", "backup")).code, 0);
  const [alert] = await peer.waitFor(1, ({ path }) => path === "/pager");
  const { step, message, run } = JSON.parse(alert.body);
  assert.equal(step, "dump");
  assert.match(message, /exit code 28: no space left on/);
  await program.waitForMessage("backup failed");
  const trace = await program.api(`runs/${run}`);
  assert.equal(trace.run.state, "failed");
});
