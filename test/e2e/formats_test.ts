import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import { createHash, createHmac } from "node:crypto";
import { mkdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { gzipSync } from "node:zlib";
import { Webhook } from "standardwebhooks";
import { rulesFolder } from "./folder.ts";
import { type Answered, start } from "./program.ts";
import { MailServer } from "./smtp_server.ts";
import { type Seen, WebServer } from "./web_server.ts";

const ATOM = 'xmlns="http://www.w3.org/2005/Atom"';
const rss = (inner: string) => `<rss version="2.0"><channel><title>x</title>${inner}</channel></rss>`;
const latin1 = (text: string) => Buffer.from(text, "latin1");

/** What a server has, how a rule polls it, and what its events are of: each with a part of the item, in any order. */
interface Shape {
  type: string;
  from: string | Uint8Array;
  /** Options of the poll. */
  poll: string;
  items: Answered[];
}

const SHAPES: Record<string, Shape> = {
  xhtml: {
    type: "application/atom+xml",
    from: `<feed ${ATOM} xml:base="https://notes.example/a/"><title>Notes</title><author><name>Ida</name></author>
      <entry xml:base="2026/"><id>n1</id><title>A <b>bold</b> c</title><link href="one.html"/>
      <content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><p>Hi</p></div></content></entry></feed>`,
    poll: "format: feed",
    items: [{
      title: "A bold c",
      author: "Ida",
      content: "<p>Hi</p>",
      link: "https://notes.example/a/2026/one.html",
    }],
  },
  mixed: {
    type: "application/rss+xml",
    from: rss(
      "<item><guid>1</guid><title>pre <![CDATA[in & ]]> mid <![CDATA[ two]]></title><description>&uuml;ber &hearts;</description></item>",
    ),
    poll: "format: feed",
    items: [{ title: "pre in &  mid  two", summary: "über ♥" }],
  },
  prefix: {
    type: "application/xml",
    from:
      `<a:feed xmlns:a="http://www.w3.org/2005/Atom"><a:title>P</a:title><a:entry><a:id>1</a:id><a:title>One</a:title></a:entry></a:feed>`,
    poll: "format: feed",
    items: [{ id: "1", title: "One" }],
  },
  rdf: {
    type: "application/rdf+xml",
    from: `<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:rss="http://purl.org/rss/1.0/">
      <rss:channel rdf:about="https://x.example/"><rss:title>T</rss:title></rss:channel>
      <rss:item rdf:about="https://x.example/a"><rss:title>A</rss:title><rss:link>https://x.example/a</rss:link></rss:item></rdf:RDF>`,
    poll: "format: feed",
    items: [{ id: "https://x.example/a", title: "A", link: "https://x.example/a" }],
  },
  jsonFeed: {
    type: "application/feed+json",
    from:
      `{"version":"https://jsonfeed.org/version/1.1","title":"J","home_page_url":"https://j.example/","authors":[{"name":"Jo"}],
      "items":[{"id":7,"url":"/7","content_html":"<p>x</p>","date_published":"2026-03-01T10:00:00+02:00","_meta":{"score":1}}]}`,
    poll: "format: feed",
    items: [{
      id: "7",
      link: "https://j.example/7",
      content: "<p>x</p>",
      author: "Jo",
      published: "2026-03-01T08:00:00.000Z",
      ext: { _meta: { score: 1 } },
    }],
  },
  podcast: {
    type: "application/rss+xml",
    from:
      `<rss version="2.0" xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd"><channel><title>Tides</title><link>https://pod.example/</link>
      <item><guid>e1</guid><enclosure url="/1.mp3" type="audio/mpeg" length="9"/><itunes:duration>01:02:03</itunes:duration></item></channel></rss><b>ad</b>`,
    poll: "format: feed",
    items: [{
      enclosures: [{ url: "https://pod.example/1.mp3", type: "audio/mpeg", length: "9" }],
      ext: { itunes: { duration: 3723 } },
    }],
  },
  dates: {
    type: "application/rss+xml",
    from: rss(
      ["13.03.2026", "Thu, 31 Feb 2026 10:00:00 GMT", "Mon, 01 Jun 2026 10:00:00 CEST", "2026-06-01T10:00:00"]
        .map((date, index) => `<item><guid>${index}</guid><pubDate>${date}</pubDate></item>`).join(""),
    ),
    poll: "format: feed",
    items: [
      { id: "0", published: null, publishedText: "13.03.2026" },
      { id: "1", published: null, publishedText: "Thu, 31 Feb 2026 10:00:00 GMT" },
      { id: "2", published: "2026-06-01T08:00:00.000Z", publishedText: null },
      { id: "3", published: null, publishedText: "2026-06-01T10:00:00" },
    ],
  },
  sameGuid: {
    type: "application/rss+xml",
    from: rss(
      "<item><guid>0</guid><link>https://x.example/a</link></item><item><guid>0</guid><link>https://x.example/b</link></item>",
    ),
    poll: "format: feed",
    items: [{ id: "0 https://x.example/a" }, { id: "0" }],
  },
  latin: {
    type: "application/xml",
    from: latin1(
      `<?xml version="1.0" encoding="ISO-8859-1"?>${rss("<item><guid>1</guid><title>Grüße</title></item>")}`,
    ),
    poll: "format: feed",
    items: [{ title: "Grüße" }],
  },
  xml: {
    type: "application/xml",
    from:
      `<o:orders xmlns:o="u"><o:order id="7"><line n="1">a &amp; <![CDATA[<b>]]></line><line/></o:order></o:orders>`,
    poll: `format: xml, items: "body['o:orders']['o:order']", key: "item['@id']"`,
    items: [{ "@id": "7", line: [{ "@n": "1", "#text": "a & <b>" }, ""] }],
  },
  headers: {
    type: "text/csv",
    from: 'id,name,name,\n 1 , " a ",b,c\n',
    poll: "format: csv, key: item.id",
    items: [{ id: "1", name: " a ", name_2: "b", column_4: "c" }],
  },
  quoted: {
    type: "text/csv",
    from: 'id;"Price, EUR, net"\n1;"2,5"\n',
    poll: "format: csv, key: item.id",
    items: [{ id: "1", "Price, EUR, net": "2,5" }],
  },
  separator: {
    type: "text/csv",
    from: "sep=;\r\nid;a, b, c\r\n1;x\r\n",
    poll: "format: csv, key: item.id",
    items: [{ id: "1", "a, b, c": "x" }],
  },
  utf16: {
    type: "text/csv",
    from: Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from("id\tname\r\n1\tGrüße\r\n", "utf16le")]),
    poll: "format: csv, key: item.id",
    items: [{ id: "1", name: "Grüße" }],
  },
  report: {
    type: "text/plain",
    from: "Report\nof May\nid|name\n1|a\n2|b|c\n3\n",
    poll: 'format: { csv: { skip: 2, delimiter: "|", relaxed: true } }, key: item.id',
    items: [{ id: "1", name: "a" }, { id: "2", name: "b", column_3: "c" }, { id: "3", name: null }],
  },
  noHeader: {
    type: "text/plain",
    from: "1,'x, it''s'\n",
    poll: `format: { csv: { header: false, columns: [id, name], quote: "'" } }, key: item.id`,
    items: [{ id: "1", name: "x, it's" }],
  },
  inches: {
    type: "text/csv",
    from: 'size,n\n5" disk,2\n',
    poll: "format: { csv: { quote: false } }, key: item.n",
    items: [{ size: '5" disk', n: "2" }],
  },
  cyrillic: {
    type: "application/json",
    from: latin1('[{"id": 1, "name": "\xcf\xf0\xe8"}]'),
    poll: "format: json, charset: windows-1251, key: item.id",
    items: [{ id: 1, name: "При" }],
  },
};

/** The value has these parts: of objects some keys, of lists all elements. */
function contains(value: Answered, part: Answered): boolean {
  try {
    assert.partialDeepStrictEqual(value, part);
    return true;
  } catch {
    return false;
  }
}

const polls = (url: string) =>
  Object.entries(SHAPES).map(([name, { poll }]) => [
    `${name}.yaml`,
    `when: { poll: "${url}/${name}", every: 1h, first: emit, ${poll} }\nthen: [{ http: "POST ${url}/told/${name}", json: "\${{ event.data.new }}" }]\n`,
  ]);

const pages = (url: string, pages: string) =>
  `when: { poll: "${url}/${pages}", every: 1h, first: emit, items: body.items, key: item, pages: { next: "${
    pages === "linked" ? "link" : "'?c=' + urlEncode(body.cursor)"
  }" } }\nthen: [{ http: "POST ${url}/told/${pages}", json: "\${{ event.data.new }}" }]\n`;

Deno.test("feeds, XML, tables and pages that a server has are the items that the rules get", async () => {
  const cursor = "a+b/c==";
  await using peer = await WebServer.start(({ path }, response) => {
    const { pathname, searchParams } = new URL(path, "http://peer");
    const shape = SHAPES[pathname.slice(1)];
    if (shape !== undefined) return response.writeHead(200, { "content-type": shape.type }).end(shape.from);
    const json = (value: unknown, headers = {}) =>
      response.writeHead(200, { "content-type": "application/json", ...headers }).end(JSON.stringify(value));
    // The second page repeats the last item of the first.
    if (pathname === "/linked" && searchParams.has("page")) return json({ items: ["2", "3"] });
    if (pathname === "/linked") return json({ items: ["1", "2"] }, { link: '</linked?page=2>; rel="next"' });
    if (pathname === "/cursors" && searchParams.get("c") === cursor) return json({ items: ["2"] });
    if (pathname === "/cursors" && !searchParams.has("c")) return json({ items: ["1"], cursor });
    if (pathname === "/plain") return response.writeHead(200, { "content-type": "text/plain" }).end('[{"id":1}]');
    if (pathname === "/broken") return json([{ id: 1 }], { "content-encoding": "gzip" });
    response.end("{}");
  });
  const wrong = (name: string) =>
    `when: { poll: "${peer.url}/${name}", every: 1h, key: item.id }\nthen: [{ log: "\${{ event.id }}" }]\n`;
  await using folder = await rulesFolder({
    ...Object.fromEntries(polls(peer.url)),
    "linked.yaml": pages(peer.url, "linked"),
    "cursors.yaml": pages(peer.url, "cursors"),
    "koi.yaml":
      `when: start\nthen:\n  - { id: say, run: [printf, '\\360\\322\\311'], charset: koi8-r, format: text }\n  - { http: "POST ${peer.url}/told/koi", json: "\${{ steps.say.stdout }}" }\n`,
    "plain.yaml": wrong("plain"),
    "broken.yaml": wrong("broken"),
  });
  await using program = start(folder.rules, { data: folder.data });
  const told = async (name: string, count: number): Promise<Answered[]> => {
    const seen = await peer.waitFor(count, ({ path }) => path === `/told/${name}`);
    return seen.map(({ body }) => JSON.parse(body));
  };
  for (const [name, { poll, items }] of Object.entries(SHAPES)) {
    const got = await told(name, items.length);
    assert.equal(got.length, items.length, name);
    // The runs of one poll are parallel.
    for (const item of items) {
      const same = got.filter((each) => poll === "format: feed" ? contains(each, item) : isDeepStrictEqual(each, item));
      assert.equal(same.length, 1, `${name}: ${JSON.stringify(item)} is not in ${JSON.stringify(got)}`);
    }
  }
  assert.deepEqual((await told("linked", 3)).sort(), ["1", "2", "3"]);
  assert.deepEqual((await told("cursors", 2)).sort(), ["1", "2"]);
  assert.deepEqual(await told("koi", 1), ["При"]);
  const reason = async (rule: string) =>
    (await program.waitFor(
      `a failed poll of ${rule}`,
      ({ level, properties, message }) => level !== "INFO" && `${properties.rule} ${message}`.includes(rule),
    )).message;
  assert.match(await reason("plain"), /format: json/);
  const broken = await reason("broken");
  assert.match(broken, /gzip/);
  assert.doesNotMatch(broken, /verbose/);
});

const KEY = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const TOKEN = "t0k3n-of-hooks";
const SECRETS = `TOKEN=${TOKEN}\nSTANDARD=whsec_${KEY}\n`;
const ORIGIN = "https://app.example.org";

/** A rule that answers with what it got. */
const echo = (options: string) =>
  `when: { webhook: ${options} }
then:
  - reply: 200
    json:
      type: \${{ event.type }}
      id: \${{ event.id }}
      data: \${{ event.data }}
      leftOut: \${{ default(event.http.leftOut, []) }}
`;

const HOOKS = {
  "gitlab.yaml": echo("/gitlab, auth: gitlab, secret: TOKEN"),
  "telegram.yaml": echo("/telegram, auth: telegram, secret: TOKEN"),
  "shopify.yaml": echo("/shopify, auth: shopify, secret: TOKEN"),
  "token.yaml": echo("/token, auth: { token: X-Api-Key }, secret: TOKEN"),
  "svix.yaml": echo("/svix, auth: standard, secret: STANDARD"),
  "zoom.yaml": echo(
    '/zoom, secret: TOKEN, auth: { hmac: sha256, header: x-zm-signature, prefix: "v0=", signed: "v0:{timestamp}:{body}", timestamp: x-zm-request-timestamp }',
  ),
  "methods.yaml": echo(`/methods, auth: none, method: [GET, PUT], cors: ["${ORIGIN}"]`),
  "plain.yaml": echo("/plain, auth: none"),
  "clouds.yaml":
    `when: { webhook: /clouds, auth: none }\nthen: [{ reply: 200, json: { ce: "\${{ event.ce }}", data: "\${{ event.data }}" } }]\n`,
  "photo.yaml": `when: { webhook: /photo, auth: none }
then:
  - id: again
    http: POST \${{ event.data.to }}
    multipart: { title: "\${{ event.data.title }}", tag: [a, b], file: "\${{ event.files.file }}" }
  - mail: anna@example.org
    subject: \${{ event.data.title }}
    text: Here it is
    attach: ["\${{ event.files.file }}"]
  - reply: 200
    json: { sent: "\${{ steps.again.body }}", data: "\${{ event.data }}", file: "\${{ event.files.file }}" }
`,
  "second.yaml":
    `when: { webhook: /second, auth: none }\nthen: [{ reply: 200, json: { data: "\${{ event.data }}", file: "\${{ event.files.file }}" } }]\n`,
};

Deno.test("webhooks as senders send them: their signatures, methods, encodings, forms and CloudEvents", async (test) => {
  await using mails = await MailServer.start();
  await using folder = await rulesFolder({
    ...HOOKS,
    ".env": SECRETS,
    "whenthen.yaml": `smtp: { host: 127.0.0.1, port: ${mails.port}, from: rules@example.org }\n`,
  });
  await using program = start(folder.rules, { data: folder.data });
  const ask = async (path: string, body: BodyInit | undefined, headers: Record<string, string>, method = "POST") => {
    const type = { "content-type": "application/json" };
    const response = await program.fetch(`/hooks/${path}`, { method, body, headers: { ...type, ...headers } });
    const text = await response.text();
    return { status: response.status, headers: response.headers, body: text && JSON.parse(text) as Answered };
  };
  const sign = (text: string, encoding: "hex" | "base64") => createHmac("sha256", TOKEN).update(text).digest(encoding);
  const now = new Date();
  const seconds = Math.floor(now.getTime() / 1_000);
  const body = '{"update_id":10000,"message":{"text":"Grüße"},"object_kind":"push"}';
  const svix = new Webhook(KEY).sign("msg_2", now, body);

  const senders: [path: string, headers: Record<string, string>, wrong: Record<string, string>, is: Answered][] = [
    ["gitlab", { "x-gitlab-token": TOKEN, "idempotency-key": "b1a4" }, { "x-gitlab-token": TOKEN.slice(1) }, {
      type: "gitlab.push",
      id: "b1a4",
      leftOut: ["x-gitlab-token"],
    }],
    ["telegram", { "x-telegram-bot-api-secret-token": TOKEN }, { "x-telegram-bot-api-secret-token": "" }, {
      type: "telegram.message",
      id: "10000",
      leftOut: ["x-telegram-bot-api-secret-token"],
    }],
    [
      "shopify",
      {
        "x-shopify-hmac-sha256": sign(body, "base64"),
        "x-shopify-topic": "orders/create",
        "x-shopify-webhook-id": "b54557e4",
      },
      { "x-shopify-hmac-sha256": sign(`${body} `, "base64") },
      {
        type: "shopify.orders.create",
        id: "b54557e4",
        leftOut: ["x-shopify-hmac-sha256"],
      },
    ],
    ["token", { "x-api-key": TOKEN }, { "x-api-key": `${TOKEN}2` }, { type: "webhook", leftOut: ["x-api-key"] }],
    ["svix", { "svix-id": "msg_2", "svix-timestamp": `${seconds}`, "svix-signature": svix }, { "svix-id": "msg_3" }, {
      id: "msg_2",
      leftOut: ["svix-signature"],
    }],
    [
      "zoom",
      {
        "x-zm-request-timestamp": `${seconds}`,
        "x-zm-signature": `v0=${sign(`v0:${seconds}:${body}`, "hex")}`,
      },
      { "x-zm-request-timestamp": `${seconds + 1}` },
      { type: "webhook", leftOut: ["x-zm-signature"] },
    ],
  ];
  for (const [path, headers, wrong, is] of senders) {
    await test.step(`auth of ${path}`, async () => {
      const accepted = await ask(path, body, headers);
      assert.equal(accepted.status, 200, JSON.stringify(accepted.body));
      assert.partialDeepStrictEqual(accepted.body, { ...is, data: JSON.parse(body) });
      assert.equal((await ask(path, body, { ...headers, ...wrong })).status, 401);
      assert.equal((await ask(path, body, {})).status, 401);
    });
  }

  await test.step("several methods, HEAD, OPTIONS and cors", async () => {
    const origin = { origin: ORIGIN };
    const got = await ask("methods?a=1", undefined, origin, "GET");
    assert.deepEqual([got.status, got.headers.get("access-control-allow-origin")], [200, ORIGIN]);
    assert.equal((await ask("methods", "1", {}, "PUT")).body.data, 1);
    const head = await ask("methods", undefined, {}, "HEAD");
    assert.deepEqual([head.status, head.body, head.headers.get("access-control-allow-origin")], [200, "", null]);
    const refused = await ask("methods", "1", {});
    assert.deepEqual([refused.status, refused.headers.get("allow")], [405, "GET, HEAD, PUT"]);
    const preflight = { "access-control-request-method": "PUT", "access-control-request-headers": "content-type" };
    const allowed = await ask("methods", undefined, { ...origin, ...preflight }, "OPTIONS");
    assert.equal(allowed.status, 204);
    assert.equal(allowed.headers.get("access-control-allow-origin"), ORIGIN);
    assert.match(allowed.headers.get("access-control-allow-methods")!, /GET, .*PUT/);
    assert.equal(allowed.headers.get("access-control-allow-headers"), "content-type");
    const other = { ...preflight, origin: "https://evil.example.org" };
    assert.equal((await ask("methods", undefined, other, "OPTIONS")).status, 403);
    assert.equal((await ask("plain", undefined, { ...origin, ...preflight }, "OPTIONS")).status, 405);
  });

  await test.step("a gzip body, valid and broken", async () => {
    const gzip = { "content-encoding": "gzip" };
    assert.deepEqual((await ask("plain", gzipSync(body).slice(), gzip)).body.data, JSON.parse(body));
    const broken = await ask("plain", body, gzip);
    assert.equal(broken.status, 400);
    assert.doesNotMatch(JSON.stringify(broken.body), /verbose/);
  });

  await test.step("CloudEvents in three modes, their extensions, and the handshake", async () => {
    const event = (id: string) => ({
      specversion: "1.0",
      id,
      source: "/s",
      type: "made",
      subject: "A1",
      traceparent: "00-0af7-01",
      data: { n: 1 },
    });
    const structured = await ask("clouds", JSON.stringify(event("1")), {
      "content-type": "application/cloudevents+json",
    });
    const { data, id: _, ...attributes } = event("2");
    const headers = Object.fromEntries(Object.entries(attributes).map(([name, value]) => [`ce-${name}`, value]));
    const binary = await ask("clouds", JSON.stringify(data), { ...headers, "ce-id": "2" });
    assert.deepEqual([structured.status, binary.status], [200, 200]);
    const { datacontenttype: _type, ...ce } = binary.body.ce;
    assert.deepEqual([ce, binary.body.data], [{ ...attributes, id: "2" }, { n: 1 }]);
    assert.partialDeepStrictEqual(structured.body, { ce: { ...attributes, id: "1" }, data: { n: 1 } });

    const batch = { "content-type": "application/cloudevents-batch+json" };
    const sent = await ask("clouds", JSON.stringify([event("2"), event("3"), event("4")]), batch);
    assert.equal(sent.status, 202);
    const entries = sent.body.events.map(({ runs, duplicate }: Answered) => [runs.length, duplicate]);
    assert.deepEqual(entries, [[1, true], [1, false], [1, false]]);

    const asks = { "webhook-request-origin": "eventgrid.azure.net", "webhook-request-rate": "120" };
    const consent = await ask("clouds", undefined, asks, "OPTIONS");
    assert.deepEqual([consent.status, consent.headers.get("webhook-allowed-origin")], [200, "eventgrid.azure.net"]);
  });

  await test.step("curl -F with a file, sent on by http and by mail", async () => {
    const bytes = Buffer.from([137, 80, 78, 71, 13, 10, 26, 10, 0, 255]);
    const path = join(folder.data, "..", "a.png");
    await writeFile(path, bytes);
    const url = await program.url();
    const form = ["-F", `file=@${path}`, "-F", "title=Grüße", "-F", `to=${url}/hooks/second`];
    const answered = JSON.parse(await outputOf("curl", ["-sS", ...form, `${url}/hooks/photo`]));
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    const file = { name: "a.png", type: "image/png", bytes: bytes.length, sha256 };
    assert.partialDeepStrictEqual(answered.file, file);
    assert.equal(answered.data.title, "Grüße");
    assert.partialDeepStrictEqual(answered.sent, { data: { title: "Grüße", tag: ["a", "b"] }, file });
    const [mail] = await mails.waitFor(1);
    assert.match(mail.body, /filename="?a\.png/);
    assert.ok(mail.body.includes(bytes.toString("base64")), mail.body);
  });
});

/** What a command of the system prints. */
async function outputOf(command: string, args: string[]): Promise<string> {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text) => output += text);
  await new Promise((resolve) => child.on("close", resolve));
  return output;
}

/**
 * Milliseconds from a change in a folder to the event of it. Without its watchers the program would look once a minute. How soon
 * they see it depends on the machine; `watch_test` has a clock of its own for that.
 */
const SEEN_WITHIN = 20_000;

Deno.test("a watched folder that is made anew, made late, or behind another link is seen, without the look of each minute", async () => {
  const watch = (pattern: string, name: string) =>
    `when: { watch: ${pattern}, on: [added, changed, removed], first: seed, settle: 0s }
then: [{ log: "${name} \${{ event.type }} \${{ event.subject }} \${{ event.time }}" }]
`;
  await using folder = await rulesFolder({
    "anew.yaml": watch("../in/*.csv", "anew"),
    "late.yaml": watch("../late/deep/*.csv", "late"),
    "link.yaml": watch("../current/*.csv", "link"),
    "../in/a.csv": "1",
    "../v1/a.csv": "1",
    "../v2/b.csv": "2",
  });
  const at = (name: string) => join(folder.rules, "..", name);
  await symlink("v1", at("current"));
  await using program = start(folder.rules, { data: folder.data });
  await program.waitForMessage("Listening on ");
  // The first look has seen what is there.
  for (const [name, place] of [["anew", "in"], ["link", "v1"]]) {
    await folder.write(`../${place}/ready.csv`, "1");
    await program.waitForMessage(`${name} added`);
  }
  const took = async (what: string, change: () => Promise<unknown>, expected: string) => {
    const begun = Date.now();
    await change();
    const { message } = await program.waitForMessage(expected);
    // The time of the event is when it was seen: until then, not until the log is read.
    const ms = Date.parse(message.split(" ").at(-1)!) - begun;
    assert.ok(ms <= SEEN_WITHIN, `${what}: seen after ${ms} ms`);
  };
  await took("made anew", async () => {
    await rm(at("in"), { recursive: true });
    await mkdir(at("in"));
    await writeFile(at("in/b.csv"), "id");
  }, "anew added ../in/b.csv");
  await took("after that", () => writeFile(at("in/c.csv"), "id"), "anew added ../in/c.csv");
  await took("made late", async () => {
    await mkdir(at("late/deep"), { recursive: true });
    await writeFile(at("late/deep/a.csv"), "id");
  }, "late added ../late/deep/a.csv");
  await took("another link", async () => {
    await symlink("v2", at("link"));
    await rename(at("link"), at("current"));
  }, "link added ../current/b.csv");
  await took("behind the link", () => writeFile(at("v2/c.csv"), "id"), "link added ../current/c.csv");
});

const EXPRESSIONS: [expression: string, is: Answered][] = [
  ["round(2.5)", 3],
  ["round(1.005, 2)", 1.01],
  ["[floor(-1.5), ceil(-1.5), abs(-2.5)]", [-2, -1, 2.5]],
  ["[10 / 4, event.data.n / 2, div(event.data.n, 2)]", [2, 2.5, 2]],
  ["base64('Grüße ✓')", "R3LDvMOfZSDinJM="],
  ["fromBase64('R3LDvMOfZSDinJM=')", "Grüße ✓"],
  ["urlEncode('a+b/c== ü')", "a%2Bb%2Fc%3D%3D%20%C3%BC"],
  ["capture('issue #42, #43', '#([0-9]+)')", "42"],
  ["capture('2027-01-31', '([0-9]+)-([0-9]+)')", ["2027", "01"]],
  ["default(capture('x', '[0-9]+'), 'none')", "none"],
  ["time(1767225600)", "2026-01-01T00:00:00.000Z"],
  ["time(1767225600500)", "2026-01-01T00:00:00.500Z"],
  ["timestamp('2027-01-01')", "2027-01-01T00:00:00.000Z"],
  ["date('2027-01-31T23:30:00Z', 'YYYY-MM-DD HH:mm', 'Europe/Berlin')", "2027-02-01 00:30"],
];

const TYPESCRIPT = {
  "tsconfig.json":
    `{ "compilerOptions": { "experimentalDecorators": true, /* as editors read it */ "paths": { "@lib/*": ["./shared/*"], } } }`,
  "shared/three.ts": "export const three = 3;\n",
  "decorated.ts": `import { rule, webhook } from "whenthen";
import { three } from "@lib/three";

let seen = "";
const kind = (_target: unknown, nameOrContext: unknown) => {
  seen = typeof nameOrContext === "string" ? "experimental" : "standard";
};
class Device {
  // deno-lint-ignore no-explicit-any
  @(kind as any)
  start() {
    return three;
  }
}
export default rule({
  when: webhook("/decorated", { auth: "none" }),
  then: async ({ step }) => {
    await step.reply("answer", 200, { json: { seen, three: new Device().start() } });
  },
});
`,
};

const PROBLEMS = [
  /a cron has no @every","hint":"[^"]*every: 5m"/,
  /a cron has no @reboot","hint":"[^"]*: start"/,
  /"error","file":"broken\/at.yaml"[^{]*\{[^}]*\},"message":"there is no time 2027-02-30T00:00:00Z"/,
  /"warning","file":"broken\/past.yaml"/,
  /date\(\) cannot use the format \\"yyyy-MM-dd n\\": unknown letter n/,
];

/** Days of the week and of the month that are today or, if midnight is near, tomorrow. */
function days() {
  const [today, tomorrow] = [0, 86_400_000].map((ms) => new Date(Date.now() + ms));
  const week = [today.getUTCDay(), tomorrow.getUTCDay()];
  return {
    month: `${today.getUTCDate()},${tomorrow.getUTCDate()}`,
    week: week.join(),
    otherWeek: [0, 1, 2, 3, 4, 5, 6].filter((day) => !week.includes(day)).join(),
  };
}

Deno.test("cron with +, shared blocks of YAML, a tsconfig and the functions of expressions; slips are problems", async () => {
  await using peer = await WebServer.start();
  const { month, week, otherWeek } = days();
  const cron = (days: string) => `when: { cron: "* * * ${days}", timezone: UTC }\nthen: [{ log: "cron ${days}" }]\n`;
  const values = EXPRESSIONS.map(([expression]) => `      - ${JSON.stringify(`\${{ ${expression} }}`)}\n`).join("");
  const wrong = (trigger: string, log = "x") => `when: { ${trigger} }\nthen: [{ log: ${JSON.stringify(log)} }]\n`;
  await using folder = await rulesFolder({
    ...TYPESCRIPT,
    "both.yaml": cron(`${month} * +${week}`),
    "either.yaml": cron(`${month} * ${otherWeek}`),
    "never.yaml": cron(`${month} * +${otherWeek}`),
    "values.yaml": `when: { webhook: /values, auth: none }\nthen:\n  - reply: 200\n    json:\n${values}`,
    "shared.yaml": `x-tell: &tell
  retry: 2
  headers: { x-from: shared, x-own: shared }
x-more: left alone
when: { webhook: /shared, auth: none }
then:
  - <<: *tell
    http: POST ${peer.url}/first
  - <<: *tell
    http: POST ${peer.url}/second
    headers: { x-own: second }
`,
    "broken/every.yaml": wrong('cron: "@every 5m"'),
    "broken/reboot.yaml": wrong('cron: "@reboot"'),
    "broken/at.yaml": wrong("at: 2027-02-30T00:00:00Z"),
    "broken/letter.yaml": wrong("event: x", "${{ date(event.time, 'yyyy-MM-dd n') }}"),
    "broken/past.yaml": wrong("at: 2020-01-01T00:00:00Z"),
  });
  await using program = start(folder.rules, { data: folder.data });
  const { body } = await program.post("/hooks/values", { n: 5 });
  for (const [index, [expression, is]] of EXPRESSIONS.entries()) assert.deepEqual(body[index], is, expression);
  assert.deepEqual((await program.post("/hooks/decorated", {})).body, { seen: "experimental", three: 3 });
  await program.post("/hooks/shared", {});
  const own = async (path: string) => {
    const [{ headers }]: Seen[] = await peer.waitFor(1, (seen) => seen.path === path);
    return [headers["x-from"], headers["x-own"]];
  };
  assert.deepEqual([await own("/first"), await own("/second")], [["shared", "shared"], [undefined, "second"]]);

  const problems = JSON.stringify(await program.api("problems"));
  for (const expected of PROBLEMS) assert.match(problems, expected);

  const fired = (days: string, count: number) => {
    let seen = 0;
    return program.waitFor(`cron ${days}`, ({ message }) => message === `cron ${days}` && ++seen === count);
  };
  await Promise.all([fired(`${month} * +${week}`, 2), fired(`${month} * ${otherWeek}`, 2)]);
  assert.ok(!program.output.includes(`cron ${month} * +${otherWeek}`), "both have to fit");
});
