import assert from "node:assert/strict";
import type { Begun } from "../../runtime/connections/attempts.ts";
import { newKey } from "../connections/harness.ts";
import { CLIENT, openAuthorizationServer } from "../connections/provider.ts";
import { until } from "../e2e/until.ts";
import { type Replica, Replicas } from "./replicas.ts";
import { DatabaseServer } from "./server.ts";

const REDIRECT = "http://127.0.0.1/connections/callback";

Deno.test("whenthen connect at one replica, the browser comes back to another one", async (t) => {
  await using server = await openAuthorizationServer([REDIRECT]);
  await using database = await DatabaseServer.start();
  const files = {
    "whenthen.yaml": `
connections:
  asana:
    oauth: { issuer: "${server.issuer}" }
    client: ASANA_ID
    secret: ASANA_SECRET
    scopes: [tasks]
    hosts: ["${server.apiHost}"]
`,
    "work.yaml": `
when: { webhook: /work, auth: none, replyWithin: 20s }
then:
  - { id: done, http: "POST ${server.api}/worked", json: {}, auth: { connection: asana } }
  - { reply: 200, json: { account: "\${{ steps.done.body.account }}" } }
`,
  };
  const secrets = { ASANA_ID: CLIENT.id, ASANA_SECRET: CLIENT.secret, WHENTHEN_KEY: newKey() };
  await using replicas = await Replicas.start(await database.create(), files, { env: () => secrets });
  const decider = await replicas.decider();
  const [one, two] = await replicas.followers();

  const begin = async (at: Replica) => {
    const { status, body } = await at.post("/api/connections/asana/connect", { by: "anna" });
    assert.equal(status, 200, JSON.stringify(body));
    return body as Extract<Begun, { kind: "code" }>;
  };
  /** The browser is sent back to the one that began; the proxy leads it to this one. */
  const comeBack = async (at: Replica, url: string, cookie = "") => {
    const { pathname, search } = new URL(url);
    const response = await at.program.fetch(pathname + search, { headers: { accept: "text/html", cookie } });
    return { status: response.status, text: await response.text() };
  };
  const stateAt = async (at: Replica, { attempt }: Begun) => (await at.api(`connections/attempts/${attempt}`)).state;

  await t.step("it is connected there, and each of them sees and uses that", async () => {
    const begun = await begin(one);
    for (const replica of replicas.all) assert.equal(await stateAt(replica, begun), "waiting");
    const back = await server.allow(begun.url);
    const page = await comeBack(two, back);
    assert.equal(page.status, 200, page.text);
    assert.match(page.text, /asana is connected/);
    for (const replica of replicas.all) {
      const ends = () => stateAt(replica, begun);
      await until(`${replica.name} to know it`, ends, (state) => state === "connected");
      const { status, body } = await replica.post("/hooks/work", {});
      assert.deepEqual([status, body], [200, { account: "ada" }]);
      const again = await comeBack(replica, back);
      assert.equal(again.status, 400);
      assert.match(again.text, /was used before/);
    }
    assert.deepEqual(server.grants, ["authorization_code"]);
  });

  await t.step("the one that began may have been killed meanwhile, and another one decides then", async () => {
    const begun = await begin(decider);
    const back = await server.allow(begun.url);
    await decider.kill();
    await replicas.decider();
    const page = await comeBack(one, back);
    assert.equal(page.status, 200, page.text);
    await until("the other one to know it", () => stateAt(two, begun), (state) => state === "connected");
  });

  await t.step("a changed state is refused, and an attempt ends when another replica disconnects", async () => {
    const begun = await begin(two);
    const back = new URL(await server.allow(begun.url));
    const changed = new URL(back);
    const state = back.searchParams.get("state")!;
    changed.searchParams.set("state", `${state.slice(0, -1)}${state.endsWith("A") ? "E" : "A"}`);
    assert.match((await comeBack(one, changed.href)).text, /Nobody waits for this answer/);
    const { status, body } = await one.post("/api/connections/asana/disconnect", {});
    assert.deepEqual([status, body.revoked], [200, true]);
    assert.match((await comeBack(two, back.href)).text, /Nobody waits for this answer/);
    assert.deepEqual(server.grants, ["authorization_code", "authorization_code"]);
  });
});
