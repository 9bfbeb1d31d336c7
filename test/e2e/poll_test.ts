import assert from "node:assert/strict";
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
