import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { FormatError, parse } from "../../runtime/formats/format.ts";
import { readFields } from "../../runtime/model/event.ts";
import type { JsonObject } from "../../runtime/model/json.ts";

const fixture = (name: string) => readFileSync(new URL(`./fixtures/${name}`, import.meta.url), "utf8");
const items = async (text: string) => (await parse(text, "feed") as { items: JsonObject[] }).items;

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
  assert.throws(
    () => parse("a,b\n1,2,3\n", "csv"),
    /expected CSV, got .*: line 2 has 3 values, expected 2; "relaxed: true" takes rows of any length$/,
  );
});

Deno.test("csv with 200,000 columns of one name is read: the numbers of names are counted, not searched", () => {
  const [row] = parse(`${Array(200_000).fill("a").join(",")}\n1${",".repeat(199_999)}`, "csv") as JsonObject[];
  assert.equal(row.a, "1");
  assert.equal(Object.keys(row).at(-1), "a_200000");
  assert.deepEqual(parse("a,a_2,a,a\n1,2,3,4", "csv"), [{ a: "1", a_2: "2", a_3: "3", a_4: "4" }]);
});

Deno.test("csv may begin with an empty column; a comma beside as many semicolons or tabs is text", () => {
  assert.deepEqual(parse("\ta\tb\n0\t1,5\t2\n", "csv"), [{ column_1: "0", a: "1,5", b: "2" }]);
  assert.deepEqual(parse(";a\n0;1\n", "csv"), [{ column_1: "0", a: "1" }]);
  assert.deepEqual(parse("Datum, Zeit;Wert\n2026-01-01, 10:00;3", "csv"), [
    { "Datum, Zeit": "2026-01-01, 10:00", Wert: "3" },
  ]);
  assert.deepEqual(parse("a;1,b,c\n1;2,3,4", "csv"), [{ "a;1": "1;2", b: "3", c: "4" }]);
  assert.deepEqual(parse("note\na;b", "csv"), [{ note: "a;b" }]);
});

Deno.test("relaxed csv takes quotation marks inside values, quoted or not", () => {
  const values: [string, string][] = [
    ['"x "y" z"', '"x "y" z"'],
    ['"x "y z"', '"x "y z"'],
    ['x "y" z ', 'x "y" z'],
    ['"a" ', "a"],
    ['" a "', " a "],
    ['"a ""b"" "', 'a "b" '],
    ['"a"x', '"a"x'],
  ];
  const text = `a , b\n${values.map(([written]) => `${written},3`).join("\n")}`;
  assert.deepEqual(parse(text, { csv: { relaxed: true } }), values.map(([, a]) => ({ a, b: "3" })));
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

Deno.test("an RSS feed gives items with the feed's ids, text decoded once, dates in UTC", async () => {
  const feed = await parse(fixture("rss.xml"), "feed") as JsonObject;
  assert.equal(feed.title, "Harbour Office – Notices & Tides");
  assert.equal(feed.link, "https://harbour.example.org/");
  assert.equal(feed.updated, "2026-11-20T18:00:00.000Z");
  const [closed, tide, survey] = feed.items as JsonObject[];
  assert.deepEqual(closed, {
    id: "notice-2026-118",
    title: "Lock 3 closed <until further notice>",
    link: "https://harbour.example.org/notices/118?lang=en&ref=rss",
    published: "2026-11-20T16:30:00.000Z",
    publishedText: null,
    updated: null,
    updatedText: null,
    author: "Jörg Østergaard",
    summary: "<p>Divers found a crack in the <b>upper gate</b> &amp; its seal.</p>",
    content: '<p>Full text: <a href="https://harbour.example.org/?a=1&b=2">here</a> ]] > end</p>',
    categories: ["Locks", "Closures & Detours"],
    enclosures: [{ url: "https://harbour.example.org/118.pdf?x=1&y=2", type: "application/pdf", length: "48213" }],
    ext: {
      content: { encoded: '<p>Full text: <a href="https://harbour.example.org/?a=1&b=2">here</a> ]] > end</p>' },
      dc: { creators: ["Jörg Østergaard"] },
    },
  });
  assert.equal(tide.id, "https://harbour.example.org/tides/2026-11-21");
  assert.equal(tide.link, "https://harbour.example.org/tides/2026-11-21", "a permalink is the link");
  assert.equal(tide.published, "2026-11-21T04:00:00.000Z");
  assert.equal(tide.title, "Tide table €2 – “007”…");
  assert.match(survey.id as string, /^[0-9a-f]{32}$/, "neither guid nor link: a hash that stays the same");
  assert.equal(survey.id, (await items(fixture("rss.xml")))[2].id);
});

Deno.test("an Atom feed gives items in the same shape", async () => {
  const feed = await parse(
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
    publishedText: null,
    updated: "2026-11-20T09:00:00.000Z",
    updatedText: null,
    author: "Ann",
    summary: null,
    content: "<p>New</p>",
    categories: ["major"],
    enclosures: [{ url: "https://x.example/1.tgz", type: "application/gzip", length: "9" }],
    ext: {},
  }]);
});

Deno.test("an html title with megabytes of markup that never ends is read at once, as text", async () => {
  const read = async (title: string) => {
    const escaped = title.replaceAll("<", "&lt;");
    const feed = await parse(`<feed><title type="html">${escaped}</title><id>1</id></feed>`, "feed");
    return (feed as JsonObject).title as string;
  };
  for (const open of ["<a ", "<!-- "]) {
    assert.equal((await read(open.repeat(1_000_000) + "x")).length, open.length * 1_000_000 + 1);
  }
  assert.equal(await read("a <b>c</b> <!-- > --> d < e <br/"), "a c  d < e <br/");
});

Deno.test("a title of RSS is text, also if it is HTML; an end tag in another case is refused", async () => {
  const titles: [string, string | null][] = [
    ["<![CDATA[Q &amp; A]]>", "Q & A"],
    ["Q &amp;amp; A", "Q & A"],
    ["&lt;b&gt;x&lt;/b&gt; y", "x y"],
    ["<![CDATA[<i>a</i> &lt;b&gt;]]>", "a <b>"],
    ["List&lt;T&gt; in C#", "List<T> in C#"],
    ["AT&amp;T &lt; x", "AT&T < x"],
  ];
  for (const [title, text] of titles) {
    const feed = await parse(
      `<rss><channel><title>${title}</title><item><title>${title}</title></item></channel></rss>`,
      "feed",
    ) as { title: string; items: JsonObject[] };
    assert.deepEqual([feed.title, feed.items[0].title], [text, text]);
  }
  const mixed = "<rss><channel><title>t</Title><item><guid>1</guid><title>a</TITLE></item></channel></rss>";
  await assert.rejects(items(mixed), /Unexpected end of title/);
});

Deno.test("an RSS 1.0 feed has its items beside the channel", async () => {
  const [item] = await items(
    `<rdf:RDF xmlns:rdf="r" xmlns="http://purl.org/rss/1.0/"><channel rdf:about="c"><title>T</title></channel>
    <item rdf:about="https://x.example/a"><title>A</title><link>https://x.example/a</link><dc:date>2026-11-20</dc:date></item></rdf:RDF>`,
  );
  assert.equal(item.id, "https://x.example/a");
  assert.equal(item.published, "2026-11-20T00:00:00.000Z");
});

Deno.test("a feed may contain any number of standard entities", async () => {
  const text = "&lt;p&gt;&amp;&#39;&nbsp;&hellip;".repeat(50_000);
  const [item] = await items(
    `<rss><channel><item><guid>1</guid><description>${text}</description></item></channel></rss>`,
  );
  assert.equal((item.summary as string).length, 350_000);
});

Deno.test("a feed that is truncated, declares entities, or is a web page is refused", async () => {
  const text = fixture("rss.xml");
  await assert.rejects(items(text.slice(0, text.length / 2)), /it ends before <\/rss>/);
  const ended = "<rss><channel><title>x</title><item><description><![CDATA[</rss>]]></description>";
  await assert.rejects(items(ended), /it ends before <\/rss>/, "an end within the text is none");
  const bomb = `<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;">]>` +
    `<rss><channel><title>&b;</title></channel></rss>`;
  await assert.rejects(items(bomb), /it declares entities, which are refused/);
  await assert.rejects(items(bomb.replace("<!DOCTYPE", "<!-- <rss > --><!DOCTYPE")), /it declares entities/);
  await assert.rejects(items("<html><body>503</body></html>"), /expected an RSS or Atom feed, got "<html>/);
  await assert.rejects(items("<rss></rss>"), /it has neither a title nor items/);
  assert.deepEqual(await items("<rss><channel></channel></rss>"), [], "a channel without items is a feed");
  await assert.rejects(items('{"title": "x"}'), /it is JSON without a list "items", so it is no JSON Feed/);
  await assert.rejects(items("<rss><channel><item><title>x</item></channel></rss>"), /Unexpected end of title/);
});

Deno.test("a feed with names such as __proto__ does no harm", async () => {
  await assert.rejects(items("<rss><__proto__><polluted>1</polluted></__proto__></rss>"), FormatError);
  assert.equal(({} as { polluted?: string }).polluted, undefined);
});

Deno.test("an odd feed of a megabyte is read or refused at once", async () => {
  const many = (text: string) => text.repeat(1_000_000 / text.length);
  const feed = (text: string) => `<rss><channel><title>x</title>${text}</channel></rss>`;
  for (const odd of ["<title>", "<title ", "<title><![CDATA[</title><!-- ]]></title>", "<b>", "<!-- x", "&", "<"]) {
    await items(feed(many(odd))).catch((error) => assert.ok(error instanceof FormatError, odd));
    await items(`${feed("")}${many(odd)}`).catch((error) => assert.ok(error instanceof FormatError, odd));
  }
  await assert.rejects(items(`<rss>${many('<rss "')}</rss>`), /it ends before <\/rss>/);
});

Deno.test("links are relative to xml:base, else the feed's site, else the address that it came from", async () => {
  const feed = (base: string, link: string) =>
    `<rss ${base}><channel><title>x</title><link>${link}</link><item><link>b/c</link></item></channel></rss>`;
  const linkIn = async (text: string) => {
    const { items } = await parse(text, "feed", { base: "https://feeds.example/x/rss" }) as { items: JsonObject[] };
    return items[0].link;
  };
  assert.equal(
    await linkIn(feed('xml:base="https://base.example/a/"', "https://site.example/")),
    "https://base.example/a/b/c",
  );
  assert.equal(await linkIn(feed("", "https://site.example/d/")), "https://site.example/d/b/c");
  assert.equal(await linkIn(feed("", "/d/")), "https://feeds.example/d/b/c");
  assert.equal(await linkIn(feed("", "")), "https://feeds.example/x/b/c");
  assert.equal((await items(feed("", "")))[0].link, "b/c", "relative to nothing");
});

Deno.test("xml is data: attributes, texts, one element or a list of them, prefixes as they are written", async () => {
  const text =
    `<?xml version="1.0"?><!-- x --><o:order xmlns:o="u" id="7"><line n="1">a &amp; <![CDATA[<b>]]></line><line/><to>Ann &#228;</to></o:order>`;
  const order = { "@xmlns:o": "u", "@id": "7", line: [{ "@n": "1", "#text": "a & <b>" }, ""], to: "Ann ä" };
  assert.deepEqual(await parse(text, "xml"), { "o:order": order });
  assert.deepEqual(await parse(text, { xml: { lists: ["to"] } }), { "o:order": { ...order, to: ["Ann ä"] } });
  assert.deepEqual(await parse("<a>x</a>", "xml"), { a: "x" });
  assert.deepEqual(await parse(`<a b="/>" c='">'><a d="/>"/><c>z</c></a>`, "xml"), {
    a: { "@b": "/>", "@c": '">', a: { "@d": "/>" }, c: "z" },
  });
});

Deno.test("xml that is cut off, not well-formed or declares entities is refused, with the line", async () => {
  for (
    const [text, message] of [
      ["<a>\n<b/>", /it ends before <\/a>/],
      ["<a>\n<b></a>", /line 2, column 4: Expected closing tag 'b'/],
      ["<a/> x", /there is text after <\/a>: "x"/],
      ["<a/><b/>", /there is text after <\/a>: "<b\/>"/],
      ['<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', /it declares entities, which are refused/],
      ["<a><constructor/></a>", /Invalid name/],
      ["<a><prototype/></a>", /Invalid name/],
      ["<a>".repeat(102) + "</a>".repeat(102), /nest/i],
      ["{}", /expected XML, got "{}": it has no element/],
      ["", /expected XML, got nothing/],
    ] as const
  ) await assert.rejects(async () => await parse(text, "xml"), message);
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
