import assert from "node:assert/strict";
import { readAddress } from "../../../../runtime/host/private_file.ts";
import { ask, holds } from "../../../../test/sources/app.ts";
import { Asana, TOKEN } from "./asana.ts";
import { rulesFor, tell } from "./rules.ts";

Deno.test("a webhook of Asana: its handshake while it is open, then signed deliveries have the poll look at once", async () => {
  await using asana = await Asana.start();
  asana.add({ gid: "1", in: ["77"] });
  const options = 'every: "1h", hook: { webhook: "/asana", auth: "asana" }';
  await using folder = await rulesFor(asana, { "a.ts": tell("tasks", 'project: "77"', options) });
  await folder.write({ ".env": `ASANA_PAT=${TOKEN}\nWHENTHEN_KEY=${btoa("0123456789abcdef0123456789abcdef")}\n` });
  const app = await folder.open();
  try {
    await app.start();
    await holds("the first look", () => asana.requests.some((line) => line.startsWith("GET /projects/77/tasks")));
    const data = { resource: "77", target: `${(await readAddress(`${folder.root}/data`))!.url}/hooks/asana` };
    const create = async () => {
      const headers = { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" };
      const response = await fetch(`${asana.url}/webhooks`, {
        method: "POST",
        headers,
        body: JSON.stringify({ data }),
      });
      await response.body?.cancel();
      return response.status;
    };
    assert.equal(await create(), 403, "nobody has opened it");
    const [{ rule, path }] = await ask(app, "/api/hooks");
    assert.deepEqual([rule, path], ["a", "/hooks/asana"]);
    const body = JSON.stringify({ rule: "a" });
    const headers = { host: "127.0.0.1:8080", "content-type": "application/json" };
    const opened = new Request("http://127.0.0.1:8080/api/hooks/open", { method: "POST", headers, body });
    assert.equal((await app.web.fetch(opened, () => "127.0.0.1")).status, 200);
    assert.equal(await create(), 201);

    asana.asked();
    assert.deepEqual(await asana.deliver(), [200], "an empty delivery is answered");
    asana.change("1", { name: "B" });
    assert.deepEqual(await asana.deliver(true), [401], "somebody else's signature");
    assert.deepEqual(asana.asked(), []);
    asana.change("1", { name: "C" });
    assert.deepEqual(await asana.deliver(), [202]);
    await holds("the run", async () => (await ask(app, "/api/runs"))[0]?.state === "succeeded");
    const [{ output }] = await ask(app, "/api/runs");
    assert.deepEqual(output.diff, { name: ["Task 1", "C"] });
    assert.deepEqual(asana.asked(), ["GET /events", "GET /tasks/1"]);
  } finally {
    await app.stop();
  }
});
