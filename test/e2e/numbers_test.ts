import assert from "node:assert/strict";
import { command } from "./command.ts";
import { rulesFolder } from "./folder.ts";
import { start, whenthen } from "./program.ts";
import { Lab } from "./true_data/lab.ts";
import { sources } from "./true_data/sources.ts";
import { texts } from "./true_data/texts.ts";
import { values } from "./true_data/values.ts";
import { until } from "./until.ts";
import { WebServer } from "./web_server.ts";

/** Whole numbers that a double cannot represent, and numbers that it can. */
const NUMBERS = '{"id":9007199254740993,"n":12345678901234567890,"neg":-9007199254740993,"f":1.5,"e":1e+21}';
const JSON_TYPE = { "content-type": "application/json" };

const RULES = {
  "in.yaml": `
when: { webhook: /in, auth: none, dedupe: event.data.id, replyWithin: 60s }
if: event.data.id == 9007199254740993 && event.data.n > 12345678901234567000.0
then:
  - { id: sent, http: "POST \${{ env.PEER }}/first", json: "\${{ event.data }}" }
  - { emit: numbers.seen, data: "\${{ steps.sent.body }}", subject: "\${{ event.data.id }}" }
  - { reply: 200, json: "\${{ event.data }}" }
`,
  "second.yaml": `
when: { event: numbers.seen }
then:
  - { id: cat, run: [cat], stdin: "\${{ event.data }}" }
  - { log: "seen \${{ event.subject }} \${{ event.data.id - 1 }}", data: "\${{ steps.cat.json }}" }
  - { http: "POST \${{ env.PEER }}/second?n=\${{ steps.cat.json.n }}", form: { neg: "\${{ event.data.neg }}" } }
`,
  "code.ts": `
import { event, rule, type } from "whenthen";
export default rule({
  when: event("numbers.seen", type<Record<string, bigint>>()),
  then: async ({ event: { data }, step }) => {
    const made = await step.do("make", () => ({ ...data, more: data.id + 1n, small: 5n, double: 2 ** 60 }));
    const went = await step.waitFor("go", "go", { match: { "data.id": made.more } });
    const types = [made.id, made.small, made.double, went.data.id].map((value) => typeof value);
    await step.http("tell", \`POST \${process.env.PEER}/code\`, { json: { made, types, same: went.data.id === made.more } });
  },
});
`,
};

Deno.test("whole numbers stay exact through rules, code, disk, API, log, commands and the network", async () => {
  await using peer = await WebServer.start(({ body }, response) =>
    response.writeHead(200, JSON_TYPE).end(body.startsWith("{") ? body : "{}")
  );
  await using folder = await rulesFolder(RULES);
  const options = { data: folder.data, env: { PEER: peer.url } };
  const emit = async (type: string, data: string) =>
    await whenthen(["--data", folder.data, "emit", type, "--data", data, "--json"], { env: options.env });
  let go: Awaited<ReturnType<typeof emit>>;
  {
    await using program = start(folder.rules, options);
    const reply = await program.fetch("/hooks/in", { method: "POST", headers: JSON_TYPE, body: NUMBERS });
    assert.equal(await reply.text(), NUMBERS);
    const other = NUMBERS.replace("9007199254740993", "9007199254740992");
    const neighbour = await program.fetch("/hooks/in", { method: "POST", headers: JSON_TYPE, body: other });
    assert.match(
      await neighbour.text(),
      /"runs":\[\],"duplicate":false/,
      "another event, and the condition does not hold",
    );
    const [first] = await peer.waitFor(1, ({ path }) => path === "/first");
    assert.equal(first.body, NUMBERS);
    const [second] = await peer.waitFor(1, ({ path }) => path.startsWith("/second"));
    assert.deepEqual([second.path, second.body], ["/second?n=12345678901234567890", "neg=-9007199254740993"]);
    await program.waitForMessage("seen 9007199254740993 9007199254740992");
    assert.ok(program.output.includes(`"data":${NUMBERS}`), program.output);
    await until("the run to wait", () => program.api("runs?waiting=true"), ({ length }) => length === 1);
    go = await emit("go", '{"id": 9007199254740995}');
    assert.match(go.stdout, /"wakes": \[\]/);
    await program.kill();
  }
  await using program = start(folder.rules, options);
  const runs = await (await program.fetch("/api/runs?rule=second")).text();
  assert.ok(runs.includes(`"data":${NUMBERS}`), runs);
  const [{ id }] = JSON.parse(runs);
  const shown = await (await program.fetch(`/api/runs/${id}`)).text();
  assert.ok(shown.includes(`"json":${NUMBERS}`), shown);
  const listed = await command("show", id, "--data", folder.data, "--json");
  assert.match(listed.stdout, /"n": 12345678901234567890,\n/);
  go = await emit("go", '{"id": 9007199254740994}');
  assert.doesNotMatch(go.stdout, /"wakes": \[\]/, go.stdout + go.stderr);
  const [code] = await peer.waitFor(1, ({ path }) => path === "/code");
  const made = `${NUMBERS.slice(0, -1)},"more":9007199254740994,"small":5,"double":1152921504606847000}`;
  assert.equal(code.body, `{"made":${made},"types":["bigint","number","number","bigint"],"same":true}`);
});

Deno.test("a number beyond the range of a double is refused with its path", async () => {
  await using folder = await rulesFolder({ "in.yaml": "when: { webhook: /in, auth: none }\nthen: [{ log: hello }]\n" });
  await using program = start(folder.rules, { data: folder.data });
  const post = async (path: string, body: string) => {
    const response = await program.fetch(path, { method: "POST", headers: JSON_TYPE, body });
    return { status: response.status, text: await response.text() };
  };
  const lines = '{"lines":[0,1,2,{"price":1e400}]}';
  for (const [path, body] of [["/hooks/in", lines], ["/events", `{"type":"x","data":${lines}}`]]) {
    const { status, text } = await post(path, body);
    assert.equal(status, 400, text);
    assert.match(text, /the number 1e400 at data\.lines\[3\]\.price is too large/);
  }
  const emitted = await command("--data", folder.data, "emit", "x", "--data", lines);
  assert.match(emitted.stderr, /1e400 at data\.lines\[3\]\.price/);
});

Deno.test("a poll distinguishes items and values that differ only beyond 2^53", async () => {
  const page = (...items: string[]) => `[${items.join(",")}]`;
  const answer = (body: string) => peer.answer((_, response) => response.writeHead(200, JSON_TYPE).end(body));
  await using peer = await WebServer.start();
  answer(page('{"id":9007199254740992,"v":1}', '{"id":9007199254740993,"v":9007199254740992}'));
  await using folder = await rulesFolder({
    "p.yaml": `
when: { poll: "${peer.url}/items", key: item.id, every: 1s, on: [added, changed] }
then:
  - log: "\${{ event.type }} \${{ event.subject }}"
    data: "\${{ event.data.diff }}"
`,
  });
  await using program = start(folder.rules, { data: folder.data });
  await peer.waitFor(2);
  answer(page('{"id":9007199254740992,"v":1}', '{"id":9007199254740993,"v":9007199254740993}'));
  await program.waitForMessage("changed 9007199254740993");
  assert.ok(program.output.includes('"data":{"v":[9007199254740992,9007199254740993]}'), program.output);
  answer(page('{"id":9007199254740993,"v":1e400}'));
  await program.waitForMessage("[0].v");
});

/** The kinds of wrong data, by number. */
const KINDS: Record<number, string> = {
  1: "masking changes no data in use",
  2: "headers do not vanish by their names",
  3: "nothing is cut without a word",
  4: "whole numbers are exact, and what no number holds is an error",
  5: "text is read by its charset, and what does not decode is an error",
  6: "binary answers are base64",
  7: "what comes several times is a list",
  8: "a page that is not the table is no empty table",
  9: "an item that is repeated or has no key does not block the list",
  10: "a change that keeps size and time is seen",
  11: "reply says what became of it",
};

Deno.test("data stays unchanged: a table of inputs and outputs", async (t) => {
  const parts = [values, texts, sources];
  await using lab = await Lab.start(parts);
  const cases = parts.flatMap((part) => part.cases);
  for (const [number, name] of Object.entries(KINDS)) {
    await t.step(`${number}: ${name}`, async (t) => {
      for (const { input, expected, got } of cases.filter(({ kind }) => kind === Number(number))) {
        await t.step(input, async () => {
          const found = await got(lab);
          if (expected instanceof RegExp) assert.match(String(found), expected);
          else assert.deepEqual(found, expected);
        });
      }
    });
  }
});
