import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { FormatError, parse } from "../../runtime/formats/format.ts";
import { readFields } from "../../runtime/model/event.ts";
import type { JsonObject } from "../../runtime/model/json.ts";

const fixture = (name: string) => readFileSync(new URL(`./fixtures/${name}`, import.meta.url), "utf8");
const items = (text: string) => (parse(text, "feed") as { items: JsonObject[] }).items;

Deno.test("json reads a value, even after a byte order mark", () => {
  assert.deepEqual(parse('\uFEFF{"a": [1, null]}', "json"), { a: [1, null] });
});

Deno.test("truncated json says what was expected, what was found and where", () => {
  assert.throws(() => parse('{"items": [1, 2', "json"), (error: Error) => {
    assert.ok(error instanceof FormatError);
    assert.match(error.message, /^expected JSON, got "{\\"items\\": \[1, 2": /);
    return true;
  });
  assert.throws(() => parse("", "json"), /expected JSON, got nothing/);
});

Deno.test("lines have no line ends, and there is none after the last", () => {
  assert.deepEqual(parse("a\r\nb\n\nc\n", "lines"), ["a", "b", "", "c"]);
  assert.deepEqual(parse("", "lines"), []);
});

Deno.test("csv gives rows by the names of the header, quotes and line breaks in values included", () => {
  assert.deepEqual(parse('name, note\n"Ann","said ""hi""\nand left"\nBo,\n', "csv"), [
    { name: "Ann", note: 'said "hi"\nand left' },
    { name: "Bo", note: "" },
  ]);
});

Deno.test("csv of a German spreadsheet has semicolons and a byte order mark", () => {
  assert.deepEqual(parse("\uFEFFArtikel;Preis\r\nSchraube;1,50\r\n", "csv"), [{ Artikel: "Schraube", Preis: "1,50" }]);
});

Deno.test("csv with a row that does not fit its header is refused", () => {
  assert.throws(() => parse("a,b\n1,2,3\n", "csv"), /expected CSV, got .*Invalid Record Length/);
});

Deno.test("csv with columns requires them in the header, in any order and beside others", () => {
  const format = { csv: { columns: ["id", "name"] } };
  const rows = [{ name: "Ann", more: "x", id: "1" }];
  assert.deepEqual(parse("\uFEFFname; more; id\nAnn;x;1\n", format), rows);
  assert.deepEqual(parse("id,name\n", format), []);
  for (
    const [text, message] of [
      ["id,nam\n1,Ann\n", 'expected csv with the columns "id", "name", got "id", "nam": "name" is missing'],
      ["id\n", 'expected csv with the columns "id", "name", got "id": "name" is missing'],
      ["ID,Name\n", 'expected csv with the columns "id", "name", got "ID", "Name": "id", "name" are missing'],
      // The wrong header says more than the first row that does not match it.
      ["oops\n1,2,3\n", 'expected csv with the columns "id", "name", got "oops": "id", "name" are missing'],
      ["", 'expected csv with the columns "id", "name", got nothing: "id", "name" are missing'],
    ] as const
  ) assert.throws(() => parse(text, format), { name: "FormatError", message });
});

Deno.test("an RSS feed gives items with the feed's ids, text decoded once, dates in UTC", () => {
  const feed = parse(fixture("rss.xml"), "feed") as JsonObject;
  assert.equal(feed.title, "Harbour Office – Notices & Tides");
  assert.equal(feed.link, "https://harbour.example.org/");
  assert.equal(feed.updated, "2026-11-20T18:00:00.000Z");
  const [closed, tide, survey] = feed.items as JsonObject[];
  assert.deepEqual(closed, {
    id: "notice-2026-118",
    title: "Lock 3 closed <until further notice>",
    link: "https://harbour.example.org/notices/118?lang=en&ref=rss",
    published: "2026-11-20T16:30:00.000Z",
    updated: null,
    author: "Jörg Østergaard",
    summary: "<p>Divers found a crack in the <b>upper gate</b> &amp; its seal.</p>",
    content: '<p>Full text: <a href="https://harbour.example.org/?a=1&b=2">here</a> ]] > end</p>',
    categories: ["Locks", "Closures & Detours"],
    enclosures: [{ url: "https://harbour.example.org/118.pdf?x=1&y=2", type: "application/pdf", length: "48213" }],
  });
  assert.equal(tide.id, "https://harbour.example.org/tides/2026-11-21");
  assert.equal(tide.link, "https://harbour.example.org/tides/2026-11-21", "a permalink is the link");
  assert.equal(tide.published, "2026-11-21T04:00:00.000Z");
  assert.equal(tide.title, "Tide table €2 – “007”…");
  assert.match(survey.id as string, /^[0-9a-f]{32}$/, "neither guid nor link: a hash that stays the same");
  assert.equal(survey.id, items(fixture("rss.xml"))[2].id);
});

Deno.test("an Atom feed gives items in the same shape", () => {
  const feed = parse(
    `<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom"><title type="text">Releases</title>
    <link rel="self" href="https://x.example/atom"/><link href="https://x.example/"/><updated>2026-11-20T10:00:00+01:00</updated>
    <entry><id>tag:x.example,2026:1</id><title>v1</title><link rel="alternate" href="https://x.example/1"/>
    <link rel="enclosure" href="https://x.example/1.tgz" type="application/gzip" length="9"/>
    <updated>2026-11-20T09:00:00Z</updated><author><name>Ann</name></author><category term="major"/>
    <content type="html">&lt;p&gt;New&lt;/p&gt;</content></entry></feed>`,
    "feed",
  ) as JsonObject;
  assert.equal(feed.link, "https://x.example/");
  assert.deepEqual(feed.items, [{
    id: "tag:x.example,2026:1",
    title: "v1",
    link: "https://x.example/1",
    published: "2026-11-20T09:00:00.000Z",
    updated: "2026-11-20T09:00:00.000Z",
    author: "Ann",
    summary: null,
    content: "<p>New</p>",
    categories: ["major"],
    enclosures: [{ url: "https://x.example/1.tgz", type: "application/gzip", length: "9" }],
  }]);
});

Deno.test("an RSS 1.0 feed has its items beside the channel", () => {
  const [item] = items(
    `<rdf:RDF xmlns:rdf="r" xmlns="http://purl.org/rss/1.0/"><channel rdf:about="c"><title>T</title></channel>
    <item rdf:about="https://x.example/a"><title>A</title><link>https://x.example/a</link><dc:date>2026-11-20</dc:date></item></rdf:RDF>`,
  );
  assert.equal(item.id, "https://x.example/a");
  assert.equal(item.published, "2026-11-20T00:00:00.000Z");
});

Deno.test("a feed may contain any number of standard entities", () => {
  const text = "&lt;p&gt;&amp;&#39;&hellip;&nbsp;".repeat(50_000);
  const [item] = items(`<rss><channel><item><guid>1</guid><description>${text}</description></item></channel></rss>`);
  assert.equal((item.summary as string).length, 350_000);
});

Deno.test("a feed that is truncated, declares entities, or is a web page is refused", () => {
  const text = fixture("rss.xml");
  assert.throws(() => parse(text.slice(0, text.length / 2), "feed"), /it ends before <\/rss>/);
  const bomb = `<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;">]>` +
    `<rss><channel><title>&b;</title></channel></rss>`;
  assert.throws(() => parse(bomb, "feed"), /it declares entities, which are refused/);
  const hidden = bomb.replace("<!DOCTYPE", "<!-- <rss > --><!DOCTYPE");
  assert.ok(JSON.stringify(parse(hidden, "feed")).length < 1_000, "nothing is expanded after a comment either");
  assert.throws(() => parse("<html><body>503</body></html>", "feed"), /expected an RSS or Atom feed, got "<html>/);
});

Deno.test("a feed with names such as __proto__ does no harm", () => {
  assert.throws(() => parse("<rss><__proto__><polluted>1</polluted></__proto__></rss>", "feed"), FormatError);
  assert.equal(({} as { polluted?: string }).polluted, undefined);
});

const many = (count: number) => Array.from({ length: count }, (_, index) => `f${index}=${index}`).join("&");

Deno.test("readFields() gives each field its value, or a list of its values in order", () => {
  const fields = readFields("b=1&a=x+y&b=%C3%A9&c&__proto__=2&=3&", "body");
  assert.deepEqual(Object.entries(fields), [["b", ["1", "é"]], ["a", "x y"], ["c", ""], ["__proto__", "2"], ["", "3"]]);
  assert.deepEqual(readFields("", "body"), {});
});

Deno.test("readFields() accepts 10,000 fields, of one name or of many, and refuses more without reading them", () => {
  assert.equal(readFields(many(10_000), "body").f9999, "9999");
  assert.equal(readFields("a=1&".repeat(9_999), "body").a.length, 9_999);
  for (const text of [many(10_001), "a&".repeat(10_000), "&".repeat(1_000_000)]) {
    assert.throws(() => readFields(text, "query"), /^Error: The query may have 10000 fields, not \d+$/);
  }
});
