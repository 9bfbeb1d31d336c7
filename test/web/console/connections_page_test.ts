import assert from "node:assert/strict";
import { ADDRESS, advanceUntil, asana, newKey, openConnections } from "../../connections/harness.ts";
import { openBench, rule, webhook } from "../harness.ts";
import { connect } from "./stream.ts";
import { ANNA, OPERATOR, Visitor } from "./visitor.ts";

const BROWSER = { accept: "text/html" };

/** A page's form is sent with its hidden inputs. */
function inputsOf(page: string, action: string): URLSearchParams {
  const form = [...page.matchAll(/<form[^>]*action="([^"]*)"[^>]*>([^]*?)<\/form>/g)].find(([, to]) => to === action);
  assert.ok(form, `a form to ${action}`);
  const hidden = form[2].matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)"/g);
  return new URLSearchParams([...hidden].map(([, name, value]) => [name, value]));
}

async function openPages() {
  const connected = await openConnections((server) => [
    asana(server),
    { name: "pat", at: { line: 1, column: 1 }, kind: "bearer", bearer: "NOT_SET", hosts: ["app.asana.com"] },
  ]);
  const { connections, secrets } = connected;
  const bench = await openBench([], {
    connections,
    mask: (text) => secrets.mask(text),
    maskJson: (value) => secrets.maskJson(value),
  });
  const post = async (path: string, inputs: URLSearchParams, headers: Record<string, string> = {}) =>
    await bench.ask("POST", path, {
      body: inputs,
      headers: { ...BROWSER, origin: "http://127.0.0.1:8080", ...headers },
    });
  const get = (path: string, headers: Record<string, string> = {}) =>
    bench.ask("GET", path, { headers: { ...BROWSER, ...headers } });
  return {
    connected,
    bench,
    get,
    post,
    async [Symbol.asyncDispose]() {
      await bench[Symbol.asyncDispose]();
      await connected[Symbol.asyncDispose]();
    },
  };
}

Deno.test("an operator connects and disconnects on the page; the answer counts in the same browser only", async () => {
  await using pages = await openPages();
  const { get, post, connected: { server, connections, secrets } } = pages;
  const list = await get("/connections");
  assert.match(list.body, /unconnected[^]*asana[^]*nobody has connected it yet/);
  assert.match(list.body, /pat[^]*the secret NOT_SET is not set/);

  const path = "/connections/asana/connect";
  assert.equal((await post(path, new URLSearchParams())).status, 403);
  const begun = await post(path, inputsOf(list.body, path));
  assert.equal(begun.status, 200);
  const cookie = begun.headers.getSetCookie().find((set) => set.startsWith("whenthen_connect="))!;
  assert.match(cookie, /; Path=\/connections; HttpOnly; SameSite=Lax$/);
  const url = /<a href="([^"]*)" rel="noreferrer">Continue/.exec(begun.body)![1].replaceAll("&amp;", "&");
  const back = (await server.allow(url)).slice(ADDRESS.length);

  const elsewhere = await get(back);
  assert.equal(elsewhere.status, 400);
  assert.match(elsewhere.body, /Another browser has begun this/);
  const done = await get(back, { cookie: cookie.split(";")[0] });
  assert.equal(done.status, 200);
  assert.match(done.body, /asana is connected/);
  assert.equal((await get(back, { cookie: cookie.split(";")[0] })).status, 400);
  assert.equal(connections.list()[0].by, "an operator");

  const token = await pages.connected.token();
  assert.equal(secrets.mask(token), "***");
  const after = await get("/connections");
  assert.match(after.body, /connected<\/a>[^]*until/);
  assert.ok(!after.body.includes(token));
  const ask = await get("/connections/asana/disconnect");
  const disconnect = "/connections/asana/disconnect";
  const gone = await post(disconnect, inputsOf(ask.body, disconnect));
  assert.match(gone.body, /its server has revoked them/);
  assert.equal(connections.list()[0].state, "unconnected");
});

Deno.test("a code is pasted on the page where it did not lead back", async () => {
  await using pages = await openPages();
  const { get, post, connected: { server, connections } } = pages;
  const path = "/connections/asana/connect";
  const begun = await post(path, inputsOf((await get("/connections")).body, path));
  const url = /<a href="([^"]*)" rel="noreferrer">Continue/.exec(begun.body)![1].replaceAll("&amp;", "&");
  const inputs = inputsOf(begun.body, "/connections/asana/code");
  inputs.set("code", await server.allow(url));
  const done = await post("/connections/asana/code", inputs);
  assert.deepEqual([done.status, done.headers.get("location")], [303, "/connections"]);
  assert.equal(connections.list()[0].state, "connected");
});

Deno.test("the API lists, connects and disconnects, and answers with sentences", async () => {
  await using pages = await openPages();
  const { bench, connected: { server } } = pages;
  const begun = await bench.post("/api/connections/asana/connect", { by: "anna" });
  assert.equal(begun.body.kind, "code");
  const attempt = () => bench.ask("GET", `/api/connections/attempts/${begun.body.attempt}`);
  assert.deepEqual((await attempt()).body, { connection: "asana", state: "waiting" });
  const code = new URL(await server.allow(begun.body.url)).searchParams.get("code");
  const pasted = await bench.post("/api/connections/asana/code", { attempt: begun.body.attempt, code });
  assert.deepEqual([pasted.status, (await attempt()).body.state], [200, "connected"]);
  const [listed] = (await bench.ask("GET", "/api/connections")).body;
  assert.deepEqual([listed.name, listed.state, listed.by], ["asana", "connected", "anna"]);
  assert.deepEqual((await bench.post("/api/connections/asana/disconnect", {})).body, {
    connection: "asana",
    revoked: true,
  });
  assert.equal((await bench.post("/api/connections/asana/disconnect", {})).status, 404);
  const unknown = await bench.post("/api/connections/asanna/connect", {});
  assert.deepEqual([unknown.status, unknown.body.error], [
    409,
    'There is no connection "asanna" in whenthen.yaml; did you mean "asana"?',
  ]);
  const bearer = await bench.post("/api/connections/pat/connect", {});
  assert.deepEqual([bearer.status, bearer.body.error], [
    400,
    '"pat" needs no connecting: it uses the secret NOT_SET',
  ]);
});

Deno.test("the pages and the API of connections are for operators", async () => {
  await using pages = await openPages();
  const { bench } = pages;
  await using closed = await openBench([], { connections: bench.context.connections, tokenless: false });
  assert.equal((await closed.ask("GET", "/connections", { headers: BROWSER })).status, 303);
  for (const path of ["/api/connections", "/api/connections/attempts/x"]) {
    assert.equal((await closed.ask("GET", path)).status, 401);
  }
  assert.equal((await closed.post("/api/connections/asana/connect", {})).status, 401);
  // The callback has no session: its state is its key.
  assert.equal((await closed.ask("GET", "/connections/callback?state=x&code=y", { headers: BROWSER })).status, 400);
});

Deno.test("a device is connected on the page: code and address are shown, and the page hears when that is done", async () => {
  await using pages = await openPages();
  const { get, post, bench, connected: { server, connections, clock } } = pages;
  const path = "/connections/asana/connect";
  const inputs = inputsOf((await get("/connections")).body, path);
  inputs.set("way", "device");
  const begun = await post(path, inputs);
  const [, code] = /enter the code <strong class="mono">([A-Z]{4}-[A-Z]{4})<\/strong>/.exec(begun.body)!;
  const [, url] = /Open <a href="([^"]*)" rel="noreferrer">/.exec(begun.body)!;
  assert.ok(url.includes(code));
  const live = (body: string) => /hx-sse:connect="([^"]*)"/.exec(body)![1].replaceAll("&amp;", "&");
  const attempt = await connect(bench, live(begun.body));
  const list = await connect(bench, live((await get("/connections")).body));
  await attempt.until(/Waiting until it is allowed there/);
  await server.allowDevice(url.replaceAll("&amp;", "&"));
  await advanceUntil(clock, () => connections.list()[0].state === "connected");
  await attempt.until(/hx-target="#attempt" hx-swap="innerMorph">asana is connected/);
  const heard = await list.until(
    /hx-target="#connections"[^]*by an operator|hx-target="#connections"[^]*an operator, /,
  );
  const token = await pages.connected.token();
  assert.ok(!heard.includes(token) && !(await get("/connections")).body.includes(token));
  await Promise.all([attempt.close(), list.close()]);
});

/** A webhook with handshakes, on pages that people sign in to. */
async function openHandshakes(key?: string) {
  const rules = [rule("tasks", [webhook("/asana", { auth: "asana" })])];
  const bench = await openBench(rules, {
    tokenless: false,
    secretOf: (name) => name === "WHENTHEN_KEY" ? key : undefined,
  });
  bench.people.push(structuredClone(OPERATOR), structuredClone(ANNA));
  await bench.context.hookSecrets.readKey();
  const visitor = new Visitor(bench);
  await visitor.signIn("olga");
  return { bench, visitor };
}

Deno.test("a webhook is opened for 10 minutes on the page, its secrets come up by their ids and are removed after a question", async () => {
  const { bench, visitor } = await openHandshakes(newKey());
  await using _ = bench;
  const secret = "a-secret-of-asana-itself";
  const shake = () => bench.ask("POST", "/hooks/asana", { body: "{}", headers: { "x-hook-secret": secret } });
  assert.equal((await shake()).status, 403);
  const closed = await visitor.get("/connections");
  assert.match(closed.text, /closed<\/a>[^]*href="\/rules\/tasks"[^]*\/hooks\/asana[^]*none yet/);
  const open = "/connections/handshakes/open";
  assert.equal((await visitor.submit("/connections", open)).location, "/connections");
  const opened = await visitor.get("/connections");
  assert.match(opened.text, /open<\/a>[^]*until <time/);
  assert.equal(bench.context.hookSecrets.list()[0].openUntil, bench.clock.now() + 600_000);
  assert.equal((await shake()).status, 200);
  const { text } = await visitor.get("/connections");
  const { id } = bench.context.hookSecrets.list()[0].secrets[0];
  assert.ok(text.includes(id) && !text.includes(secret));
  const remove = "/connections/handshakes/remove";
  const asked = await visitor.get(`${remove}?what=${id}`);
  assert.match(asked.text, new RegExp(`Remove the secret ${id} of tasks\\?`));
  assert.deepEqual(bench.context.hookSecrets.of({ rule: "tasks", trigger: "webhook /asana" }).length, 1);
  assert.equal((await visitor.submit(`${remove}?what=${id}`, remove)).location, "/connections");
  assert.deepEqual(bench.context.hookSecrets.list(), []);
  assert.match((await visitor.get(`${remove}?what=${id}`)).text, /removed already/);
  await visitor.submit("/connections", open);
  await shake();
  assert.equal((await visitor.submit(`${remove}?what=tasks`, remove)).status, 303);
  assert.deepEqual(bench.context.hookSecrets.list(), []);
});

Deno.test("handshakes are for operators, by forms of our own pages; without a key nothing is opened, and the page says why", async () => {
  const { bench, visitor } = await openHandshakes();
  await using _ = bench;
  const failed = await visitor.submit("/connections", "/connections/handshakes/open");
  assert.equal(failed.status, 400);
  assert.match(failed.text, /Cannot open the webhook of tasks[^]*WHENTHEN_KEY/);
  for (const path of ["open", "remove"]) {
    assert.equal((await visitor.post(`/connections/handshakes/${path}`, { rule: "tasks", what: "tasks" })).status, 403);
  }
  const anna = new Visitor(bench);
  await anna.signIn("anna");
  assert.equal((await anna.get("/connections")).status, 403);
  assert.equal((await anna.get("/connections/handshakes/remove?what=tasks")).status, 403);
  assert.equal((await anna.post("/connections/handshakes/open", { rule: "tasks" })).status, 403);
  assert.equal((await anna.get("/live?page=connections")).status, 403);
});
