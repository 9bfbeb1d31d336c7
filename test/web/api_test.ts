import { Hono } from "hono";
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { serve } from "../../runtime/host/serve.ts";
import { UsageError } from "../../runtime/model/errors.ts";
import type { Event } from "../../runtime/model/event.ts";
import { type Access, accessTo, guard, tokenFault } from "../../runtime/web/access.ts";
import { commandOf } from "../commands/support.ts";
import { NOW, onEvent, openBench, rule, webhook } from "./harness.ts";

Deno.test("POST /events accepts a CloudEvent once and names the rules it matched", async () => {
  await using bench = await openBench([rule("a", [onEvent("order.created")])]);
  const event = { specversion: "1.0", id: "A1", source: "/shop", type: "order.created", data: { total: 3 } };
  const headers = { "content-type": "application/cloudevents+json" };
  const first = await bench.post("/events", event, headers);
  assert.deepEqual([first.status, first.body.event, first.body.duplicate], [202, "A1", false]);
  const again = await bench.post("/events", event, headers);
  assert.deepEqual([again.status, again.body], [200, { ...first.body, duplicate: true }]);
  const trace = await bench.store.getRun(first.body.runs[0]);
  assert.deepEqual(trace!.run.event.data, { total: 3 });
  const cause = bench.signer.sign({ depth: 2, run: "01run" });
  const caused = await bench.post("/events", { type: "order.created" }, { "whenthen-cause": cause });
  assert.deepEqual((await bench.store.getRun(caused.body.runs[0]))!.run.event.cause, { depth: 2, run: "01run" });
  const wrong = await bench.post("/events", { typ: "x" });
  assert.equal(wrong.status, 400);
  assert.match(wrong.body.error, /^Cannot take the event: /);
});

Deno.test("the API lists rules, events and runs, and shows one run", async () => {
  await using bench = await openBench([rule("ops/disk", [webhook("/disk"), onEvent("disk.*")])]);
  const { body: { event, runs: [run] } } = await bench.post("/hooks/disk", { used: 93 });
  const rules = await bench.ask("GET", "/api/rules");
  assert.deepEqual(rules.body, [{
    id: "ops/disk",
    file: "ops/disk.yaml",
    language: "yaml",
    version: "version-of-ops/disk",
    state: "on",
    triggers: [
      { id: "webhook /disk", kind: "webhook", hook: { method: "POST", path: "/hooks/disk", open: true } },
      { id: "event disk.*", kind: "event" },
    ],
    verdicts: { started: 1 },
  }]);
  const events = await bench.ask("GET", "/api/events?rule=ops/disk&limit=5");
  assert.equal(events.body[0].event.id, event);
  assert.equal(events.body[0].verdicts[0].verdict.kind, "started");
  assert.equal((await bench.ask("GET", "/api/runs?state=queued")).body[0].id, run);
  assert.deepEqual((await bench.ask("GET", "/api/runs?state=failed")).body, []);
  assert.equal((await bench.ask("GET", `/api/runs/${run}`)).body.run.event.data.used, 93);
  assert.deepEqual((await bench.ask("GET", "/api/problems")).body, []);
});

Deno.test("unknown things are 404, invalid input is 400 and says what would work", async () => {
  await using bench = await openBench([]);
  const answers: [method: string, path: string, status: number, error: RegExp][] = [
    ["GET", "/api/runs/nope", 404, /There is no run "nope"/],
    ["POST", "/api/runs/nope/cancel", 404, /no run "nope"/],
    ["POST", "/api/runs/nope/replay", 404, /no run "nope"/],
    ["POST", "/api/rules/a/b/pause", 404, /no rule "a\/b"/],
    ["POST", "/api/rules/a/resume", 404, /no rule "a"/],
    ["GET", "/api/nothing", 404, /nothing at this path/],
    ["GET", "/api/runs?limit=0", 400, /limit/],
    ["GET", "/api/runs?state=done", 400, /state/],
    ["GET", "/api/runs?rule=nope", 404, /There is no rule "nope"; known here: none/],
    ["GET", "/api/events?rule=nope", 404, /There is no rule "nope"/],
    ["GET", `/api/runs?ids=${"a,".repeat(100)}`, 400, /ids/],
    ["GET", "/api/runs?stat=failed", 400, /stat/],
    ["POST", "/api/emit", 400, /body/],
  ];
  for (const [method, path, status, error] of answers) {
    const { status: got, body } = await bench.ask(method, path);
    assert.equal(got, status, `${method} ${path}: ${JSON.stringify(body)}`);
    assert.match(body.error, error);
  }
  assert.deepEqual(bench.errors, []);
});

Deno.test("POST /api/emit sends an event, and answers with the verdicts", async () => {
  await using bench = await openBench([rule("a", [onEvent("order.created")]), rule("ops/b", [webhook("/b")])]);
  const sent = await bench.post("/api/emit", { type: "order.created", data: 1, id: "A1", subject: "s" });
  assert.equal(sent.body.verdicts[0].verdict.kind, "started");
  assert.equal((await bench.post("/api/emit", { type: "order.created", id: "A1" })).body.duplicate, true);
  assert.deepEqual((await bench.post("/api/emit", { type: "nobody" })).body.verdicts, []);
  const started = await bench.post("/api/emit", { rule: "ops/b", data: { x: 1 } });
  assert.equal(started.status, 400);
  assert.match(started.body.error, /POST \/api\/rules\/ops\/b\/start/);
});

Deno.test("a paused rule starts nothing until it is resumed; runs are cancelled and replayed", async () => {
  await using bench = await openBench([rule("ops/disk", [onEvent("disk")])]);
  const { body: { runs: [run] } } = await bench.post("/api/emit", { type: "disk" });
  assert.deepEqual((await bench.post(`/api/runs/${run}/cancel`, {})).body, { run, state: "cancelled" });
  const replayed = (await bench.post(`/api/runs/${run}/replay`, {})).body.run;
  assert.equal((await bench.ask("GET", `/api/runs/${replayed}`)).body.run.replayOf, run);

  await bench.post("/api/rules/ops/disk/pause", { reason: "the disk is being changed" });
  const { verdicts: [{ verdict }] } = (await bench.post("/api/emit", { type: "disk" })).body;
  assert.equal(verdict.kind, "disabled");
  assert.match(verdict.reason, /the disk is being changed/);
  assert.equal((await bench.ask("GET", "/api/rules")).body[0].state, "paused");
  await bench.post("/api/rules/ops/disk/resume", {});
  assert.equal((await bench.post("/api/emit", { type: "disk" })).body.verdicts[0].verdict.kind, "started");
});

Deno.test("an operator retries, skips and moves; impossible requests are 409 with the reason, and all are noted", async () => {
  await using bench = await openBench([rule("a", [onEvent("x")])]);
  const { store, clock } = bench;
  const notesOf = async (run: string) => (await store.getRun(run))!.notes.map(({ text }) => text);
  const [{ body: { runs: [failed] } }, { body: { runs: [waiting] } }] = [
    await bench.post("/events", { type: "x" }),
    await bench.post("/events", { type: "x" }),
  ];
  await store.claimRuns("me", 2, clock.now());

  const early = await bench.post(`/api/runs/${failed}/retry`, { by: "ada" });
  assert.deepEqual([early.status, early.body], [409, {
    error: `Cannot retry run ${failed}: it has not ended, it is running`,
  }]);
  const error = { name: "Error", message: "no" };
  const at = { startedAt: NOW, endedAt: NOW };
  await store.recordStep(failed, { path: "pay", kind: "http", state: "failed", attempts: 1, error, ...at }, {}, NOW);
  await store.finishRun(failed, { state: "failed", error, failedStep: "pay", spent: 1 }, NOW);
  const retried = await bench.post(`/api/runs/${failed}/retry`, { by: "ada" });
  assert.deepEqual([retried.status, retried.body], [200, { run: failed, step: "pay" }]);
  assert.deepEqual(await notesOf(failed), ['Retried by ada: it resumes with step "pay"']);

  const step = {
    path: "pause",
    kind: "wait",
    state: "waiting",
    attempts: 1,
    startedAt: NOW,
    due: NOW + 1_000,
  } as const;
  await store.recordStep(waiting, step, { wait: { kind: "time" } }, NOW);
  await store.suspendRun(waiting, { state: "waiting", waitingFor: "a time", due: NOW + 1_000, spent: 1 }, NOW);
  const list = await bench.ask("GET", "/api/runs?waiting=true");
  assert.deepEqual(list.body.map(({ id, waits }: { id: string; waits: unknown }) => [id, waits]), [[waiting, [
    { step: "pause", kind: "time", what: "a time", since: NOW, until: NOW + 1_000 },
  ]]]);
  assert.equal((await bench.ask("GET", "/api/runs?waiting=false")).body.length, 2);
  const same = await bench.post(`/api/runs/${waiting}/move`, {});
  assert.match(same.body.error, /it is on that version already/);
  bench.context.rules().rules.get("a")!.version = "v2";
  await store.putVersions([bench.context.rules().rules.get("a")!]);
  assert.deepEqual((await bench.post(`/api/runs/${waiting}/move`, { by: "bob" })).body, { run: waiting });
  assert.equal((await store.getRun(waiting))!.run.version, "v2");
  const wrong = await bench.post(`/api/runs/${waiting}/skip`, { step: "pay" });
  assert.deepEqual([wrong.status, wrong.body.error], [
    409,
    `Cannot skip step "pay" of run ${waiting}: it does not wait; those that do: pause`,
  ]);
  assert.deepEqual((await bench.post(`/api/runs/${waiting}/skip`, {})).body, { run: waiting, step: "pause" });
  assert.deepEqual(bench.woken, [waiting]);
  const again = await bench.post(`/api/runs/${waiting}/replay`, { by: "carl" });
  await bench.post(`/api/runs/${waiting}/cancel`, { by: "carl" });
  assert.deepEqual(await notesOf(waiting), [
    "Moved from version version-of-a to v2 by bob",
    'Wait "pause" skipped by an operator',
    `Replayed by carl as run ${again.body.run}`,
    "Cancelled by carl",
  ]);
  assert.deepEqual(await notesOf(again.body.run), [`Replays run ${waiting}, asked for by carl`]);

  const paused = await bench.post("/api/rules/a/pause", { by: "ada" });
  assert.equal(paused.body.paused, "paused by ada");
  assert.equal((await bench.post("/api/rules/a/pause", { by: "ada", reason: "loud" })).body.paused, "loud (ada)");
  for (const operation of ["retry", "skip", "move"]) {
    assert.equal((await bench.post(`/api/runs/nope/${operation}`, {})).status, 404);
    assert.equal((await bench.post(`/api/runs/nope/${operation}`, { by: "" })).status, 400);
  }
});

Deno.test("off loopback only hooks and health are open to everybody", async () => {
  await using bench = await openBench([rule("a", [webhook("/x")])], { tokenless: false, tokens: ["secret"] });
  for (const path of ["/", "/api/rules", "/metrics", "/nothing"]) {
    assert.equal((await bench.ask("GET", path)).status, 401, path);
    const allowed = await bench.ask("GET", path, { headers: { authorization: "Bearer secret" } });
    assert.notEqual(allowed.status, 401, path);
  }
  assert.equal((await bench.post("/events", { type: "x" })).status, 401);
  for (const path of ["/healthz", "/readyz"]) assert.equal((await bench.ask("GET", path)).status, 200, path);
  assert.equal((await bench.post("/hooks/x", {})).status, 202);
});

Deno.test("readiness follows the phase, liveness does not", async () => {
  for (const phase of ["starting", "draining"] as const) {
    await using bench = await openBench([], { phase: () => phase });
    assert.equal((await bench.ask("GET", "/readyz")).status, 503, phase);
    assert.equal((await bench.ask("GET", "/healthz")).status, 200, phase);
  }
});

Deno.test("while writes fail the program is not ready", async () => {
  await using bench = await openBench([]);
  const { store } = bench;
  bench.context.store = Object.create(store, { refusal: { value: () => "Writes to the disk fail: ENOSPC" } });
  const { status, body } = await bench.ask("GET", "/readyz");
  assert.deepEqual([status, body], [503, "writes to the disk fail\n"]);
  bench.context.store = store;
  assert.equal((await bench.ask("GET", "/readyz")).status, 200);
});

Deno.test("a request without a Host is answered, one whose Host is none is 400", async () => {
  await using bench = await openBench([rule("a", [webhook("/x")])]);
  const server = serve((request) => bench.web.fetch(request), { host: "127.0.0.1", port: 0 });
  const ask = async (head: string) => {
    const socket = connect(server.port, "127.0.0.1");
    let answer = "";
    socket.setEncoding("utf8").on("data", (text) => answer += text);
    socket.write(head);
    await once(socket, "close");
    return answer.split("\r\n")[0].slice("HTTP/1.x ".length);
  };
  assert.equal(await ask("GET /healthz HTTP/1.0\r\n\r\n"), "200 OK");
  assert.equal(await ask("POST /hooks/x HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}"), "202 Accepted");
  assert.equal(await ask("GET /api/rules HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n"), "400 Bad Request");
  await server.stop(0);
  // As Bun passes it.
  for (const [path, status] of [["/healthz", 200], ["/api/rules?x=1", 200], ["/hooks/y", 404]] as const) {
    const request = Object.defineProperty(new Request("http://x/"), "url", { value: path });
    assert.equal((await bench.web.fetch(request)).status, status, path);
  }
});

Deno.test("the store keeps data unchanged; every listing, trace and page masks secrets", async () => {
  await using bench = await openBench([rule("a", [onEvent("leak")])]);
  const data = { city: "hook-secret", list: ["in hook-secret"] };
  const { body } = await bench.post("/api/emit", { type: "leak", subject: "to hook-secret", data });
  const { event } = (await bench.store.getRun(body.runs[0]))!.run;
  assert.deepEqual([event.subject, event.data], ["to hook-secret", data]);
  const masked = { city: "***", list: ["in ***"] };
  const { body: [listed] } = await bench.ask("GET", "/api/events");
  assert.deepEqual([listed.event.subject, listed.event.data], ["to ***", masked]);
  const { body: { run } } = await bench.ask("GET", `/api/runs/${body.runs[0]}`);
  assert.deepEqual([run.event.subject, run.event.data], ["to ***", masked]);
  for (const path of ["/", "/api/runs", "/api/events", "/api/rules", "/metrics"]) {
    const { status, body } = await bench.ask("GET", path);
    assert.equal(status, 200, path);
    assert.ok(!JSON.stringify(body).includes("hook-secret"), path);
  }
  const { body: absent } = await bench.ask("GET", "/api/runs/hook-secret");
  assert.deepEqual(absent, { error: 'There is no run "***"' });
});

Deno.test("no response contains a secret, and all but hooks forbid framing, sniffing and caching", async () => {
  await using bench = await openBench([rule("a", [onEvent("leak")])]);
  const { body } = await bench.post("/api/emit", { type: "leak", data: { url: "https://x/?key=hook-secret" } });
  const { body: trace, headers } = await bench.ask("GET", `/api/runs/${body.runs[0]}`);
  assert.equal(trace.run.event.data.url, "https://x/?key=***");
  assert.equal(headers.get("x-content-type-options"), "nosniff");
  assert.equal(headers.get("x-frame-options"), "DENY");
  assert.equal(headers.get("cache-control"), "no-store");
  assert.match(headers.get("content-security-policy")!, /default-src 'none'/);
});

Deno.test("an unexpected error is logged and reveals nothing to the client", async () => {
  const broken = () => Promise.reject(new Error("disk /secret/path is gone"));
  await using bench = await openBench([], {
    ingest: { deliver: broken, publish: broken, publishAll: broken, fromTrigger: broken },
  });
  const { status, body } = await bench.post("/events", { type: "t" });
  assert.equal(status, 500);
  assert.doesNotMatch(JSON.stringify(body), /secret/);
  assert.match(bench.errors[0], /Cannot answer POST \/events: Error: disk/);
});

Deno.test("events and runs are filtered by subject, verdict, time and text; Link has the next page", async () => {
  await using bench = await openBench([rule("pay", [onEvent("paid")])]);
  for (const subject of ["anna", "bob", "anna"]) {
    await bench.post("/events", { type: "paid", subject, data: `for ${subject}` });
    await bench.clock.advanceTo(bench.clock.now() + 60_000);
  }
  await bench.post("/events", { type: "other" });
  const types = async (query: string) =>
    (await bench.ask("GET", `/api/events?${query}`)).body.map(({ event }: { event: Event }) =>
      event.subject ?? event.type
    );
  assert.deepEqual(await types("subject=anna"), ["anna", "anna"]);
  assert.deepEqual(await types("verdict=unmatched"), ["other"]);
  assert.deepEqual(await types("text=for+bob"), ["bob"]);
  assert.deepEqual(await types("from=2026-11-21T08:01:00Z&to=2026-11-21T09:02:00%2B01:00"), ["bob"]);
  const first = await bench.ask("GET", "/api/runs?subject=anna&limit=1");
  const [, next] = /^<([^>]*)>; rel="next"$/.exec(first.headers.get("link")!)!;
  const second = await bench.ask("GET", next);
  assert.ok(first.body[0].id > second.body[0].id);
  assert.deepEqual((await bench.ask("GET", /^<([^>]*)>/.exec(second.headers.get("link")!)![1])).body, []);
  assert.equal((await bench.ask("GET", "/api/runs?subject=anna")).headers.get("link"), null);
  const { status, body } = await bench.ask("GET", "/api/runs?from=yesterday");
  assert.equal(status, 400);
  assert.match(body.error, /expected a time such as 2026-11-21T09:00:00Z/);
});

async function statusOf(access: Access, headers: Record<string, string>, method = "GET"): Promise<number> {
  const app = new Hono();
  app.use(guard(access));
  app.all("/", (c) => c.text("in"));
  return (await app.request("http://127.0.0.1:8080/", { method, headers })).status;
}

Deno.test("without a token the program does not start on an address that others can reach", () => {
  assert.throws(() => accessTo("0.0.0.0", undefined, "data"), UsageError);
  assert.throws(() => accessTo("192.168.1.7", "", "data"), /WHENTHEN_TOKEN/);
  assert.deepEqual(accessTo("0.0.0.0", "secret", "data"), { tokenless: false, tokens: ["secret", "data"] });
  for (const host of ["127.0.0.1", "localhost", "::1", "127.9.9.9"]) {
    assert.deepEqual(accessTo(host, undefined, "data"), { tokenless: true, tokens: ["data"] });
  }
});

Deno.test("off loopback only requests with a token are admitted", async () => {
  const access = accessTo("0.0.0.0", "secret", "data");
  assert.equal(await statusOf(access, {}), 401);
  assert.equal(await statusOf(access, { authorization: "Bearer secreT" }), 401);
  assert.equal(await statusOf(access, { authorization: "Basic secret" }), 401);
  assert.equal(await statusOf(access, { authorization: "Bearer secret" }), 200);
  assert.equal(await statusOf(access, { authorization: "bearer data" }), 200);
});

Deno.test("a token that is set is required on loopback, too: a proxy may stand on the same machine", async () => {
  const access = accessTo("127.0.0.1", "secret", "data");
  const host = "127.0.0.1:8080";
  assert.equal(await statusOf(access, { host }), 401);
  assert.equal(await statusOf(access, { host, authorization: "Bearer secret" }), 200);
  assert.equal(await statusOf(access, { host, authorization: "Bearer data" }), 200);
});

Deno.test("a request from a proxy is never admitted without a token", async () => {
  const access = accessTo("127.0.0.1", undefined, "data");
  const host = "127.0.0.1:8080";
  const marks = ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Via"];
  for (const mark of marks) {
    assert.equal(await statusOf(access, { host, [mark]: "" }), 401, mark);
    assert.equal(await statusOf(access, { host, [mark]: "127.0.0.1", authorization: "Bearer data" }), 200, mark);
  }
});

Deno.test("on loopback this machine needs no token, pages of other sites are refused", async () => {
  const access = accessTo("127.0.0.1", undefined, "data");
  assert.equal(await statusOf(access, { host: "127.0.0.1:8080" }), 200);
  assert.equal(await statusOf(access, { host: "localhost:8080", origin: "http://localhost:8080" }, "POST"), 200);
  assert.equal(await statusOf(access, { host: "[::1]:8080" }), 200);
  assert.equal(await statusOf(access, { host: "evil.example.org:8080" }), 403, "DNS rebinding");
  assert.equal(await statusOf(access, { host: "localhost.evil.example.org" }), 403);
  assert.equal(await statusOf(access, { host: "127.0.0.1.evil.example.org" }), 403);
  const host = "127.0.0.1:8080";
  assert.equal(await statusOf(access, { host, origin: "https://evil.example.org" }, "POST"), 403, "another site");
  assert.equal(await statusOf(access, { host, origin: "http://127.0.0.1:3000" }, "POST"), 403, "another port");
  assert.equal(await statusOf(access, { host, origin: "null" }, "POST"), 403, "a sandboxed frame");
  assert.equal(await statusOf(access, { host, "sec-fetch-site": "cross-site" }), 403, "an image elsewhere");
  assert.equal(await statusOf(access, { host, authorization: "Bearer wrong" }), 401, "a wrong token is never ignored");
  assert.equal(await statusOf(access, { host: "tunnel.example.org", authorization: "Bearer data" }), 200);
});

Deno.test("a weak token causes a warning", () => {
  assert.match(tokenFault("a".repeat(15))!, /^WHENTHEN_TOKEN has under 16 characters/);
  for (const token of [undefined, "", "a".repeat(16)]) assert.equal(tokenFault(token), undefined);
});

const COMMAND = {
  ...commandOf(`command: curl
name: cURL
inputs:
  --retry: { type: integer }
  --retry-delay: { type: integer, requires: [--retry] }
  -s: { type: boolean, requires: [-S] }
  -S: { type: boolean }
`),
  id: "commands/curl",
};

async function bench() {
  const opened = await openBench([]);
  const { rules } = opened.context;
  opened.context.rules = () => ({ ...rules(), commands: new Map([[COMMAND.id, COMMAND]]) });
  return opened;
}

Deno.test("GET /api/commands lists the commands, /api/commands/<id> gives one with its inputs", async () => {
  await using web = await bench();
  assert.deepEqual((await web.ask("GET", "/api/commands")).body, [{
    id: "commands/curl",
    name: "cURL",
    file: "x.yaml",
    program: "curl",
    root: false,
    inputs: ["--retry", "--retry-delay", "-s", "-S"],
  }]);
  const { body } = await web.ask("GET", "/api/commands/commands/curl");
  assert.deepEqual(body.inputs["--retry-delay"], { type: "integer", required: false, requires: ["--retry"] });
  assert.equal((await web.ask("GET", "/api/commands/none")).status, 404);
});

Deno.test("POST /api/commands/<id>/check gives argv, or all problems, and the completed set; pairs keep their order", async () => {
  await using web = await bench();
  const check = async (given: unknown) =>
    (await web.post("/api/commands/commands/curl/check", { with: given } as never)).body;
  assert.deepEqual((await check([["-S", true], ["--retry", 3], ["-s", true]])).argv, ["-S", "--retry", "3", "-s"]);
  const refused = await check({ "-s": true, "--retry-delay": "x" });
  assert.equal(refused.argv, null);
  assert.deepEqual(refused.problems.map(({ says }: { says: string }) => says), [
    "--retry is missing: --retry-delay requires --retry",
    '--retry-delay: expected a whole number, got "x"',
    "-S is missing: -s requires -S",
  ]);
  const { complete } = await check({ "-s": true });
  assert.deepEqual([complete.set, complete.added, complete.open], [["-S", "-s"], ["-S"], []]);
  assert.equal((await web.post("/api/commands/none/check", {})).status, 404);
});
