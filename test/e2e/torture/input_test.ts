import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { rulesFolder } from "../folder.ts";
import { type Program, start } from "../program.ts";
import { TIMEOUT, until, within } from "../until.ts";
import { rawRequest } from "./raw_request.ts";
import { openFiles, residentMegabytes } from "./resources.ts";
import { size } from "./size.ts";

const RULES = {
  "in.yaml": `
when: { webhook: /in, auth: none, dedupe: "default(event.data.id, event.id)" }
limit: none
then:
  - log: got it
    data: "\${{ event.data }}"
`,
  "code.ts": `
import { rule, webhook } from "whenthen";
export default rule({
  when: webhook("/code", { auth: "none" }),
  then: async ({ event, step }) => {
    const merged = { ...(event.data as object) };
    await step.do("polluted", () => ({ own: Object.keys(merged).length, polluted: ({} as { polluted?: boolean }).polluted ?? null }));
  },
});
`,
  "ids.yaml": "when: { webhook: /ids, auth: none, dedupe: event.data.id }\nlimit: none\nthen:\n  - log: id\n",
};

type Headers = Record<string, string>;
const JSON_TYPE = { "content-type": "application/json" };
const FORM = { "content-type": "application/x-www-form-urlencoded" };
const PROTOTYPES = '{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}';
const deep = (depth: number) => `${"[".repeat(depth)}${"]".repeat(depth)}`;
const utf16 = (text: string) => new Uint8Array(new Uint16Array([...text].map((char) => char.charCodeAt(0))).buffer);

/** Fifty megabytes in fifty kilobytes. */
const BOMB = new Uint8Array(gzipSync(new Uint8Array(5e7)));

/** A request, and the allowed answers. */
const BODIES: [what: string, path: string, body: BodyInit, headers: Headers, statuses: number[]][] = [
  ["keys of prototypes", "/hooks/in", PROTOTYPES, JSON_TYPE, [202]],
  ["the same to code", "/hooks/code", PROTOTYPES, JSON_TYPE, [202]],
  ["the same as a form", "/hooks/in", "__proto__=1&__proto__=2&constructor=3", FORM, [202]],
  ["the same in an event", "/events", `{"type":"x","data":${PROTOTYPES},"__proto__":{"id":"x"}}`, JSON_TYPE, [400]],
  ["keys of prototypes in the query", "/hooks/in?__proto__=1&constructor=2", "{}", JSON_TYPE, [202]],
  ["nesting of 400,000", "/hooks/in", deep(400_000), JSON_TYPE, [400]],
  ["nesting of 5,000", "/hooks/in", deep(5_000), JSON_TYPE, [202, 400]],
  ["nesting in an event", "/events", `{"type":"x","data":${deep(400_000)}}`, JSON_TYPE, [400]],
  ["nesting in the API", "/api/emit", `{"type":"x","data":${deep(400_000)}}`, JSON_TYPE, [400]],
  ["a body over the limit", "/hooks/in", "x".repeat(5_000_000), { "content-type": "text/plain" }, [413]],
  ["an event over the limit", "/events", `{"type":"x","data":"${"x".repeat(2_000_000)}"}`, JSON_TYPE, [413]],
  ["no JSON", "/hooks/in", "{", JSON_TYPE, [400]],
  ["broken UTF-8", "/hooks/in", new Uint8Array([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d]), JSON_TYPE, [400]],
  ["UTF-16 that says so", "/hooks/in", utf16('{"id":1}'), { "content-type": "application/json; charset=utf-16le" }, [
    202,
  ]],
  ["UTF-16 that does not", "/hooks/in", utf16('{"id":1}'), JSON_TYPE, [400]],
  ["an unknown charset", "/hooks/in", "{}", { "content-type": "application/json; charset=klingon" }, [400]],
  ["half a pair of surrogates", "/hooks/in", '{"id":"\\ud800","text":"\\u0000"}', JSON_TYPE, [202, 400]],
  ["a million digits", "/hooks/in", `{"n":${"9".repeat(1_000_000)}}`, JSON_TYPE, [202, 400, 413]],
  [
    "a hundred thousand keys",
    "/hooks/in",
    JSON.stringify(Object.fromEntries(Array.from({ length: 1e5 }, (_, at) => [`k${at}`, 0]))),
    JSON_TYPE,
    [202, 413],
  ],
  ["a broken gzip", "/hooks/in", new Uint8Array([0x1f, 0x8b, 8, 0]), { ...JSON_TYPE, "content-encoding": "gzip" }, [
    400,
  ]],
  ["a gzip bomb", "/hooks/in", BOMB, { ...JSON_TYPE, "content-encoding": "gzip" }, [413]],
  ["a gzip bomb as an event", "/events", BOMB, { ...JSON_TYPE, "content-encoding": "GZIP" }, [
    413,
  ]],
  ["a gzip bomb for the API", "/api/emit", BOMB, { ...JSON_TYPE, "content-encoding": "br" }, [
    400,
    415,
  ]],
  ["a number as identity", "/hooks/ids", '{"id":1e999}', JSON_TYPE, [202, 400]],
  ["an object as identity", "/hooks/ids", '{"id":{"__proto__":null}}', JSON_TYPE, [202, 400]],
  ["no identity", "/hooks/ids", "{}", JSON_TYPE, [202, 400]],
  ["a large identity", "/hooks/ids", JSON.stringify({ id: "x".repeat(900_000) }), JSON_TYPE, [202, 400]],
  ["a broken escape in the path", "/hooks/%E0%A4%A", "{}", JSON_TYPE, [404]],
  ["a path that climbs", "/hooks/../../etc/passwd", "{}", JSON_TYPE, [404]],
  ["the same, escaped", "/hooks/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "{}", JSON_TYPE, [404]],
  ["a zero in the path", "/hooks/in%00", "{}", JSON_TYPE, [404]],
  ["a long path", `/hooks/${"x".repeat(50_000)}`, "{}", JSON_TYPE, [404, 414, 431]],
  ["an event without a type", "/events", "[]", JSON_TYPE, [400]],
  ["an event of the wrong kind", "/events", '{"type":{"a":1}}', JSON_TYPE, [400]],
  ["a CloudEvent without an id", "/events", '{"specversion":"1.0","type":"x","source":"s"}', JSON_TYPE, [400]],
  ["a CloudEvent of another version", "/events", '{"specversion":"9","id":"1","type":"x","source":"s"}', JSON_TYPE, [
    400,
  ]],
  [
    "a CloudEvent with a false time",
    "/events",
    '{"specversion":"1.0","id":"1","type":"x","source":"s","time":"soon"}',
    JSON_TYPE,
    [400],
  ],
  ["a CloudEvent that claims to be a rule's", "/events", '{"type":"x","source":"/rules/in/x","id":"1"}', JSON_TYPE, [
    400,
  ]],
  ["a binary CloudEvent that lacks its type", "/events", "{}", {
    ...JSON_TYPE,
    "ce-specversion": "1.0",
    "ce-id": "1",
    "ce-source": "s",
  }, [400]],
];

async function isWell(program: Program): Promise<void> {
  assert.equal((await program.post("/hooks/in", { fine: true })).status, 202);
  assert.equal(program.child.exitCode, null);
}

/** Nothing was logged as an error, and memory is back where it was. */
async function assertUnmoved(program: Program, before: { memory: number; files: number }): Promise<void> {
  assert.deepEqual(program.lines.filter(({ level }) => level === "ERROR").map(({ message }) => message), []);
  const memory = () => Promise.resolve(residentMegabytes(program));
  const after = await until("memory that is flat", memory, (now) => now < before.memory + 200);
  const files = () => Promise.resolve(openFiles(program));
  await until("all connections to be closed", files, (now) => now <= before.files + 20);
  console.log(`${before.memory} MB before, ${after} MB after`);
}

const measured = (program: Program) => ({ memory: residentMegabytes(program), files: openFiles(program) });

Deno.test("broken, huge, deep, compressed or poisoned bodies and paths: a status below 500, nothing polluted, flat memory", async () => {
  await using folder = await rulesFolder(RULES);
  await using program = start(folder.rules, { data: folder.data });
  await program.url();
  await isWell(program);
  const before = measured(program);
  for (const [what, path, body, headers, statuses] of BODIES) {
    const response = await program.fetch(path, { method: "POST", body, headers });
    const text = await response.text();
    assert.ok(statuses.includes(response.status), `${what}: ${response.status} ${text.slice(0, 300)}`);
    await isWell(program);
  }
  await program.waitForMessage("code succeeded");
  const [run] = await program.api("runs?rule=code");
  const { steps } = await program.api(`runs/${run.id}`);
  assert.deepEqual(steps[0].output, { own: 2, polluted: null });
  await assertUnmoved(program, before);
  assert.equal(await program.stop(), 0);
});

Deno.test("forms of a hundred thousand fields: refused, while others are answered", async () => {
  await using folder = await rulesFolder(RULES);
  await using program = start(folder.rules, { data: folder.data });
  await program.url();
  const form = (count: number) => Array.from({ length: count }, (_, at) => `${at}=`).join("&");
  const send = async (fields: number) => {
    const { status } = await program.fetch("/hooks/in", { method: "POST", body: form(fields), headers: FORM });
    return status;
  };
  assert.equal(await send(10_000), 202);
  // Each of them took a minute when the time was quadratic in the number of fields.
  const many = Promise.all(Array.from({ length: 20 }, () => send(100_000)));
  const others = Promise.all(Array.from({ length: 20 }, () => isWell(program)));
  assert.deepEqual(await within(TIMEOUT, "20 forms", many), Array(20).fill(400));
  await within(TIMEOUT, "the others", others);
});

const HEAD = "POST /hooks/in HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n";

Deno.test("malformed and slow requests: refused or waited for, while others are answered", async () => {
  await using folder = await rulesFolder(RULES);
  await using program = start(folder.rules, { data: folder.data });
  const url = await program.url();
  await isWell(program);
  const before = measured(program);
  const refused = async (what: string, pieces: Iterable<string | Uint8Array>) => {
    assert.doesNotMatch(await rawRequest(url, pieces), /^HTTP\/1\.1 (2|5)/, what);
    await isWell(program);
  };
  await refused("nonsense", ["NONSENSE\r\n\r\n"]);
  await refused("a large header", [`${HEAD}x: ${"y".repeat(500_000)}\r\n\r\n`]);
  await refused("ten thousand headers", [HEAD, "x: y\r\n".repeat(10_000), "\r\n"]);
  await refused("two lengths", [`${HEAD}content-length: 2\r\ncontent-length: 3\r\n\r\n{} `]);
  await refused("a length below zero", [`${HEAD}content-length: -2\r\n\r\n{}`]);
  await refused("a broken chunk", [`${HEAD}transfer-encoding: chunked\r\n\r\nzzz\r\n{}\r\n0\r\n\r\n`]);
  await refused("two content types that disagree", [
    `${HEAD}content-type: text/plain\r\ncontent-length: 1\r\n\r\n{`,
  ]);
  await refused("a length and chunks", [
    `${HEAD}content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n`,
  ]);
  await refused("two transfer encodings", [
    `${HEAD}transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n2\r\n{}\r\n0\r\n\r\n`,
  ]);
  await refused("two content encodings", [
    `${HEAD}content-encoding: identity\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}`,
  ]);
  const { host } = new URL(url);
  for (const hosts of [["evil.example", host], [host, "evil.example"]]) {
    const head = `GET /api/rules HTTP/1.1\r\n${hosts.map((host) => `host: ${host}\r\n`).join("")}\r\n`;
    await refused("two hosts, one of them foreign", [head]);
  }
  const hundredMegabytes = (function* () {
    yield `${HEAD}transfer-encoding: chunked\r\n\r\n`;
    for (let chunk = 0; chunk < 100; chunk++) yield `100000\r\n${"x".repeat(0x100000)}\r\n`;
  })();
  await refused("100 MB in chunks", hundredMegabytes);

  const drip = [`${HEAD}content-length: 11\r\n\r\n`, ...'{"slow": 1}'];
  const slow = Array.from({ length: size(50, 500) }, () => rawRequest(url, drip, { pause: 200, timeout: TIMEOUT }));
  const half = Array.from({ length: size(100, 1_000) }, () => rawRequest(url, [HEAD], { timeout: 3_000 }));
  for (let count = 0; count < 20; count++) await isWell(program);
  for (const answer of await Promise.all(slow)) assert.match(answer, /^HTTP\/1\.1 202/, "a slow client is waited for");
  await Promise.all(half);
  await isWell(program);
  await assertUnmoved(program, before);
  assert.equal(await program.stop(), 0);
});
