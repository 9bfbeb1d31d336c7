import { Validator } from "@seriousme/openapi-schema-validator";
import assert from "node:assert/strict";
import { NotEndedError } from "../../runtime/engine/other_replicas.ts";
import type { Person } from "../../runtime/model/form.ts";
import type { Json, JsonObject } from "../../runtime/model/json.ts";
import type { Rule } from "../../runtime/model/rule.ts";
import { hashToken } from "../../runtime/secrets/passwords.ts";
import { commandOf } from "../commands/support.ts";
import { asana, newKey, openConnections } from "../connections/harness.ts";
import { LINE_PLATFORM, listed, Plant, Simulator } from "../fleet/harness.ts";
import { openConfigBench } from "./config_bench.ts";
import { checkAnswer, compare, describeApi, type Operation, seen } from "./described.ts";
import { type Bench, NOW, onEvent, openBench, rule, step, webhook } from "./harness.ts";
import { member } from "./members.ts";

const AT = { line: 1, column: 1 };
const as = (id: string) => ({ authorization: `Bearer ${id}-token` });
const person = (id: string, ...groups: string[]): Person => ({ id, name: id, groups, token: hashToken(`${id}-token`) });

/** Each operation with its method and its path, where names in braces have a value that nothing has. */
async function operations(): Promise<{ method: string; path: string; operation: Operation }[]> {
  const { paths } = await describeApi();
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method, path, operation }))
  );
}

Deno.test("the document is valid OpenAPI 3.1, has each name once, and says for every route who may use it", async () => {
  const document = await describeApi();
  const validator = new Validator();
  const { valid, errors } = await validator.validate(JSON.parse(JSON.stringify(document)));
  assert.ok(valid, JSON.stringify(errors, null, 2));
  assert.equal(validator.version, "3.1");
  const all = await operations();
  const ids = all.map(({ operation }) => operation.operationId);
  assert.deepEqual(ids, [...new Set(ids)]);
  for (const { operation: { operationId, summary, security } } of all) {
    assert.ok(summary.length > 5 && security !== undefined, operationId);
  }
  const broken = await new Validator().validate({ openapi: "3.1.0", info: { title: "x" }, paths: {} });
  assert.equal(broken.valid, false);
});

Deno.test("the document has all routes of the router, and no others", async () => {
  await using bench = await openBench([]);
  const routed = bench.web.routes.map(({ method, path }) => {
    return `${method.toLowerCase()} ${path.replace(/\/$/, "").replaceAll(/:(\w+)(\{[^}]*\})?/g, "{$1}")}`;
  });
  const described = (await operations()).map(({ method, path }) => `${method} ${path}`);
  const hooks = ["get /hooks/{path}", "post /hooks/{path}"];
  assert.deepEqual(new Set(described), new Set([...routed, ...hooks]));
});

Deno.test("GET /api/openapi.json is for those who may use the API, and says the program's version", async () => {
  await using bench = await openBench([]);
  const open = await bench.ask("GET", "/api/openapi.json");
  assert.deepEqual([open.status, open.body.openapi, open.body.info.version], [200, "3.1.0", "1.2.3"]);
  bench.people.push(person("anna"));
  Object.assign(bench.context, { tokenless: false, tokens: ["operator-token"] });
  assert.equal((await bench.ask("GET", "/api/openapi.json")).status, 401);
  assert.equal((await bench.ask("GET", "/api/openapi.json", { headers: as("anna") })).status, 401);
  assert.equal((await bench.ask("GET", "/api/openapi.json", { headers: as("operator") })).status, 200);
});

Deno.test("an answer that is not as it is described is noticed", async () => {
  const headers = new Headers({ "content-type": "application/json" });
  const check = (body: Json, status = 200) => checkAnswer("GET", "/api/runs/x", { status, body, headers });
  await assert.rejects(check({ run: {}, steps: [], notes: [] }), /must have required property 'id'/);
  await assert.rejects(check({ error: "x", more: 1 }, 404), /must NOT have additional properties/);
  await assert.rejects(check({}, 418), /is not described/);
  await assert.rejects(checkAnswer("DELETE", "/api/runs/x", { status: 200, body: "", headers }), /is not described/);
});

const COMMAND = {
  ...commandOf(`command: curl
name: cURL
help: Transfers data
version: { is: ">=7", by: [--version] }
inputs:
  --retry: { type: integer, min: 1 }
  --retry-delay: { type: integer, requires: [--retry] }
  -s: { type: boolean, conflicts: [-v] }
  -v: { type: boolean }
  url: { type: url, position: last, required: false }
with: { -s: true }
`),
  id: "commands/curl",
};

const KEYS: Rule = {
  ...rule("ops/keys", [{ id: "manual", kind: "manual", at: AT, args: { manual: true, to: ["anna"] } }]),
  name: "Keys",
  inputs: {
    bits: { type: "integer", required: true, min: 1, max: 8192 },
    tags: { type: "list", required: false, of: { type: "text" } },
  },
};

/** Statuses that need a broken program or a slow sender; other tests have them. */
const RARE = ["408", "500", "503"];

Deno.test("every answer that the document describes is given, and is as described", async (test) => {
  await test.step("what is wrong with a request", answersToWrongRequests);
  await test.step("rules, events, runs, forms and commands", answersOfRules);
  await test.step("hooks", answersOfHooks);
  await test.step("config", answersOfConfig);
  await test.step("connections and handshakes", answersOfConnections);
  await test.step("fleets", answersOfFleets);
  await test.step("replicas", answersOfReplicas);
  const missing = (await operations()).flatMap(
    ({ method, path, operation }) =>
      Object.keys(operation.responses).filter((status) => !RARE.includes(status))
        .map((status) => `${method} ${path} ${status}`).filter((answer) => !seen.has(answer)),
  );
  assert.deepEqual(missing, []);
  for (const answer of ["post /events 503", "post /api/emit 503", "get /readyz 503", "post /api/emit 500"]) {
    assert.ok(seen.has(answer), answer);
  }
});

/** A valid body of each request whose answer is 404 if there is nothing with the id. */
const BODIES: Record<string, JsonObject> = {
  sendTask: { task: "read", to: "all" },
  enterCode: { attempt: "nope", code: "x" },
  removeSecret: { what: "nope" },
  putConfig: { set: {} },
  postConfig: { set: {} },
  answerForm: { as: "anna" },
};

async function answersToWrongRequests(): Promise<void> {
  await using bench = await openBench([rule("a", [onEvent("x")])], {}, [COMMAND]);
  bench.people.push(person("anna"));
  for (const { method, path, operation } of await operations()) {
    const { responses, requestBody, operationId, parameters = [] } = operation;
    if (path.startsWith("/hooks/")) continue;
    // What is wrong with a body is only said of something that exists.
    const known = path.replace("{id}", path.includes("/commands/") ? COMMAND.id : "a").replaceAll(/\{\w+\}/g, "nope");
    const request = async (status: number, init: RequestInit = {}, query = "", place = known) => {
      const answer = await bench.ask(method.toUpperCase(), place + query, init);
      assert.equal(answer.status, status, `${method} ${place}${query}: ${JSON.stringify(answer.body)}`);
    };
    const json = { "content-type": "application/json" };
    const body = JSON.stringify(BODIES[operationId] ?? {});
    await request(400, { headers: { host: "a b" } });
    if (responses[401] !== undefined) {
      await request(401, { headers: { authorization: "Bearer wrong" } });
      await request(403, { headers: { host: "evil.example.org" } });
    }
    if (requestBody !== undefined) {
      await request(400, { headers: json, body: "{" });
      await request(415, { headers: { ...json, "content-encoding": "br" }, body });
      await request(413, { headers: json, body: `"${"x".repeat(1_048_577)}"` });
    }
    if (parameters.some((parameter) => parameter.in === "query")) await request(400, {}, "?nonsense=1");
    // Of devices, fleets say whether they exist.
    if (responses[404] === undefined || operationId === "getDevice") continue;
    const query = parameters.some(({ name }) => name === "rule") ? "?rule=nope" : "";
    const none = path.replaceAll(/\{\w+\}/g, "nope");
    await request(404, requestBody === undefined ? {} : { headers: json, body }, query, none);
  }
  assert.equal((await bench.ask("OPTIONS", "/events")).status, 405);
  assert.equal((await bench.ask("OPTIONS", "/events", { headers: { "webhook-request-origin": "x" } })).status, 200);
  assert.equal((await bench.ask("GET", "/healthz")).status, 200);
  assert.equal((await bench.ask("GET", "/readyz")).status, 200);
  assert.equal((await bench.ask("GET", "/metrics")).status, 200);
  bench.context.store.retain({ bytes: 1e9, identities: 1e9, live: 1 });
  assert.equal((await bench.post("/events", { type: "x" })).status, 503);
  assert.equal((await bench.post("/api/emit", { type: "x" })).status, 503);
  bench.context.phase = () => "draining";
  assert.equal((await bench.ask("GET", "/readyz")).status, 503);
  const broken = () => Promise.reject(new Error("the disk is gone"));
  bench.context.ingest = { deliver: broken, publish: broken, publishAll: broken, fromTrigger: broken };
  assert.equal((await bench.post("/api/emit", { type: "x" })).status, 500);
}

/** Runs in all states; those that wait do so for a time, an event and a form. */
async function fill(bench: Bench): Promise<Record<string, string>> {
  const { store, clock, context } = bench;
  const error = { name: "Error", message: "no", stack: "at x", detail: { status: 500 } };
  const at = { startedAt: NOW, endedAt: NOW + 1 };
  const claim = async () => {
    const { body: { runs: [run] } } = await bench.post("/events", { type: "x", subject: "s", data: { big: 1 } });
    await store.claimRuns("me", 1, clock.now());
    return run as string;
  };
  const succeeded = await claim();
  const done = { path: "call", kind: "http", state: "succeeded", attempts: 1, input: { url: "x" } } as const;
  await store.recordStep(succeeded, { ...done, ...at, output: [1, null] }, {}, NOW);
  await store.finishRun(succeeded, { state: "succeeded", output: "fine", spent: 1 }, NOW);
  const failed = await claim();
  const failures = [{ attempt: 1, startedAt: NOW, endedAt: NOW, error: { name: "Error", message: "no" } }];
  const pay = { path: "pay", kind: "http", state: "failed", attempts: 2, attemptedAt: NOW, failures, error } as const;
  await store.recordStep(failed, { ...pay, ...at }, {}, NOW);
  await store.finishRun(failed, { state: "failed", error, failedStep: "pay", spent: 1 }, NOW);
  const waiting = await claim();
  const due = NOW + 1_000;
  const wait = { path: "pause", kind: "wait", state: "waiting", attempts: 1, startedAt: NOW, due } as const;
  await store.recordStep(waiting, wait, { wait: { kind: "time" } }, NOW);
  await store.suspendRun(waiting, { state: "waiting", waitingFor: "a time", due, spent: 1 }, NOW);
  for (const [form, fields] of [["f1", KEYS.inputs!], ["f2", {}], ["f3", {}]] as const) {
    const asking = await claim();
    const ask = { path: "ask", kind: "form", state: "waiting", attempts: 1, startedAt: NOW } as const;
    const about = { id: form, title: "Well?", to: ["anna"], fields, due: NOW + 60_000 };
    await store.recordStep(asking, ask, { wait: { kind: "form", form: about } }, NOW);
    await store.suspendRun(asking, { state: "waiting", waitingFor: "a form", spent: 1 }, NOW);
  }
  const running = await claim();
  const { body: { runs: [cancelled] } } = await bench.post("/events", { type: "x" });
  assert.equal((await bench.post(`/api/runs/${cancelled}/cancel`, { by: "ada" })).status, 200);
  const { operators } = context;
  const { cancel } = operators;
  operators.cancel = (run) => Promise.reject(new NotEndedError(run, "another"));
  assert.equal((await bench.post(`/api/runs/${running}/cancel`, { by: "ada" })).status, 409);
  operators.cancel = cancel;
  const { body: { runs: [queued] } } = await bench.post("/events", { type: "x" });
  context.rules().rules.get("a")!.version = "v2";
  await store.putVersions([context.rules().rules.get("a")!]);
  return { succeeded, failed, waiting, running, queued };
}

async function answersOfRules(): Promise<void> {
  const rules = [rule("a", [onEvent("x"), webhook("/a")], [step("log")]), KEYS, {
    ...rule("off", [onEvent("x")]),
    enabled: false,
  }];
  await using bench = await openBench(rules, {}, [COMMAND]);
  bench.people.push(person("anna"), person("ben"));
  const broken = bench.context.rules();
  bench.context.rules = () => ({
    ...broken,
    broken: new Map([["bad.yaml", "bad"], ["a.yaml", "a"]]),
    problems: [{ severity: "error", file: "bad.yaml", at: AT, message: "no", hint: "yes", sourceLine: "x" }],
    failures: [{ rule: "a", trigger: "event x", message: "no" }],
    longest: () => ({ expression: "1", ms: 200 }),
  });
  const status = async (expected: number, method: string, path: string, body?: Json, headers = {}) => {
    const json = { "content-type": "application/json", ...headers };
    const init = body === undefined ? { headers } : { headers: json, body: JSON.stringify(body) };
    const answer = await bench.ask(method, path, init);
    assert.equal(answer.status, expected, `${method} ${path}: ${JSON.stringify(answer.body)}`);
    return answer;
  };
  const runs = await fill(bench);
  for (
    const path of ["rules", "problems", "runs", "runs?waiting=true", "runs?limit=2", "events", "forms", "commands"]
  ) {
    assert.ok((await status(200, "GET", `/api/${path}`)).body.length > 0, path);
  }
  assert.deepEqual(
    new Set((await status(200, "GET", "/api/runs")).body.map(({ state }: { state: string }) => state)),
    new Set(["succeeded", "failed", "waiting", "running", "queued", "cancelled"]),
  );
  for (const run of Object.values(runs)) await status(200, "GET", `/api/runs/${run}`);
  await status(200, "POST", `/api/runs/${runs.succeeded}/replay`, { by: "ada" });
  for (const [verb, wrong] of [["retry", runs.succeeded], ["skip", runs.queued], ["move", runs.succeeded]]) {
    await status(409, "POST", `/api/runs/${wrong}/${verb}`, {});
  }
  await status(200, "POST", `/api/runs/${runs.failed}/retry`, {});
  await status(200, "POST", `/api/runs/${runs.waiting}/move`, {});
  await status(200, "POST", `/api/runs/${runs.waiting}/skip`, { step: "pause" });
  await status(200, "GET", `/api/runs/${runs.waiting}`);

  const sent = { id: "e1", source: "/s", type: "x", time: "2026-11-21T08:00:00Z", specversion: "1.0", extra: "1" };
  for (const expected of [202, 200]) await status(expected, "POST", "/events", sent);
  const batch = { "content-type": "application/cloudevents-batch+json" };
  await status(202, "POST", "/events", [sent, { ...sent, id: "e2" }], batch);
  await status(200, "POST", "/api/emit", { type: "x", id: "e1" });
  await status(202, "POST", "/hooks/a", { x: 1 });
  await status(200, "GET", "/api/events");
  await status(200, "POST", "/api/rules/a/pause", { reason: "why" });
  await status(200, "POST", "/api/emit", { type: "x" });
  await status(200, "GET", "/api/rules");
  await status(200, "POST", "/api/rules/a/resume", {});

  const start = "/api/rules/ops%2Fkeys/start";
  await status(200, "GET", start, undefined, as("anna"));
  await status(403, "GET", start, undefined, as("ben"));
  await status(422, "POST", start, { inputs: { bits: "x" } });
  for (const expected of [202, 200]) await status(expected, "POST", start, { inputs: { bits: 1 }, id: "s1" });
  await status(200, "GET", "/api/commands/commands/curl");
  for (const given of [{ "--retry": 1 }, { "--retry-delay": "x", "-v": true }] as JsonObject[]) {
    await status(200, "POST", "/api/commands/commands%2Fcurl/check", { with: given });
  }

  await status(200, "GET", "/api/forms/f1");
  await status(403, "GET", "/api/forms/f1", undefined, as("ben"));
  await status(422, "POST", "/api/forms/f1", { as: "anna", values: { bits: "x" } });
  await status(200, "POST", "/api/forms/f1", { as: "anna", values: { bits: 1 } });
  await status(409, "POST", "/api/forms/f1", { as: "anna", values: { bits: 1 } });
  await status(200, "POST", "/api/forms/f2", {}, as("anna"));
  await bench.clock.advanceTo(NOW + 60_000);
  for (const state of ["answered", "open"]) await status(200, "GET", `/api/forms?state=${state}`);
  await status(200, "GET", "/metrics");
  await using strict = await openBench([{
    ...KEYS,
    triggers: [{ ...onEvent("keys"), inputs: { bits: "${{ data }}" } }],
  }]);
  assert.equal((await strict.post("/events", { type: "keys", data: "many" })).status, 422);
}

async function answersOfHooks(): Promise<void> {
  const method = ["GET", "POST"];
  const dedupe = "event.http.query.id";
  const rules = [
    rule("a", [webhook("/a", { method, dedupe })]),
    rule("put", [webhook("/put", { method: "PUT" })]),
    rule("safe", [webhook("/safe", { method, auth: "bearer", secret: ["HOOK"] })]),
    rule("tasks", [webhook("/tasks", { method, auth: "asana" })]),
    { ...KEYS, triggers: [{ ...webhook("/keys", { method }), inputs: { bits: "many" } }] },
  ];
  await using bench = await openBench(rules);
  const send = async (method: string, path: string, expected: number, headers: Record<string, string> = {}) => {
    const body = method === "POST" ? headers.length ? "x".repeat(Number(headers.length)) : "{}" : undefined;
    const init = { headers: { "content-type": "application/json", ...headers }, body };
    const answer = await bench.ask(method, path, init);
    assert.equal(answer.status, expected, `${method} ${path}: ${JSON.stringify(answer.body)}`);
    await compare(method, path.split("?")[0], answer);
  };
  for (const given of method) {
    for (const expected of [202, 200]) await send(given, `/hooks/a?id=${given}`, expected);
    await send(given, "/hooks/a", 400, { host: "a b" });
    await send(given, "/hooks/none", 404);
    await send(given, "/hooks/put", 405);
    await send(given, "/hooks/safe", 401);
    await send(given, "/hooks/tasks", 403, { "x-hook-secret": "a-secret-of-a-hook" });
    await send(given, "/hooks/keys", 422);
  }
  await send("POST", "/hooks/a", 413, { length: "1000001" });
  await send("POST", "/hooks/a", 415, { "content-encoding": "br" });
  bench.context.phase = () => "draining";
  for (const given of method) await send(given, "/hooks/a", 503);
}

async function answersOfConfig(): Promise<void> {
  const files = {
    "disk.yaml": `when: { cron: "\${{ config.cron }}" }
then: [{ log: hi }]
editors: anna
config:
  limit: { type: integer, default: 1, max: 100 }
  cron: { type: text, default: "0 8 * * *" }
`,
    "config.yaml": "disk: { limit: 2 }\n",
    "whenthen.yaml": "people: { anna: {} }\n",
  };
  await using open = await openConfigBench(files, [person("anna"), person("ben")]);
  const { bench } = open;
  const path = "/api/rules/disk/config";
  const operator = { authorization: "Bearer operators-token" };
  const set = async (expected: number, body: JsonObject, headers: Record<string, string> = operator) => {
    for (const method of ["PUT", "POST"]) {
      const answer = await bench.ask(method, path, { headers, body: JSON.stringify(body) });
      assert.equal(answer.status, expected, JSON.stringify(answer.body));
    }
  };
  await set(403, { set: {} }, as("ben"));
  await set(422, { set: { limit: 500 } });
  await set(200, { set: { limit: 5 } }, as("anna"));
  await set(409, { set: { limit: 6 }, seen: 1 });
  await set(409, { set: { cron: "0 0 31 2 *" } });
  assert.equal((await bench.ask("GET", path, { headers: as("anna") })).status, 200);
  await open.folder.write({ "disk.yaml": files["disk.yaml"].replace("max: 100", "max: 4") });
  await set(200, { set: { cron: null } });
  assert.equal((await bench.ask("GET", path, { headers: operator })).body[0].refused.value, 5);
}

async function answersOfConnections(): Promise<void> {
  await using connected = await openConnections((server) => [
    asana(server),
    asana(server, { name: "tv", grant: "device_code" }),
    asana(server, { name: "robot", grant: "client_credentials" }),
    asana(server, { name: "away", oauth: { issuer: "http://127.0.0.1:9", parameters: {} } }),
    { name: "pat", at: AT, kind: "bearer", bearer: "NOT_SET", hosts: ["app.asana.com"] },
  ]);
  const { connections, server, secrets } = connected;
  const key = newKey();
  await using bench = await openBench([rule("tasks", [webhook("/asana", { auth: "asana" })])], {
    connections,
    secretOf: (name) => name === "WHENTHEN_KEY" ? key : undefined,
    maskJson: (value) => secrets.maskJson(value),
  });
  const post = async (expected: number, path: string, body: JsonObject = {}) => {
    const answer = await bench.post(`/api/${path}`, body);
    assert.equal(answer.status, expected, `${path}: ${JSON.stringify(answer.body)}`);
    return answer.body;
  };
  const { attempt, url } = await post(200, "connections/asana/connect", { by: "anna" });
  const waiting = `/api/connections/attempts/${attempt}`;
  assert.equal((await bench.ask("GET", waiting)).body.state, "waiting");
  await post(409, "connections/asana/code", { attempt, code: "wrong" });
  const again = await post(200, "connections/asana/connect");
  await post(200, "connections/asana/code", { attempt: again.attempt, code: await server.allow(again.url) });
  assert.notEqual(url, again.url);
  await post(409, "connections/away/connect");
  await post(400, "connections/pat/connect");
  assert.equal((await bench.ask("GET", "/api/connections")).body.length, 5);
  await post(200, "connections/asana/disconnect");

  await bench.context.hookSecrets.readKey();
  const [{ path }] = await post(200, "hooks/open", { rule: "tasks", for: "10m", by: "anna" });
  const shaken = await bench.ask("POST", path, { body: "{}", headers: { "x-hook-secret": "a-secret-of-a-hook" } });
  assert.equal(shaken.status, 200);
  assert.equal((await bench.ask("GET", "/api/hooks")).body[0].secrets.length, 1);
  await post(200, "hooks/remove", { what: "tasks" });
}

async function answersOfReplicas(): Promise<void> {
  const members = [member(1, { decides: true }), member(2, { address: null }), member(3, { fenced: true })];
  await using bench = await openBench([], { replicas: { me: "replica1", list: () => Promise.resolve(members) } });
  assert.equal((await bench.ask("GET", "/api/replicas")).body.length, 3);
}

async function answersOfFleets(): Promise<void> {
  await using simulator = await Simulator.start();
  simulator.refused.add("b");
  const settings =
    "ping: { every: [50ms, 100ms], timeout: 20s, down: 1 }\ninit: { timeout: 20s, again: 1h }\ndevice: ../line.ts\n";
  await using plant = await Plant.with({
    "line.ts": LINE_PLATFORM,
    "plant/line.yaml": listed(["a", "b"], simulator.port) + settings,
    "plant/next.yaml": listed(["a"], simulator.port) + settings,
  });
  await plant.reach("plant/line", "reachable", 1);
  await plant.reach("plant/line", "failed", 1);
  await using bench = await openBench([], { fleets: plant.fleets });
  bench.people.push(person("anna"));
  const get = async (expected: number, path: string) => {
    const answer = await bench.ask("GET", `/api/${path}`);
    assert.equal(answer.status, expected, `${path}: ${JSON.stringify(answer.body)}`);
    return answer.body;
  };
  assert.equal((await get(200, "fleets")).length, 2);
  await get(200, "fleets/plant%2Fline");
  assert.equal((await get(200, "devices?fleet=plant/line")).length, 2);
  for (const name of ["a", "b"]) await get(200, `device?fleet=plant/line&name=${name}`);
  await get(404, "device?fleet=plant/line&name=c");
  await get(409, "device?name=a");
  const tasks = "/api/fleets/plant/line/tasks";
  assert.equal((await bench.post(tasks, { task: "read", to: "a", inputs: { register: "x" } })).status, 422);
  assert.equal((await bench.post(tasks, { task: "read", to: "a", inputs: {} }, as("anna"))).status, 403);
  const { status, body: { runs: [run] } } = await bench.post(tasks, { task: "read", to: "a", inputs: { register: 7 } });
  assert.equal(status, 202);
  assert.equal((await get(200, `tasks/${run}`)).state, "queued");
  const { store } = bench;
  await store.claimRuns("me", 1, NOW);
  const at = new Date(NOW).toISOString();
  const result = {
    job: "j",
    device: "a",
    worker: "w",
    success: false,
    error: "no",
    return: null,
    at,
    executionTime: 2,
  };
  const output = { total: 1, failed: 1, results: [result] };
  const sent = {
    path: "task",
    kind: "task",
    state: "succeeded",
    attempts: 1,
    startedAt: NOW,
    endedAt: NOW,
    output,
  } as const;
  await store.recordStep(run, sent, {}, NOW);
  await store.finishRun(run, { state: "failed", error: { name: "Error", message: "1 of 1 failed" }, spent: 1 }, NOW);
  assert.equal((await get(200, `tasks/${run}`)).results.length, 1);
  assert.deepEqual((await bench.post("/api/device/again", { fleet: "plant/line", name: "b" })).status, 200);
}
