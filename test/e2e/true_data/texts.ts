import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { bytes, type Case, type Part, type PeerAnswer } from "./lab.ts";

/** The bytes in each charset, and their text. */
const CHARSETS: [charset: string, sent: string, meant: string][] = [
  ["windows-1251", "cf f0 e8 e2 e5 f2", "Привет"],
  ["koi8-r", "f0 d2 c9 d7 c5 d4", "Привет"],
  ["windows-1252", "63 61 66 e9 20 80", "café €"],
  ["iso-8859-1", "63 61 66 e9", "café"],
  ["shift_jis", "93 fa 96 7b", "日本"],
  ["euc-jp", "c6 fc cb dc", "日本"],
  ["gb2312", "d6 d0 ce c4", "中文"],
  ["utf-16le", "e9 00 ac 20", "é€"],
  ["utf-8", "c3 a9 e2 82 ac", "é€"],
];

const ascii = (text: string) => new TextEncoder().encode(text);
const together = (...parts: Uint8Array[]) => new Uint8Array(parts.flatMap((part) => [...part]));
const CYRILLIC = bytes("cf f0 e8 e2 e5 f2");

const plain = (charset: string, body: Uint8Array): PeerAnswer[] => [
  { headers: { "content-type": `text/plain; charset=${charset}` }, body },
];

const feed = (encoding: string, title: Uint8Array): PeerAnswer[] => [
  { headers: { "content-type": "application/rss+xml" }, body: ascii('<rss version="2.0"><channel></channel></rss>') },
  {
    headers: { "content-type": "application/rss+xml" },
    body: together(
      ascii(`<?xml version="1.0" encoding="${encoding}"?><rss version="2.0"><channel><item><guid>1</guid><title>`),
      title,
      ascii("</title></item></channel></rss>"),
    ),
  },
];

const body = async (lab: Parameters<Case["got"]>[0], name: string, path = "/text") =>
  (await lab.reply(path, { name })).body;

const answers: Case[] = [
  ...CHARSETS.map(([charset, , meant]): Case => ({
    kind: 5,
    input: `an answer in ${charset}, as its header says`,
    expected: meant,
    got: (lab) => body(lab, charset),
  })),
  {
    kind: 5,
    input: "JSON with the byte order mark of UTF-16, big-endian",
    expected: { a: "é" },
    got: (lab) => body(lab, "bom"),
  },
  {
    kind: 5,
    input: "an answer in windows-1251 that says nothing, read with charset: windows-1251",
    expected: "Привет",
    got: (lab) => body(lab, "silent", "/text-1251"),
  },
  {
    kind: 5,
    input: "the same without charset",
    expected: /Cannot read the answer to GET .*\/texts\/silent: .*utf-8; "charset" can say/,
    got: (lab) => lab.failure("/text", { name: "silent" }),
  },
  {
    kind: 5,
    input: "a command's output in windows-1251, with charset",
    expected: "Привет",
    got: async (lab) => (await lab.reply("/printed-1251")).stdout,
  },
  {
    kind: 5,
    input: "a command's output in windows-1251, without",
    expected: /Cannot read the standard output of .*utf-8; "charset" can say/,
    got: (lab) => lab.failure("/printed"),
  },
  {
    kind: 5,
    input: "a posted body in koi8-r, as its header says",
    expected: { name: "Привет" },
    async got(lab) {
      const sent = together(ascii('{"name":"'), bytes("f0 d2 c9 d7 c5 d4"), ascii('"}'));
      return (await lab.reply("/echo", sent, { "content-type": "application/json; charset=koi8-r" })).data;
    },
  },
  {
    kind: 5,
    input: "the same with a header that says UTF-8",
    expected: 400,
    async got(lab) {
      const sent = together(ascii('{"name":"'), bytes("f0 d2 c9 d7 c5 d4"), ascii('"}'));
      return (await lab.send("/echo", sent, { "content-type": "application/json; charset=utf-8" })).status;
    },
  },
  {
    kind: 5,
    input: "a feed in koi8-r, as its XML declaration says",
    expected: ["added Привет"],
    got: (lab) => lab.polled("/feed", "poll_feed"),
  },
  {
    kind: 5,
    input: "a CSV in windows-1251, with charset on the poll",
    expected: ["added Привет"],
    got: (lab) => lab.polled("/1251.csv", "poll_csv_1251"),
  },
  {
    kind: 5,
    input: "a file in windows-1251, with charset on the watch",
    expected: "a.csv Привет",
    async got({ folder, program }) {
      await writeFile(join(folder.rules, "texts", "a.csv"), together(ascii("id\n"), CYRILLIC, ascii("\n")));
      return (await program.waitForMessage("a.csv ")).message;
    },
  },
  {
    kind: 5,
    input: "a rule file in windows-1251",
    expected: /UTF-8/,
    async got({ folder, program }) {
      await writeFile(
        join(folder.rules, "latin.yaml"),
        together(ascii("when: start\nthen: [{ log: "), CYRILLIC, ascii(" }]\n")),
      );
      return (await program.waitForMessage("latin.yaml")).message;
    },
  },
  {
    kind: 6,
    input: "an answer of image/png",
    expected: "iVBORw0KGgr/AA==",
    got: (lab) => body(lab, "png"),
  },
  {
    kind: 6,
    input: "an answer of application/octet-stream that would be text",
    expected: "aGVsbG8=",
    got: (lab) => body(lab, "octets"),
  },
  { kind: 6, input: "an answer of application/yaml", expected: "a: 1", got: (lab) => body(lab, "yaml") },
];

const text = (path: string, more = "") =>
  `when: { webhook: ${path}, auth: none, replyWithin: 100s }
then:
  - { id: got, http: "PEER/texts/\${{ event.data.name }}"${more} }
  - { reply: 200, json: { body: "\${{ steps.got.body }}" } }
`;
const printed = (path: string, more = "") =>
  `when: { webhook: ${path}, auth: none, replyWithin: 100s }
then:
  - { id: got, run: [printf, '\\317\\360\\350\\342\\345\\362']${more} }
  - { reply: 200, json: { stdout: "\${{ steps.got.stdout }}" } }
`;

/** Text and bytes: kinds 5 and 6. */
export const texts: Part = {
  files: {
    "text.yaml": text("/text"),
    "text_1251.yaml": text("/text-1251", ", charset: windows-1251"),
    "printed.yaml": printed("/printed"),
    "printed_1251.yaml": printed("/printed-1251", ", charset: windows-1251"),
    "poll_feed.yaml": `when: { poll: "PEER/feed", format: feed, every: 1s }
then: [{ log: "\${{ event.type }} \${{ event.data.new.title }}" }]
`,
    "poll_csv_1251.yaml": `when: { poll: "PEER/1251.csv", format: csv, key: item.id, charset: windows-1251, every: 1s }
then: [{ log: "\${{ event.type }} \${{ event.data.new.id }}" }]
`,
    "texts/watched.yaml": `when: { watch: ./*.csv, settle: 100ms, format: csv, charset: windows-1251 }
then: [{ log: "\${{ event.data.name }} \${{ event.data.content[0].id }}" }]
`,
  },
  answers: {
    ...Object.fromEntries(CHARSETS.map(([charset, sent]) => [`/texts/${charset}`, plain(charset, bytes(sent))])),
    "/texts/bom": [{ body: bytes("fe ff 00 7b 00 22 00 61 00 22 00 3a 00 22 00 e9 00 22 00 7d") }],
    "/texts/silent": [{ headers: { "content-type": "text/plain" }, body: CYRILLIC }],
    "/texts/png": [{ headers: { "content-type": "image/png" }, body: bytes("89 50 4e 47 0d 0a 1a 0a ff 00") }],
    "/texts/octets": [{ headers: { "content-type": "application/octet-stream" }, body: "hello" }],
    "/texts/yaml": [{ headers: { "content-type": "application/yaml" }, body: "a: 1" }],
    "/feed": feed("koi8-r", bytes("f0 d2 c9 d7 c5 d4")),
    "/1251.csv": [
      { headers: { "content-type": "text/csv" }, body: "id\n" },
      { headers: { "content-type": "text/csv" }, body: together(ascii("id\n"), CYRILLIC, ascii("\n")) },
    ],
  },
  cases: answers,
};
