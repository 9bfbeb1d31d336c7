import assert from "node:assert/strict";
import { checkFolder } from "../../runtime/app/check_folder.ts";
import { Folder, json, Peer } from "./app.ts";

Deno.test("a command file can be polled: its output is the list", async () => {
  await using folder = await Folder.with({
    "commands/list.yaml": "command: sh\ninputs: { -c: { type: text } }\n",
    "a.yaml": `
when:
  poll: { call: ./commands/list.yaml, with: { -c: 'echo "[{\\"id\\": 1}, {\\"id\\": 2}]"' } }
  key: item.id
  first: emit
then: [{ log: x }]
`,
    "lines.yaml": `
when:
  poll: { call: ./commands/list.yaml, with: { -c: "echo one; echo two; echo three" } }
  format: lines
  key: item
  first: emit
then: [{ log: x }]
`,
  });
  const { outputs, failures, broken } = await folder.once();
  assert.deepEqual([failures, broken, outputs.length], [[], [], 5]);
});

Deno.test("an action in YAML cannot be polled: a problem says so", async () => {
  await using folder = await Folder.with({
    "lib/list.yaml": "inputs: { a: 1 }\nthen: [{ log: x }]\n",
    "a.yaml": "when: { poll: { call: ./lib/list.yaml }, key: item.id }\nthen: [{ log: x }]\n",
  });
  const { problems } = await checkFolder({ folder: folder.rules, data: `${folder.root}/data` });
  assert.match(problems.map(({ message }) => message).join(), /is an action, whose steps a poll cannot execute/);
});

const RULE = (max: number) => `
when:
  poll: { call: "./list.ts#list" }
  key: item.id
  max: ${max}
then: [{ log: x }]
`;

const LIST = "export const list = () => Array.from({ length: 30 }, (_, id) => ({ id }));\n";

Deno.test("a poll above max fails, is told once as an event, and works again when max is raised", async () => {
  await using folder = await Folder.with({
    "list.ts": LIST,
    "a.yaml": RULE(20),
    "tell.ts": `
import { event, rule } from "whenthen";
export default rule({ when: event("whenthen.poll.capped"), then: ({ event }) => event.data });
`,
  });
  const first = await folder.once();
  assert.match(first.failures.join(), /more than 20 items, so nothing was compared; raise it with "max"/);
  const [told] = first.outputs;
  assert.deepEqual({ rule: told.rule, max: told.max }, { rule: "a", max: 20 });
  const again = await folder.once();
  assert.deepEqual([again.failures.length, again.outputs.length], [1, 1], "told only when it changes");
  await folder.write({ "list.ts": 'export const list = () => { throw new Error("answered 500") };\n' });
  assert.match((await folder.once()).failures.join(), /answered 500/);
  await folder.write({ "list.ts": LIST });
  assert.equal((await folder.once()).outputs.length, 1, "not told again after a failure of another kind");
  await folder.write({ "a.yaml": RULE(30) });
  assert.deepEqual((await folder.once()).failures, []);
  await folder.write({ "a.yaml": RULE(29) });
  assert.equal((await folder.once()).outputs.length, 2);
});

const TOKEN = "1/1200000000000001:correct-horse";

const source = (url: string) => `
import { action, source } from "whenthen";
export const tasks = source({
  key: "item.gid",
  read: async ({ http }) => ({ items: (await http<{ gid: string }[]>("GET ${url}/tasks")).body, complete: true }),
});
export const note = action({
  run: async ({ http }) => {
    await http("POST ${url}/notes", { auth: { bearer: "own" } });
    return (await http("POST ${url}/notes")).status;
  },
});
export const away = action({ run: async ({ http }) => (await http("GET http://localhost:9/")).status });
`;

Deno.test("code of a source and of an action sends its requests with the connection beside call, or its own auth", async () => {
  await using peer = await Peer.start();
  const seen: string[] = [];
  peer.answer = (request, response) => {
    seen.push(`${request.url} ${request.headers.authorization}`);
    json(response, [{ gid: "1" }]);
  };
  await using folder = await Folder.with({
    ".env": `ASANA_PAT=${TOKEN}\n`,
    "whenthen.yaml": `connections: { asana: { bearer: ASANA_PAT, hosts: ["${new URL(peer.url).host}"] } }\n`,
    "source.ts": source(peer.url),
    "a.yaml": `
when: { poll: { call: "./source.ts#tasks", auth: { connection: asana } }, first: emit }
then: [{ call: "./source.ts#note", auth: { connection: asana } }]
`,
    "b.ts": `
import { poll, rule } from "whenthen";
import { away, tasks } from "./source.ts";
export default rule({
  when: poll(tasks(), { first: "emit", auth: { connection: "asana" } }),
  then: async ({ step }) => {
    await step.call(away, "away", {}, { auth: { connection: "asana" } });
  },
});
`,
  });
  const { failures, failed } = await folder.once();
  assert.deepEqual(failures, []);
  assert.deepEqual(seen.sort(), [
    `/notes Bearer ${TOKEN}`,
    "/notes Bearer own",
    `/tasks Bearer ${TOKEN}`,
    `/tasks Bearer ${TOKEN}`,
  ]);
  assert.equal(failed.length, 1);
  assert.match(JSON.stringify(failed), /The token of \\"asana\\" goes to 127\.0\.0\.1:\d+ only, not to localhost:9/);
});

Deno.test("a poll of a URL takes auth as a step does: a connection, or a secret as bearer", async () => {
  await using peer = await Peer.start();
  const seen: string[] = [];
  peer.answer = (request, response) => {
    seen.push(`${request.url} ${request.headers.authorization}`);
    json(response, [{ gid: "1" }]);
  };
  const { host } = new URL(peer.url);
  await using folder = await Folder.with({
    ".env": `ASANA_PAT=${TOKEN}\n`,
    "whenthen.yaml":
      `connections: { asana: { bearer: ASANA_PAT, hosts: ["${host}"] }, other: { bearer: ASANA_PAT, hosts: [x.test] } }\n`,
    "a.yaml":
      `when: { poll: "${peer.url}/a", auth: { connection: asana }, key: item.gid, first: emit }\nthen: [{ log: x }]\n`,
    "b.yaml":
      `when: { poll: "${peer.url}/b", auth: { bearer: "\${{ secrets.ASANA_PAT }}" }, key: item.gid }\nthen: [{ log: x }]\n`,
    "c.yaml": `when: { poll: "${peer.url}/c", auth: { connection: other }, key: item.gid }\nthen: [{ log: x }]\n`,
    "d.yaml":
      `when: { poll: { http: "GET ${peer.url}/d" }, auth: { connection: asana }, key: item.gid }\nthen: [{ log: x }]\n`,
    "e.ts": `
import { poll, rule } from "whenthen";
export default rule({ when: poll("${peer.url}/e", { auth: { connection: "asana" }, key: "item.gid" }), then: () => {} });
`,
  });
  const { failures, outputs, broken } = await folder.once();
  assert.deepEqual(seen.sort(), ["/a", "/b", "/e"].map((path) => `${path} Bearer ${TOKEN}`));
  assert.equal(outputs.length, 1);
  assert.equal(failures.length, 1);
  assert.match(failures[0], /The token of "other" goes to x\.test only, not to 127\.0\.0\.1/);
  assert.deepEqual(broken, ["d.yaml"]);
});
