import assert from "node:assert/strict";
import fc from "fast-check";
import { Buffer } from "node:buffer";
import type { Json, JsonObject } from "../../runtime/model/json.ts";
import { decodeText } from "../../runtime/formats/decode_text.ts";
import { type Format, parse } from "../../runtime/formats/format.ts";

/** One document as it is found on the web, and what counts of it. */
interface Shape {
  name: string;
  /** Text, or bytes if the charset matters. */
  from: string | Uint8Array;
  format?: Format;
  /** Of a feed: a part of it, each item with a part of what it has. Of a table: all rows. */
  is: Json;
  warns?: RegExp;
}

const ATOM = 'xmlns="http://www.w3.org/2005/Atom"';
const rss = (inner: string, attributes = "") => `<rss version="2.0" ${attributes}><channel>${inner}</channel></rss>`;
const latin1 = (text: string) => Buffer.from(text, "latin1");

const feeds: Shape[] = [
  {
    name: "a blog of WordPress: CDATA, content:encoded, a number of comments that changes",
    from: `<?xml version="1.0" encoding="UTF-8"?>${
      rss(
        `<title>Caf&#233; &#8211; News</title><link>https://cafe.example</link><lastBuildDate>Tue, 03 Mar 2026 09:15:00 +0000</lastBuildDate>
        <item><title>Spring menu</title><link>https://cafe.example/spring/</link><dc:creator><![CDATA[Zoë]]></dc:creator>
        <pubDate>Tue, 03 Mar 2026 09:12:44 +0000</pubDate><category><![CDATA[Food & Drink]]></category>
        <guid isPermaLink="false">https://cafe.example/?p=77</guid><description><![CDATA[New dishes [&#8230;]]]></description>
        <content:encoded><![CDATA[<p>Soup &amp; salad</p>]]></content:encoded><slash:comments>4</slash:comments></item>`,
        'xmlns:content="http://purl.org/rss/1.0/modules/content/" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:slash="http://purl.org/rss/1.0/modules/slash/"',
      )
    }`,
    is: {
      title: "Café – News",
      updated: "2026-03-03T09:15:00.000Z",
      items: [{
        id: "https://cafe.example/?p=77",
        link: "https://cafe.example/spring/",
        author: "Zoë",
        published: "2026-03-03T09:12:44.000Z",
        summary: "New dishes [&#8230;]",
        content: "<p>Soup &amp; salad</p>",
        categories: ["Food & Drink"],
        ext: { content: { encoded: "<p>Soup &amp; salad</p>" }, dc: { creators: ["Zoë"] }, slash: { comments: 4 } },
      }],
    },
  },
  {
    name: "releases in Atom, as GitHub has them: html titles and content",
    from:
      `<?xml version="1.0" encoding="UTF-8"?><feed ${ATOM} xmlns:media="http://search.yahoo.com/mrss/" xml:lang="en-US">
      <id>tag:git.example,2008:/o/r/releases</id><link type="text/html" rel="alternate" href="https://git.example/o/r/releases"/>
      <title>Releases of r</title><updated>2026-02-10T08:00:00Z</updated><entry><id>tag:git.example,2008:Repository/1/v2</id>
      <updated>2026-02-10T08:00:00Z</updated><link rel="alternate" type="text/html" href="https://git.example/o/r/releases/tag/v2"/>
      <title type="html">v2: Q&amp;amp;A &lt;b&gt;fast&lt;/b&gt;</title><content type="html">&lt;p&gt;Notes&lt;/p&gt;</content><author><name>o</name></author>
      <media:thumbnail height="30" width="30" url="https://git.example/o.png"/></entry></feed>`,
    is: {
      title: "Releases of r",
      link: "https://git.example/o/r/releases",
      items: [{
        title: "v2: Q&A fast",
        content: "<p>Notes</p>",
        author: "o",
        published: "2026-02-10T08:00:00.000Z",
        ext: { media: { thumbnails: [{ url: "https://git.example/o.png", height: 30, width: 30 }] } },
      }],
    },
  },
  {
    name: "a podcast: itunes, media, a relative enclosure",
    from: rss(
      `<title>Tides</title><link>https://pod.example/</link><itunes:author>Harbour</itunes:author>
      <item><title>One</title><guid>e1</guid><enclosure url="/1.mp3" type="audio/mpeg" length="4120000"/><itunes:duration>01:02:03</itunes:duration>
      <itunes:image href="https://pod.example/1.png"/><media:content url="https://pod.example/1.mp4" type="video/mp4"/></item>`,
      'xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd" xmlns:media="http://search.yahoo.com/mrss/"',
    ),
    is: {
      author: "Harbour",
      items: [{
        enclosures: [{ url: "https://pod.example/1.mp3", type: "audio/mpeg", length: "4120000" }],
        ext: {
          itunes: { duration: 3723, image: "https://pod.example/1.png" },
          media: { contents: [{ url: "https://pod.example/1.mp4", type: "video/mp4" }] },
        },
      }],
    },
  },
  {
    name: "xhtml content, elements in a title, xml:base, the author of the feed",
    from: `<feed ${ATOM} xml:base="https://notes.example/a/"><title>Notes</title><author><name>Ida</name></author>
      <entry xml:base="2026/"><id>n1</id><title>A <b>bold</b> c</title><link href="one.html"/>
      <content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><p>Hi</p></div></content></entry></feed>`,
    is: {
      items: [{
        title: "A bold c",
        author: "Ida",
        content: "<p>Hi</p>",
        link: "https://notes.example/a/2026/one.html",
      }],
    },
  },
  {
    name: "CDATA mixed with text, and all HTML entities",
    from: rss(
      "<title>x</title><item><title>pre <![CDATA[in & ]]> mid <![CDATA[ two]]></title><description>&uuml;ber &hearts;</description></item>",
    ),
    is: { items: [{ title: "pre in &  mid  two", summary: "über ♥" }] },
  },
  {
    name: "Atom with a prefix on every element",
    from:
      `<a:feed xmlns:a="http://www.w3.org/2005/Atom"><a:title>P</a:title><a:entry><a:id>1</a:id><a:title>One</a:title></a:entry></a:feed>`,
    is: { title: "P", items: [{ id: "1", title: "One" }] },
  },
  {
    name: "RSS 1.0 with a prefix on its own elements",
    from: `<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:rss="http://purl.org/rss/1.0/">
      <rss:channel rdf:about="https://x.example/"><rss:title>T</rss:title></rss:channel>
      <rss:item rdf:about="https://x.example/a"><rss:title>A</rss:title><rss:link>https://x.example/a</rss:link></rss:item></rdf:RDF>`,
    is: { title: "T", items: [{ id: "https://x.example/a", title: "A", link: "https://x.example/a" }] },
  },
  {
    name: "JSON Feed, with a number as id, an extension and the author of the feed",
    from:
      `{"version":"https://jsonfeed.org/version/1.1","title":"J","home_page_url":"https://j.example/","authors":[{"name":"Jo"}],"items":[
      {"id":7,"url":"/7","content_html":"<p>x</p>","date_published":"2026-03-01T10:00:00+02:00","tags":["a"],"_meta":{"score":1}}]}`,
    is: {
      items: [{
        id: "7",
        link: "https://j.example/7",
        content: "<p>x</p>",
        author: "Jo",
        published: "2026-03-01T08:00:00.000Z",
        categories: ["a"],
        ext: { _meta: { score: 1 } },
      }],
    },
  },
  {
    name: "ISO-8859-1 by its XML declaration",
    from: latin1(
      `<?xml version="1.0" encoding="ISO-8859-1"?>${rss("<title>x</title><item><title>Grüße</title></item>")}`,
    ),
    is: { items: [{ title: "Grüße" }] },
  },
  {
    name: "windows-1251 by its XML declaration",
    from: Buffer.concat([
      latin1('<?xml version="1.0" encoding="windows-1251"?><rss><channel><title>'),
      latin1("\xcf\xf0\xe8"),
      latin1("</title></channel></rss>"),
    ]),
    is: { title: "При" },
  },
  {
    name: "a script after the end, as free hosts add it",
    from: `${rss("<title>x</title><item><guid>1</guid></item>")}\n<!-- cached --><script>count()</script>`,
    is: { items: [{ id: "1" }] },
    warns: /what follows <\/rss> is ignored: "<script>count\(\)<\/script>"/,
  },
  {
    name: "a warning of the server before the beginning",
    from: `\n<br />\nWarning: x in y.php on line 3<br />\n${rss("<title>x</title><item><guid>1</guid></item>")}`,
    is: { items: [{ id: "1" }] },
  },
  {
    name: "all items with one guid",
    from: rss(
      "<title>x</title><item><guid>0</guid><link>https://x.example/a</link></item><item><guid>0</guid><link>https://x.example/b</link></item>",
    ),
    is: { items: [{ id: "0 https://x.example/a" }, { id: "0" }] },
    warns: /2 items have the id "0", so their links tell them apart/,
  },
  {
    name: "one item twice",
    from: rss("<title>x</title><item><guid>1</guid><title>a</title></item><item><guid>1</guid><title>a</title></item>"),
    is: { items: [{ id: "1" }] },
  },
  {
    name: "no guids: links, else hashes of title and date",
    from: rss(
      "<title>x</title><item><title>a</title><link>https://x.example/a</link></item><item><title>b</title><pubDate>13.03.2026</pubDate></item>",
    ),
    is: {
      items: [{ id: "https://x.example/a" }, {
        id: "2493e448a4736de5d14c0c470e022183",
        published: null,
        publishedText: "13.03.2026",
      }],
    },
  },
  {
    name: "RSS 0.91 with a document type",
    from:
      `<?xml version="1.0"?><!DOCTYPE rss PUBLIC "-//Netscape//DTD RSS 0.91//EN" "http://my.netscape.com/publish/formats/rss-0.91.dtd">
      <rss version="0.91"><channel><title>Old</title><item><title>a</title><link>http://x.example/a</link></item></channel></rss>`,
    is: { title: "Old", items: [{ id: "http://x.example/a" }] },
  },
  {
    name: "a video channel: a group of media, numbers that change",
    from:
      `<feed xmlns:yt="http://www.youtube.com/xml/schemas/2015" xmlns:media="http://search.yahoo.com/mrss/" ${ATOM}><title>C</title>
      <entry><id>yt:video:1</id><yt:videoId>1</yt:videoId><title>V</title><link rel="alternate" href="https://v.example/1"/>
      <media:group><media:description>About</media:description><media:community><media:statistics views="9"/></media:community></media:group></entry></feed>`,
    is: {
      items: [{
        id: "yt:video:1",
        link: "https://v.example/1",
        ext: { yt: { videoId: "1" }, media: { groups: [{ description: { value: "About" } }] } },
      }],
    },
  },
  {
    name: "RSS in one line, without a version, everything in CDATA",
    from:
      "<rss><channel><title><![CDATA[x]]></title><link><![CDATA[https://x.example/]]></link><item><title><![CDATA[A & B]]></title><link><![CDATA[/a?x=1&y=2]]></link></item></channel></rss>",
    is: { items: [{ title: "A & B", link: "https://x.example/a?x=1&y=2" }] },
  },
];

const tables: Shape[] = [
  {
    name: "a German spreadsheet",
    from: "\uFEFFArtikel;Preis\r\nSchraube;1,50\r\n",
    is: [{ Artikel: "Schraube", Preis: "1,50" }],
  },
  {
    name: "the other delimiter in quoted names",
    from: 'id;"Price, EUR, net"\n1;"2,5"\n',
    is: [{ id: "1", "Price, EUR, net": "2,5" }],
  },
  {
    name: "the other delimiter in names without quotation marks",
    from: "id;Price, EUR, net\r\n\r\n1;2\r\n",
    is: [{ id: "1", "Price, EUR, net": "2" }],
  },
  { name: "a sep= line", from: "sep=;\r\nid;a, b, c\r\n1;x\r\n", is: [{ id: "1", "a, b, c": "x" }] },
  {
    name: "names that come again, and none",
    from: "id,name,name,\n1,a,b,c\n",
    is: [{ id: "1", name: "a", name_2: "b", column_4: "c" }],
  },
  { name: "a number that is a name already", from: "a,a,a_2\n1,2,3\n", is: [{ a: "1", a_3: "2", a_2: "3" }] },
  {
    name: "blanks around names and values, those in quotation marks stay",
    from: 'id , name\n 1 , " x "\n',
    is: [{ id: "1", name: " x " }],
  },
  { name: "tabs, with empty cells", from: "a\tb\tc\n\t2\t\n", is: [{ a: "", b: "2", c: "" }] },
  {
    name: "lines that end in three ways",
    from: "a,b\r\n1,2\n3,4\r5,6",
    is: [{ a: "1", b: "2" }, { a: "3", b: "4" }, { a: "5", b: "6" }],
  },
  {
    name: "UTF-16 with a byte order mark",
    from: Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from("id\tname\r\n1\tGrüße\r\n", "utf16le")]),
    is: [{ id: "1", name: "Grüße" }],
  },
  {
    name: "a report: lines before the table, another delimiter, rows of other lengths",
    from: "Report\nof May\nid|name\n1|a\n2|b|c\n3\n",
    format: { csv: { skip: 2, delimiter: "|", relaxed: true } },
    is: [{ id: "1", name: "a" }, { id: "2", name: "b", column_3: "c" }, { id: "3", name: null }],
    warns: /^2 rows have more or fewer values than the 2 columns of the table: lines 5, 6$/,
  },
  {
    name: "no header",
    from: "1,a\n2,b\n",
    format: { csv: { header: false, columns: ["id", "name"] } },
    is: [{ id: "1", name: "a" }, { id: "2", name: "b" }],
  },
  { name: "no header, no names", from: "1,a\n2,b\n", format: { csv: { header: false } }, is: [["1", "a"], ["2", "b"]] },
  {
    name: "apostrophes as quotation marks",
    from: "a,b\n'x, it''s',2\n",
    format: { csv: { quote: "'" } },
    is: [{ a: "x, it's", b: "2" }],
  },
  {
    name: "inches: no quotation marks",
    from: 'size,n\n5" disk,2\n',
    format: { csv: { quote: false } },
    is: [{ size: '5" disk', n: "2" }],
  },
  { name: "line breaks in names and values", from: '"a\nb",c\n"1\n2",3\n', is: [{ "a\nb": "1\n2", c: "3" }] },
];

for (const { name, from, format = "feed", is, warns } of feeds) {
  Deno.test(`a feed as it is: ${name}`, async () => {
    const { value, warnings } = await read(from, format);
    assert.partialDeepStrictEqual(value, is);
    expectWarnings(warnings, warns);
  });
}

for (const { name, from, format = "csv", is, warns } of tables) {
  Deno.test(`a table as it is: ${name}`, async () => {
    const { value, warnings } = await read(from, format);
    assert.deepEqual(value, is);
    expectWarnings(warnings, warns);
  });
}

Deno.test("a table of quoted values is read as it was written, whatever is in them", async () => {
  const value = fc.string({ unit: fc.constantFrom("a", "ü", " ", ",", ";", '"', "'", "\n", "\r", "\t", "|") });
  await fc.assert(fc.asyncProperty(
    fc.array(fc.array(value, { minLength: 3, maxLength: 3 })),
    fc.constantFrom(",", ";", "\t", "|", "::"),
    fc.constantFrom('"', "'"),
    async (rows, delimiter, quote) => {
      const quoted = (text: string) => quote + text.replaceAll(quote, quote + quote) + quote;
      const text = [["x", "y", "z"], ...rows].map((row) => row.map(quoted).join(delimiter)).join("\r\n");
      const read = await parse(text, { csv: { delimiter, quote } });
      assert.deepEqual(read, rows.map(([x, y, z]) => ({ x, y, z })));
    },
  ));
});

Deno.test("any text is read in a format, or refused with a FormatError", async () => {
  const parts = ["<rss>", "</rss>", "<channel>", "</channel>", "<item>", "</item>", "<title>", "</title>", "<title/>"];
  const more = [
    `<feed ${ATOM}>`,
    "</feed>",
    "<entry>",
    "</entry>",
    "<![CDATA[",
    "]]>",
    "<!--",
    "-->",
    "<?x",
    "?>",
    "<",
  ];
  const others = [">", "&amp;", "&", "x", '"', ",", "\n", "sep=;", "<rdf:RDF>", "</rdf:RDF>", '{"items":[', "]}", "{}"];
  const text = fc.array(fc.constantFrom(...parts, ...more, ...others)).map((chosen) => chosen.join(""));
  await fc.assert(
    fc.asyncProperty(text, fc.constantFrom<Format>("feed", "xml", "csv"), async (text, format) => {
      await read(text, format).catch((error) => assert.equal(error.name, "FormatError"));
    }),
    { numRuns: 1_000 },
  );
});

async function read(from: string | Uint8Array, format: Format): Promise<{ value: JsonObject; warnings: string[] }> {
  const warnings: string[] = [];
  const text = typeof from === "string" ? from : decodeText(from);
  const value = await parse(text, format, { warn: (message) => warnings.push(message) }) as JsonObject;
  return { value, warnings };
}

function expectWarnings(warnings: string[], expected: RegExp | undefined): void {
  assert.equal(warnings.length, expected === undefined ? 0 : 1, warnings.join("\n"));
  if (expected !== undefined) assert.match(warnings[0], expected);
}
