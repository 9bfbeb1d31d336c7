import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { start } from "../e2e/program.ts";
import { WebServer } from "../e2e/web_server.ts";
import { copyExample } from "./example.ts";

Deno.test("example 03: changes of the price list reach the script, with old, new and diff", async () => {
  let products: object[] = [
    { sku: "A", price: 10, updatedAt: 1 },
    { sku: "B; rm -rf /", price: 5, updatedAt: 1 },
    { sku: "C", price: 7, updatedAt: 1 },
  ];
  await using shop = await WebServer.start((_, response) => {
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ products }));
  });
  await using folder = await copyExample("03-poll-diff-shell", {
    "config.yaml": `prices: { source: "${shop.url}/prices.json", interval: 300ms }`,
  });
  await using program = start(folder.rules, { data: folder.data });
  await shop.waitFor(1);
  products = [
    { sku: "A", price: 12, updatedAt: 2 },
    { sku: "B; rm -rf /", price: 4, updatedAt: 2 },
    { sku: "D", price: 1, updatedAt: 2 },
  ];
  await program.waitFor("four runs", () => {
    return program.lines.filter(({ message }) => message.startsWith("prices succeeded")).length === 4;
  });
  const lines = (await readFile(join(folder.rules, "changes.log"), "utf8")).trimEnd().split("\n").sort();
  assert.deepEqual(lines.map((line) => line.slice(0, line.indexOf(" {"))), [
    "added D",
    "changed A",
    "changed B; rm -rf /",
    "removed C",
  ]);
  const changed = JSON.parse(lines[1].slice("changed A ".length));
  assert.deepEqual([changed.old.price, changed.new.price, changed.diff.price], [10, 12, [10, 12]]);
});
