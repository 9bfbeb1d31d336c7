import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import process from "node:process";
import { rulesFolder } from "./folder.ts";
import { type Program, start } from "./program.ts";

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

/** What is sent, and what may be answered; never a 5xx. */
const JSON_TYPE = { "content-type": "application/json" };
const deep = (depth: number) => `${"[".repeat(depth)}${"]".repeat(depth)}`;
const BODIES: [what: string, path: string, body: BodyInit, headers: Record<string, string>, statuses: number[]][] = [
  [
    "keys of prototypes",
    "/hooks/in",
    '{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}',
    JSON_TYPE,
    [202],
  ],
  [
    "the same to code",
    "/hooks/code",
    '{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}',
    JSON_TYPE,
    [202],
  ],
  ["the same as a form", "/hooks/in", "__proto__=1&__proto__=2&constructor=3", {
    "content-type": "application/x-www-form-urlencoded",
  }, [202]],
  ["keys of prototypes in the query", "/hooks/in?__proto__=1&constructor=2", "{}", JSON_TYPE, [202]],
  ["nesting of 400,000", "/hooks/in", deep(400_000), JSON_TYPE, [400]],
  ["nesting of 5,000", "/hooks/in", deep(5_000), JSON_TYPE, [202, 400]],
  ["nesting in an event", "/events", `{"type":"x","data":${deep(400_000)}}`, JSON_TYPE, [400]],
  ["nesting in the API", "/api/emit", `{"type":"x","data":${deep(400_000)}}`, JSON_TYPE, [400]],
  ["a body over the limit", "/hooks/in", "x".repeat(5_000_000), { "content-type": "text/plain" }, [413]],
  ["an event over the limit", "/events", `{"type":"x","data":"${"x".repeat(2_000_000)}"}`, JSON_TYPE, [413]],
  ["no JSON", "/hooks/in", "{", JSON_TYPE, [400]],
  ["broken UTF-8", "/hooks/in", new Uint8Array([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d]), JSON_TYPE, [400]],
  ["an unknown charset", "/hooks/in", "{}", { "content-type": "application/json; charset=klingon" }, [202, 400]],
  ["half a pair of surrogates", "/hooks/in", '{"id":"\\ud800","text":"\\u0000"}', JSON_TYPE, [202, 400]],
  ["compressed", "/hooks/in", new Uint8Array([0x1f, 0x8b, 8, 0]), { ...JSON_TYPE, "content-encoding": "gzip" }, [415]],
  ["a number as identity", "/hooks/ids", '{"id":1e999}', JSON_TYPE, [202, 400]],
  ["an object as identity", "/hooks/ids", '{"id":{"__proto__":null}}', JSON_TYPE, [202, 400]],
  ["no identity", "/hooks/ids", "{}", JSON_TYPE, [202, 400]],
  ["a large identity", "/hooks/ids", JSON.stringify({ id: "x".repeat(900_000) }), JSON_TYPE, [202, 400]],
  ["a broken escape in the path", "/hooks/%E0%A4%A", "{}", JSON_TYPE, [404]],
  ["a path that climbs", "/hooks/../../etc/passwd", "{}", JSON_TYPE, [404]],
  ["an event without a type", "/events", "[]", JSON_TYPE, [400]],
  ["an event of the wrong kind", "/events", '{"type":{"a":1}}', JSON_TYPE, [400]],
];

/** Bytes as no client sends them; what comes back, up to the end or `patience` milliseconds. */
function raw(url: string, pieces: string[], pause = 0, patience = 3_000): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    let text = "";
    const socket = connect(Number(port), hostname);
    const end = () => {
      clearTimeout(timer);
      socket.destroy();
      resolve(text);
    };
    const timer = setTimeout(end, patience);
    socket.on("data", (chunk) => {
      text += chunk;
      if (/\r\n\r\n/.test(text)) end();
    });
    socket.on("error", end);
    socket.on("close", end);
    const send = (at: number) => {
      if (at === pieces.length || socket.destroyed) return;
      socket.write(pieces[at]);
      setTimeout(() => send(at + 1), pause);
    };
    send(0);
  });
}

async function isWell(program: Program): Promise<void> {
  assert.equal((await program.post("/hooks/in", { fine: true })).status, 202);
  assert.equal(program.child.exitCode, null);
}

Deno.test("whatever is sent gets an answer below 500, pollutes nothing and stops nobody", async () => {
  await using folder = await rulesFolder(RULES);
  await using program = start(folder.rules, { data: folder.data });
  const url = await program.url();
  for (const [what, path, body, headers, statuses] of BODIES) {
    const response = await program.fetch(path, { method: "POST", body, headers });
    const text = await response.text();
    assert.ok(statuses.includes(response.status), `${what}: ${response.status} ${text.slice(0, 300)}`);
    await isWell(program);
  }
  const head = "POST /hooks/in HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n";
  const slow = [`${head}content-length: 11\r\n\r\n`, ...'{"slow": 1}'];
  assert.match(await raw(url, slow, 50), /^HTTP\/1\.1 202/, "a slow client is waited for");
  assert.match(await raw(url, ["NONSENSE\r\n\r\n"]), /^(HTTP\/1\.1 400|$)/);
  assert.doesNotMatch(await raw(url, [`${head}x: ${"y".repeat(500_000)}\r\n\r\n`]), /^HTTP\/1\.1 (2|5)/);
  assert.doesNotMatch(
    await raw(url, [`${head}content-length: 5\r\ncontent-length: 6\r\n\r\n{}   `]),
    /^HTTP\/1\.1 (2|5)/,
  );
  await raw(url, [`${head}transfer-encoding: chunked\r\n\r\nzzz\r\n{}\r\n0\r\n\r\n`]);
  await Promise.all(Array.from({ length: 100 }, () => raw(url, [head], 0, 300)));
  await isWell(program);

  await program.waitForMessage("code succeeded");
  const [run] = await program.api("runs?rule=code");
  const { steps } = await program.api(`runs/${run.id}`);
  assert.deepEqual(steps[0].output, { own: 2, polluted: null });
  assert.deepEqual(program.lines.filter(({ level }) => level === "ERROR").map(({ message }) => message), []);
  assert.equal(await program.stop(), 0);
});

/** Processor time in milliseconds, and how often any of its threads fell asleep. */
function spent(pid: number): { cpu: number; sleeps: number } {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const sleeps = readdirSync(`/proc/${pid}/task`).map((task) => {
    return Number(
      /^voluntary_ctxt_switches:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/task/${task}/status`, "utf8"))?.[1] ?? 0,
    );
  });
  return { cpu: 10 * (Number(fields[11]) + Number(fields[12])), sleeps: sleeps.reduce((sum, count) => sum + count, 0) };
}

Deno.test({
  name: "a program with nothing to do does next to nothing",
  ignore: process.platform !== "linux",
  async fn() {
    const files = Object.fromEntries(Array.from({ length: 50 }, (_, index) => [
      `r${index}.yaml`,
      `when: { webhook: "/r${index}", auth: none }\nthen:\n  - log: x\n`,
    ]));
    await using folder = await rulesFolder({
      ...RULES,
      ...files,
      "cron.yaml": 'when: { cron: "0 0 1 1 *" }\nthen:\n  - log: x\n',
    });
    await using program = start(folder.rules, { data: folder.data });
    await program.url();
    // What starting up left to do.
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    const before = spent(program.child.pid!);
    await new Promise((resolve) => setTimeout(resolve, 5_000));
    const after = spent(program.child.pid!);
    const [cpu, sleeps] = [after.cpu - before.cpu, after.sleeps - before.sleeps];
    console.log(`in 5 s idle: ${cpu} ms of processor time, ${sleeps} wake-ups`);
    assert.ok(cpu <= 250, `${cpu} ms in 5 s`);
  },
});
