import assert from "node:assert/strict";
import { rulesFolder } from "./folder.ts";
import { start } from "./program.ts";
import { WebServer } from "./web_server.ts";

/** 8 MB, which take about a second to parse. */
const COLUMNS = Array.from({ length: 20 }, (_, index) => `c${index}`);
const TABLE = [COLUMNS, ...Array.from({ length: 130_000 }, () => COLUMNS)].map((row) => row.join(",")).join("\n");

/** One small item, however large the document: parsing takes the time. */
const POLL = (url: string) => `
when:
  poll: ${url}
  every: 1h
  first: emit
  format: csv
  items: "[{'rows': body.size(), 'last': body[129999].c19}]"
  key: item.rows
then:
  - log: "\${{ event.data.new.rows }} rows, the last with \${{ event.data.new.last }}"
`;

Deno.test("the program answers requests while a poll parses a table of 8 MB", async () => {
  const sent = Promise.withResolvers<void>();
  await using peer = await WebServer.start((_, response) => {
    response.writeHead(200, { "content-type": "text/csv" });
    response.on("finish", sent.resolve).end(TABLE);
  });
  await using folder = await rulesFolder({ "table.yaml": POLL(`${peer.url}/table`) });
  await using program = start(folder.rules, { data: folder.data });
  await program.url();
  await sent.promise;
  let isRead = false;
  const read = program.waitForMessage("130000 rows, the last with c19").then(() => isRead = true);
  let answered = 0;
  while (!isRead) {
    assert.equal((await program.fetch("/healthz")).status, 200);
    answered++;
  }
  await read;
  // If the main thread parsed, only one or two would be answered: before it begins and after it has ended.
  assert.ok(answered >= 10, `it answered ${answered} requests`);
});

Deno.test("a large body that cannot be parsed is a failed poll that says why, and the next one works", async () => {
  await using peer = await WebServer.start((_, response) => {
    response.writeHead(200, { "content-type": "application/json" }).end(`${"[1,".repeat(100_000)}`);
  });
  await using folder = await rulesFolder({
    "json.yaml":
      `when:\n  poll: ${peer.url}/json\n  every: 1s\n  first: emit\n  key: item.id\nthen:\n  - log: "found \${{ event.subject }}"\n`,
  });
  await using program = start(folder.rules, { data: folder.data });
  await program.waitForMessage("expected JSON, got");
  const items = JSON.stringify([{ id: "a", text: "x".repeat(300_000) }]);
  peer.answer((_, response) => response.writeHead(200, { "content-type": "application/json" }).end(items));
  await program.waitForMessage("found a");
});
