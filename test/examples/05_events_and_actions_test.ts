import assert from "node:assert/strict";
import { start } from "../e2e/program.ts";
import { WebServer } from "../e2e/web_server.ts";
import { copyExample } from "./example.ts";

Deno.test("example 05: an order reaches both rules that listen; both notify by the same action", async () => {
  await using chat = await WebServer.start((seen, response) => {
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ id: `in ${seen.path}` }));
  });
  await using folder = await copyExample("05-events-and-actions");
  const env = { CHAT_URL: chat.url, SHOP_TOKEN: "correct-horse-battery" };
  await using program = start(folder.rules, { data: folder.data, env });
  const order = (id: string, amount: number, token = env.SHOP_TOKEN) =>
    program.post("/hooks/orders", { id, amount, count: 2, item: "roof" }, { authorization: `Bearer ${token}` });

  assert.equal((await order("A1", 50, "wrong")).status, 401);
  assert.equal((await order("A1", 50)).status, 202);
  assert.deepEqual((await order("A1", 50)).body.duplicate, true);
  assert.equal((await order("A2", 5_000)).status, 202);

  await chat.waitFor(3);
  const told = chat.seen.map(({ path, body }) => `${path} ${JSON.parse(body).text}`).sort();
  assert.deepEqual(told, [
    "/rooms/accounting Order A2 is worth 5000 EUR",
    "/rooms/warehouse Pack 2 × roof for order A1",
    "/rooms/warehouse Pack 2 × roof for order A2",
  ]);
  await program.waitForMessage("invoice succeeded");
  const [announced] = await program.api("events?type=invoice.announced");
  assert.deepEqual(announced.event.data, { message: "in /rooms/accounting" }, JSON.stringify(announced));
});
