import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { start, whenthen } from "../e2e/program.ts";
import { until } from "../e2e/until.ts";
import { copyExample, ROOT } from "./example.ts";
import { readFile } from "node:fs/promises";
import { join } from "node:path";

Deno.test("example 24: a web server that answers 503 is dead, restarted, and back; its headers are read by a task", async () => {
  let status = 200;
  const server = createServer((_request, response) => response.writeHead(status, { "x-server": "shop" }).end());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/health`;
  try {
    const text = await readFile(join(ROOT, "examples/24-web-servers/servers.yaml"), "utf8");
    const servers = text.replaceAll(/url: "http[^"]*"/g, `url: "${url}"`)
      .replace("every: [20s, 40s], timeout: 5s", "every: [50ms, 100ms], timeout: 1s").replace("again: 5m", "again: 1s");
    await using folder = await copyExample("24-web-servers", { "servers.yaml": servers });
    await using program = start(folder.rules, { data: folder.data });
    const stateOf = async () => (await program.api("device?fleet=servers&name=shop")).state;
    await until("shop is reachable", () => stateOf().catch(() => ""), (state) => state === "reachable");
    const read = await whenthen(["--data", folder.data, "task", "servers", "headers", "--to", "shop"]);
    assert.match(read.stdout, /"x-server":"shop"/);
    status = 503;
    await until("shop is restarted", () => program.api("runs?waiting=true"), (runs) => runs.length === 3);
    status = 200;
    await program.waitForMessage("shop is back");
    const runs = await program.api("runs?subject=shop&rule=restart_dead");
    assert.equal(runs.length, 1, "restarted once");
  } finally {
    server.close();
    server.closeAllConnections();
  }
});
