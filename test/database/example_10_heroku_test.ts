import assert from "node:assert/strict";
import process from "node:process";
import type { ReplicaListing } from "../../runtime/web/replicas.ts";
import { until } from "../e2e/until.ts";
import { commandOf, dyno, useSource } from "../examples/dyno.ts";
import { copyExample } from "../examples/example.ts";
import { DatabaseServer } from "./server.ts";

const TOKEN = "a-long-random-text";

Deno.test("example 10: two web dynos and a worker share a database; a worker needs one", async () => {
  await using server = await DatabaseServer.start();
  await using folder = await copyExample("10-heroku");
  const { procfile } = await useSource(folder.rules);
  const env = { WHENTHEN_TOKEN: TOKEN, DATABASE_URL: await server.create() };
  const start = (type: string, more: Record<string, string> = {}) =>
    dyno(commandOf(type, procfile), folder.rules, { ...env, ...more });
  const alone = start("worker", { DATABASE_URL: "" });
  assert.notEqual(await alone.ended, 0);
  assert.match(alone.output(), /a worker needs the database/);

  const dynos = [start("web"), start("web"), start("worker")];
  try {
    const urls = await Promise.all(dynos.slice(0, 2).map((each) => each.url()));
    const listed = async (url: string): Promise<ReplicaListing[]> => {
      const response = await fetch(`${url}/api/replicas`, { headers: { authorization: `Bearer ${TOKEN}` } });
      return response.ok ? await response.json() : [];
    };
    const greet = async (url: string) => {
      const headers = { "content-type": "application/json" };
      const response = await fetch(`${url}/hooks/hello`, { method: "POST", headers, body: '{"name":"Ada"}' });
      return await response.json();
    };
    for (const url of urls) {
      const all = await until("three replicas", () => listed(url), (list) => list.length === 3);
      assert.equal(all.filter(({ decides }) => decides).length, 1);
      assert.deepEqual(await greet(url), { text: "Hello, Ada" });
    }
    // A restart of a dyno, as there is one each day.
    process.kill(dynos[0].child.pid!, "SIGTERM");
    assert.equal(await dynos[0].ended, 0, dynos[0].output());
    assert.deepEqual(await greet(urls[1]), { text: "Hello, Ada" });
    const left = await until("two replicas", () => listed(urls[1]), (list) => list.length === 2);
    assert.equal(left.filter(({ decides }) => decides).length, 1);
    for (const { child, ended, output } of dynos.slice(1)) {
      process.kill(child.pid!, "SIGTERM");
      assert.equal(await ended, 0, output());
    }
  } finally {
    for (const { child } of dynos) child.kill("SIGKILL");
  }
});
