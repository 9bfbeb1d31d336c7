import assert from "node:assert/strict";
import { command } from "./command.ts";
import { rulesFolder } from "./folder.ts";
import { start } from "./program.ts";
import { WebServer } from "./web_server.ts";

const rule = (url: string, more = "") => `
when:
  poll: ${url}
  every: 1s
  key: item.id
  on: [added, changed, removed]
${more}
limit: none
then:
  - log: "\${{ event.type }} \${{ event.subject }}"
`;

const items = (...prices: number[]) => JSON.stringify(prices.map((price, index) => ({ id: `i${index}`, price })));

Deno.test("a poll survives 304, 429, 500 and truncated JSON without losing its baseline", async () => {
  await using peer = await WebServer.start((seen, response) => {
    response.setHeader("content-type", "application/json");
    response.setHeader("etag", '"one"');
    if (seen.headers["if-none-match"] === '"one"') return response.writeHead(304).end();
    response.end(items(1, 2));
  });
  await using folder = await rulesFolder({ "p.yaml": rule(`${peer.url}/items`) });
  await using program = start(folder.rules, { data: folder.data });
  await peer.waitFor(2, ({ headers }) => headers["if-none-match"] === '"one"');

  peer.answer((_, response) => response.writeHead(500).end("broken"));
  await peer.waitFor(peer.seen.length + 2);
  peer.answer((_, response) =>
    response.writeHead(200, { "content-type": "application/json" }).end(items(1, 2, 3).slice(0, -9))
  );
  await peer.waitFor(peer.seen.length + 2);
  let limited = 0;
  peer.answer((_, response) => {
    limited ||= Date.now();
    response.writeHead(429, { "retry-after": "3" }).end();
  });
  await peer.waitFor(peer.seen.length + 1);
  peer.answer((_, response) => response.writeHead(200, { "content-type": "application/json" }).end(items(1, 5, 3)));
  await peer.waitFor(peer.seen.length + 1);
  assert.ok(Date.now() - limited >= 2_900, "Retry-After is honoured");
  await program.waitForMessage("changed i1");
  await program.waitForMessage("added i2");
  peer.answer((_, response) => response.writeHead(200, { "content-type": "application/json" }).end(items(1, 5)));
  await program.waitForMessage("removed i2");
  const runs = program.lines.filter(({ message }) => /^(added|changed|removed) i\d$/.test(message));
  assert.equal(runs.length, 3);
});

Deno.test("a feed: the first items are no events, each new item is one, even if it came while the program was down", async () => {
  const feed = (...titles: string[]) =>
    `<?xml version="1.0" encoding="UTF-8"?>\n<rss version="2.0"><channel><title>News</title>${
      titles.map((title, index) =>
        `<item><guid isPermaLink="false">n-${index}</guid><title><![CDATA[${title}]]></title><link>https://news.example.org/${index}?a=1&amp;b=2</link><pubDate>Sat, 21 Nov 2026 07:0${index}:00 GMT</pubDate></item>`
      ).join("")
    }</channel></rss>`;
  await using peer = await WebServer.start((_, response) => {
    response.setHeader("content-type", "application/rss+xml");
    response.end(feed("First & foremost"));
  });
  const text = rule(`${peer.url}/feed`, "  format: feed").replace("${{ event.subject }}", "${{ event.data.new.title }}")
    .replace("on: [added, changed, removed]", "on: [added]");
  await using folder = await rulesFolder({ "news.yaml": text });
  {
    await using program = start(folder.rules, { data: folder.data });
    await peer.waitFor(2);
    peer.answer((_, response) =>
      response.writeHead(200, { "content-type": "application/rss+xml" }).end(feed("First & foremost", "Second <b>"))
    );
    await program.waitForMessage("added Second <b>");
    // A run stopped before its step is recorded executes it again.
    await program.waitForMessage("news succeeded");
    assert.equal(await program.stop(), 0);
  }
  peer.answer((_, response) =>
    response.writeHead(200, { "content-type": "application/rss+xml" }).end(
      feed("First & foremost", "Second <b>", "Third"),
    )
  );
  await using program = start(folder.rules, { data: folder.data });
  await program.waitForMessage("added Third");
  const runs = program.lines.filter(({ message }) => message.startsWith("added "));
  assert.equal(runs.length, 1);
});

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
    return (await command("--data", folder.data, "show", run.id)).stdout;
  };
  assert.match(await show("orders"), /\n {4}error {4}POST .*\/tell answered 500/, "no class, no frames of the program");
  const thrown = await show("thrown");
  assert.match(thrown, /arguments go under with, as in with: \{ text: … \}/);
  assert.doesNotMatch(thrown, /\b(node|ext|file):|NodeWorker/, "only frames of the files of the user");
});
