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
