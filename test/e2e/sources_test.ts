import assert from "node:assert/strict";
import { rulesFolder } from "./folder.ts";
import { start } from "./program.ts";
import { until } from "./until.ts";
import { WebServer } from "./web_server.ts";

const SOURCE = (url: string) => `
import { source } from "whenthen";
export const tasks = source({
  key: "item.gid",
  read: async ({ cursor, http }) => {
    const { body } = await http<{ items: { gid: string }[]; cursor: number }>("GET ${url}/changes", { query: { since: cursor } });
    return body;
  },
});
`;

const RULE = (url: string) => `
when: { poll: { call: "./tasks.ts#tasks" }, every: 1s, on: [added] }
mode: queued
then:
  - http: POST ${url}/told/\${{ event.subject }}
`;

Deno.test("kill -9 after the first of eight runs: the rest runs, none twice, and the cursor goes on", async () => {
  const told: { path: string; key: string }[] = [];
  const since: (string | null)[] = [];
  let isHeld = true;
  const held = Promise.withResolvers<void>();
  await using peer = await WebServer.start((request, response) => {
    const { pathname, searchParams } = new URL(request.path, "http://peer");
    if (pathname === "/changes") {
      const asked = searchParams.get("since");
      since.push(asked);
      const items = asked === "1" ? Array.from({ length: 8 }, (_, gid) => ({ gid: String(gid) })) : [];
      const cursor = asked === null ? 1 : 2;
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ items, cursor }));
      return;
    }
    told.push({ path: pathname, key: String(request.headers["idempotency-key"]) });
    // The second run is under way when the program is killed.
    if (isHeld && told.length === 2) return held.resolve();
    response.end("{}");
  });
  await using folder = await rulesFolder({ "tasks.ts": SOURCE(peer.url), "a.yaml": RULE(peer.url) });
  await using killed = start(folder.rules, { data: folder.data });
  await held.promise;
  await killed.kill();
  isHeld = false;
  await using program = start(folder.rules, { data: folder.data });
  const paths = () => Promise.resolve(new Set(told.map(({ path }) => path)));
  await until("all eight", paths, ({ size }) => size === 8);
  await until("another look", () => Promise.resolve(since), (seen) => seen.filter((each) => each === "2").length >= 2);
  const runs = await program.api("runs?state=succeeded&limit=100");
  assert.equal(runs.length, 8);
  const keys = Map.groupBy(told, ({ path }) => path);
  assert.deepEqual([...keys.values()].map((each) => new Set(each.map(({ key }) => key)).size), Array(8).fill(1));
  assert.equal(told.length, 9, "only the interrupted request is repeated, with its key");
  assert.equal(since.filter((each) => each === "1").length, 1, "the changes were read once");
});

const PATCHED = (url: string) => `
import { source } from "whenthen";
interface Task { gid: string; status: string; notes: string }
export const tasks = source({
  key: "item.gid",
  read: async ({ http }) => ({ items: (await http<Task[]>("GET ${url}/tasks")).body, complete: true }),
  one: async ({ key, http }) => (await http<Task>(\`GET ${url}/tasks/\${key}\`)).body,
  update: async ({ key, patch, http }) => (await http<Task>(\`PATCH ${url}/tasks/\${key}\`, { json: patch })).body,
});
`;

Deno.test("kill -9 between a patch's request and its record: tried again, read afresh, told to nobody, and the item is looked at again", async () => {
  const tasks = new Map(["1", "2"].map((gid) => [gid, { gid, status: "open", notes: "" }]));
  let isHeld = true;
  await using peer = await WebServer.start(({ method, path, body }, response) => {
    const gid = path.split("/")[2];
    const task = tasks.get(gid);
    // The service has written to the first item, and not to the second, when the program is killed.
    if (method === "PATCH" && !(isHeld && gid === "2")) Object.assign(task!, JSON.parse(body));
    if (method === "PATCH" && isHeld) return;
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(task ?? [...tasks.values()]));
  });
  const patches = (gid?: string) =>
    peer.seen.filter(({ method, path }) => method === "PATCH" && (gid === undefined || path === `/tasks/${gid}`));
  const looks = () => peer.seen.filter(({ path }) => path === "/tasks").length;
  const looked = async (more: number) => {
    const before = looks();
    await until("more looks", () => Promise.resolve(looks()), (count) => count >= before + more);
  };
  await using folder = await rulesFolder({
    "tasks.ts": PATCHED(peer.url),
    "a.yaml": `when: { poll: { call: "./tasks.ts#tasks" }, every: 1s, on: [changed] }
then: [{ patch: { notes: "Seen \${{ event.data.new.status }}" } }]
`,
  });
  {
    await using program = start(folder.rules, { data: folder.data });
    await looked(1);
    for (const task of tasks.values()) task.status = "done";
    await until("both requests", () => Promise.resolve(patches()), ({ length }) => length === 2);
    await looked(2);
    assert.equal((await program.api("runs")).length, 2, "what a step is writing is told to nobody");
    await program.kill();
  }
  isHeld = false;
  await using program = start(folder.rules, { data: folder.data });
  const succeeded = async (): Promise<unknown[]> => await program.api("runs?state=succeeded");
  await until("both runs", succeeded, ({ length }) => length === 2);
  assert.equal(patches("1").length, 1, "the first item is as wanted: nothing is sent");
  const [first, again] = patches("2");
  assert.deepEqual([again.body, again.headers["idempotency-key"]], [first.body, first.headers["idempotency-key"]]);
  assert.deepEqual([...tasks.values()].map(({ notes }) => notes), ["Seen done", "Seen done"]);
  await looked(2);
  assert.equal((await program.api("runs")).length, 2, "a rule does not answer its own writes");
  for (const task of tasks.values()) task.status = "reopened";
  await until("a run for each change", succeeded, ({ length }) => length === 4);
  await looked(2);
  assert.deepEqual([...tasks.values()].map(({ notes }) => notes), ["Seen reopened", "Seen reopened"]);
  assert.deepEqual([(await program.api("runs")).length, patches().length], [4, 5]);
});
