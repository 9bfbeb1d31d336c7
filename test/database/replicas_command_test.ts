import assert from "node:assert/strict";
import { createServer } from "node:net";
import postgres from "postgres";
import type { ReplicaListing } from "../../runtime/web/replicas.ts";
import { rulesFolder } from "../e2e/folder.ts";
import { start, temporaryFolder, whenthen } from "../e2e/program.ts";
import { until } from "../e2e/until.ts";
import { DatabaseServer } from "./server.ts";

const RULES = { "order.yaml": "when: { webhook: /order, auth: none }\nthen: [{ log: order }]\n" };

Deno.test("replicas: by the program on this machine, and without one from the database itself", async () => {
  await using server = await DatabaseServer.start();
  await using folder = await rulesFolder(RULES);
  await using elsewhere = await temporaryFolder();
  const data = await server.create();
  const list = async (env: Record<string, string> = {}): Promise<ReplicaListing[]> => {
    const { code, stdout, stderr } = await whenthen(["--data", data, "replicas", "--json"], { env });
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout);
  };
  const other = { XDG_CACHE_HOME: elsewhere.path };
  assert.deepEqual(await list(other), []);
  const sql = postgres(data, { max: 1 });
  const [{ schema }] = await sql.unsafe("select to_regnamespace('whenthen') as schema");
  await sql.end();
  assert.equal(schema, null, "a look makes no tables");

  await using first = start(folder.rules, { data });
  await first.url();
  await using second = start(folder.rules, { data });
  await second.url();
  const both = await until(
    "both",
    () => list(),
    (all) => all.length === 2 && all.every(({ address }) => address !== null),
  );
  assert.match(`${both[0].rules}`, /^[0-9a-f]{8}$/);
  assert.equal(both[1].rules, both[0].rules);
  assert.deepEqual(both.map(({ pid }) => pid).sort(), [first, second].map(({ child }) => child.pid).sort());
  assert.deepEqual(both.map(({ address }) => address).sort(), [await first.url(), await second.url()].sort());
  assert.deepEqual(both.map(({ decides, state }) => [decides, state]), [[true, "alive"], [false, "alive"]]);
  const seen = await until("them from elsewhere", () => list(other), (all) => all.every(({ behind }) => behind === 0));
  assert.deepEqual(seen, both.map((each) => ({ ...each, behind: 0 })));

  const { stdout } = await whenthen(["--data", data, "replicas"]);
  const [head, ...lines] = stdout.trim().split("\n");
  assert.match(head, /^REPLICA +STATE +ROLE +HOST +PID +VERSION +RULES +SINCE +ADDRESS +BEHIND$/);
  assert.match(lines[0], new RegExp(`^${both[0].id} +alive +decides .+ ${both[0].pid} .+ ${both[0].address} +0$`));
  assert.match(lines[1], new RegExp(`^${both[1].id} +alive +follows `));

  // The one that decides hands over; the one that is killed is silent, then gone.
  assert.equal(await first.stop(), 0);
  const alone = await until(
    "the other one to decide",
    () => list(other),
    ([each]) => each?.decides && each.id === both[1].id,
  );
  assert.equal(alone.length, 1);
  await second.kill();
  const [dead] = await until("silence", () => list(other), ([each]) => each?.state !== "alive");
  assert.deepEqual([dead.id, dead.state], [both[1].id, "silent"]);
});

Deno.test("replicas: a database that cannot be reached is an error that names it without its password", async () => {
  const closed = createServer();
  const port = await new Promise<number>((resolve) =>
    closed.listen(0, "127.0.0.1", () => resolve((closed.address() as { port: number }).port))
  );
  await new Promise((resolve) => closed.close(resolve));
  const { code, stderr } = await whenthen(["--data", `postgres://u:secret@127.0.0.1:${port}/none`, "replicas"]);
  assert.equal(code, 64, stderr);
  assert.match(stderr, new RegExp(`^Cannot open the database postgres://u@127.0.0.1:${port}/none: .*ECONNREFUSED`));
  assert.doesNotMatch(stderr, /secret/);
});
