import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import { serve } from "../../runtime/host/serve.ts";
import { StoreFullError } from "../../runtime/store/store.ts";
import { NOW, openBench, rule, step, webhook } from "./harness.ts";

const REPLY = { status: 201, headers: { "x-from": "rule" }, body: "made" };

Deno.test("a delivery is answered 202 with its event and runs once they are in the store", async () => {
  await using bench = await openBench([rule("greet", [webhook("/hello/:name")])]);
  const { status, body } = await bench.post("/hooks/hello/ada?a=1&a=2&b=3", { x: 1 }, { authorization: "Bearer x" });
  assert.equal(status, 202);
  assert.equal(body.duplicate, false);
  const trace = await bench.store.getRun(body.runs[0]);
  const { event } = trace!.run;
  assert.equal(event.id, body.event);
  assert.equal(event.source, "/hooks/hello/ada");
  assert.deepEqual(event.data, { x: 1 });
  assert.deepEqual(event.http!.params, { name: "ada" });
  assert.deepEqual(event.http!.query, { a: ["1", "2"], b: "3" });
  assert.equal(event.http!.headers.authorization, undefined, "credentials stay outside");
});

Deno.test("a second delivery of an event is answered 200 as a duplicate, with the runs of the first", async () => {
  await using bench = await openBench([rule("pay", [webhook("/pay", { dedupe: "event.data.id" })])]);
  const first = await bench.post("/hooks/pay", { id: "A1" });
  const second = await bench.post("/hooks/pay", { id: "A1" });
  assert.equal(second.status, 200);
  assert.deepEqual(second.body, { ...first.body, duplicate: true });
  assert.equal((await bench.store.listRuns({ limit: 10 })).length, 1);
});

Deno.test("rules that share a path share one delivery: one event, a run each", async () => {
  await using bench = await openBench([rule("a", [webhook("/x/:one")]), rule("b", [webhook("/x/:two")])]);
  const { body } = await bench.post("/hooks/x/7", null);
  assert.equal(body.runs.length, 2);
  const events = await bench.store.listEvents({ limit: 10 });
  assert.equal(events.length, 1);
  assert.deepEqual(events[0].event.http!.params, { one: "7", two: "7" });
});

Deno.test("an unknown path is 404; which paths there are is told to this machine only", async () => {
  const rules = [rule("a", [webhook("/github")])];
  await using here = await openBench(rules);
  const { status, body } = await here.post("/hooks/gitlab", {});
  assert.equal(status, 404);
  assert.deepEqual(body, { error: "No webhook listens on /hooks/gitlab", paths: ["/hooks/github"] });
  const { body: passedOn } = await here.post("/hooks/gitlab", {}, { "x-forwarded-for": "198.51.100.7" });
  assert.deepEqual(passedOn, { error: "No webhook listens on /hooks/gitlab" });
  await using elsewhere = await openBench(rules, { tokenless: false });
  assert.deepEqual((await elsewhere.post("/hooks/gitlab", {})).body, { error: "No webhook listens on /hooks/gitlab" });
});

Deno.test("another method than the webhook's is 405 and says which it takes", async () => {
  await using bench = await openBench([rule("a", [webhook("/x"), webhook("/x", { method: "PUT" })])]);
  for (const method of ["GET", "HEAD", "OPTIONS"]) {
    const { status, headers } = await bench.ask(method, "/hooks/x");
    assert.equal(status, 405, method);
    assert.equal(headers.get("allow"), "POST, PUT");
  }
});

Deno.test("who does not prove who he is gets 401, a body that is not what it says 400; neither starts anything", async () => {
  const bearer = { auth: "bearer", secret: ["HOOK"] };
  await using bench = await openBench([rule("a", [webhook("/x", bearer)])]);
  assert.equal((await bench.post("/hooks/x", {})).status, 401);
  assert.equal((await bench.post("/hooks/x", {}, { authorization: "Bearer wrong" })).status, 401);
  const init = { body: "{", headers: { "content-type": "application/json", authorization: "Bearer hook-secret" } };
  assert.equal((await bench.ask("POST", "/hooks/x", init)).status, 400);
  assert.deepEqual(await bench.store.listEvents({ limit: 10 }), []);
  assert.equal((await bench.post("/hooks/x", {}, { authorization: "Bearer hook-secret" })).status, 202);
});

Deno.test("a form or a query of more than 10,000 fields is 400 and starts nothing", async () => {
  await using bench = await openBench([rule("a", [webhook("/x")])]);
  const fields = (count: number) => Array.from({ length: count }, (_, index) => `f${index}=`).join("&");
  const headers = { "content-type": "application/x-www-form-urlencoded" };
  const form = await bench.ask("POST", "/hooks/x", { body: fields(10_001), headers });
  assert.equal(form.status, 400);
  assert.deepEqual(form.body, { error: "The body may have 10000 fields, not 10001" });
  const query = await bench.post(`/hooks/x?${fields(10_001)}`, {});
  assert.equal(query.status, 400);
  assert.deepEqual(query.body, { error: "The query may have 10000 fields, not 10001" });
  assert.deepEqual(await bench.store.listEvents({ limit: 10 }), []);
  assert.equal((await bench.ask("POST", `/hooks/x?${fields(1_000)}`, { body: fields(10_000), headers })).status, 202);
});

Deno.test("a provider's handshake is answered and is no event", async () => {
  await using bench = await openBench([rule("a", [webhook("/x", { auth: "github", secret: ["HOOK"] })])]);
  const body = JSON.stringify({ zen: "Keep it logically awesome." });
  const signature = createHmac("sha256", "hook-secret").update(body).digest("hex");
  const headers = {
    "content-type": "application/json",
    "x-github-event": "ping",
    "x-hub-signature-256": `sha256=${signature}`,
  };
  assert.equal((await bench.ask("POST", "/hooks/x", { body, headers })).status, 200);
  assert.deepEqual(await bench.store.listEvents({ limit: 10 }), []);
});

Deno.test("a body over maxBody is 413 while it is still being sent", async () => {
  await using bench = await openBench([rule("a", [webhook("/x", { maxBody: 1_000 })])]);
  const server = serve((request) => bench.web.fetch(request), { host: "127.0.0.1", port: 0 });
  const socket = connect(server.port, "127.0.0.1");
  socket.on("error", () => {});
  let answer = "";
  socket.setEncoding("utf8").on("data", (text) => answer += text);
  socket.write("POST /hooks/x HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (let sent = 0; sent < 3; sent++) socket.write(`1f4\r\n${"x".repeat(500)}\r\n`);
  while (!answer.includes("\r\n\r\n")) await once(socket, "data");
  assert.match(answer, /^HTTP\/1\.1 413 /, "the last chunk never came");
  socket.destroy();
  await server.stop(0);
});

Deno.test("while the store takes nothing in, and while it starts or drains, intake answers 503 with Retry-After", async () => {
  const rules = [rule("a", [webhook("/x")])];
  const full = () => Promise.reject(new StoreFullError("The store is at its cap of 256 MB", 60));
  await using bench = await openBench(rules, { ingest: { deliver: full, publish: full, fromTrigger: full } });
  const refused = await bench.post("/hooks/x", {});
  assert.equal(refused.status, 503);
  assert.equal(refused.headers.get("retry-after"), "60");
  assert.equal((await bench.post("/events", { type: "a" })).status, 503);
  for (const phase of ["starting", "draining"] as const) {
    await using closed = await openBench(rules, { phase: () => phase });
    const { status, headers } = await closed.post("/hooks/x", {});
    assert.equal(status, 503, phase);
    assert.equal(headers.get("retry-after"), "5");
    assert.equal((await closed.post("/events", { type: "a" })).status, 503);
  }
});

Deno.test("a webhook whose rule replies waits for the reply", async () => {
  await using bench = await openBench([rule("a", [webhook("/x", { dedupe: "event.data.id" })], [step("reply")])]);
  const answer = bench.post("/hooks/x", { id: "1" });
  const [claimed] = await claim(bench);
  await bench.store.recordStep(claimed.run.id, record(), { reply: REPLY }, NOW);
  bench.context.replies.answered(claimed.run.event, REPLY);
  const { status, body, headers } = await answer;
  assert.deepEqual([status, body, headers.get("x-from")], [201, "made", "rule"]);
  const duplicate = await bench.post("/hooks/x", { id: "1" });
  assert.deepEqual([duplicate.status, duplicate.body], [201, "made"], "a duplicate gets the recorded reply");
});

Deno.test("a reply is data that is sent: what in it is equal to a secret stays", async () => {
  await using bench = await openBench([rule("a", [webhook("/x")], [step("reply")])]);
  const answer = bench.post("/hooks/x", {});
  const [claimed] = await claim(bench);
  const reply = { status: 200, headers: { "x-token": "hook-secret" }, body: "to hook-secret" };
  await bench.store.recordStep(claimed.run.id, record(), { reply }, NOW);
  bench.context.replies.answered(claimed.run.event, reply);
  const { body, headers } = await answer;
  assert.deepEqual([body, headers.get("x-token")], ["to hook-secret", "hook-secret"]);
});

Deno.test("a list in the headers of a reply repeats its header; those of the connection are left out", async () => {
  await using bench = await openBench([rule("a", [webhook("/x")], [step("reply")])]);
  const answer = bench.post("/hooks/x", {});
  const [claimed] = await claim(bench);
  const reply = { status: 200, headers: { "set-cookie": ["a=1", "b=2"], "Content-Length": "7" }, body: "ok" };
  await bench.store.recordStep(claimed.run.id, record(), { reply }, NOW);
  bench.context.replies.answered(claimed.run.event, reply);
  const { headers } = await answer;
  assert.deepEqual([headers.getSetCookie(), headers.get("content-length")], [["a=1", "b=2"], null]);
});

Deno.test("after replyWithin the answer is 202, and at once when the run ends without a reply", async () => {
  await using bench = await openBench([rule("a", [webhook("/x", { replyWithin: 5_000 })], [step("reply")])]);
  const late = bench.post("/hooks/x", {});
  await claim(bench);
  let answered = false;
  late.finally(() => answered = true);
  for (let time = NOW; !answered; time += 1_000) await bench.clock.advanceTo(time);
  assert.equal((await late).status, 202);

  const silent = bench.post("/hooks/x", {});
  const [claimed] = await claim(bench);
  await bench.store.finishRun(claimed.run.id, { state: "succeeded", spent: 1 }, NOW);
  bench.context.replies.ended(claimed.run.event, { ...claimed.run, state: "succeeded" });
  assert.equal((await silent).status, 202);
});

Deno.test("a run that failed before its reply answers 500, its duplicates too; that of a rule without a reply does not", async () => {
  const hook = webhook("/x", { dedupe: "event.data.id" });
  await using bench = await openBench([rule("a", [hook], [step("reply")]), rule("b", [hook], [step("log")])]);
  const fail = async (id: string, failing: string) => {
    const answer = bench.post("/hooks/x", { id });
    const claimed = [...await claim(bench), ...await claim(bench)];
    for (const { run } of claimed) {
      const state = run.rule === failing ? "failed" : "succeeded";
      await bench.store.finishRun(run.id, { state, spent: 1 }, NOW);
      bench.context.replies.ended(run.event, { ...run, state });
    }
    return await answer;
  };
  const { status, body } = await fail("1", "a");
  assert.deepEqual([status, body.error, body.runs.length], [500, "The run failed before its reply", 2]);
  assert.equal((await bench.post("/hooks/x", { id: "1" })).status, 500);
  assert.equal((await fail("2", "b")).status, 202);
});

Deno.test("a 401 of auth: basic asks for the credentials, no other does", async () => {
  await using bench = await openBench([
    rule("a", [webhook("/basic", { auth: "basic", secret: ["HOOK"] })]),
    rule("b", [webhook("/bearer", { auth: "bearer", secret: ["HOOK"] })]),
  ]);
  const asked = async (path: string) => (await bench.post(path, {})).headers.get("www-authenticate");
  assert.equal(await asked("/hooks/basic"), 'Basic realm="whenthen", charset="UTF-8"');
  assert.equal(await asked("/hooks/bearer"), null);
});

Deno.test("the cause in a signed header is carried on; a forged one is not", async () => {
  await using bench = await openBench([rule("a", [webhook("/x")])]);
  const header = bench.signer.sign({ depth: 3, run: "01run" });
  const carried = await bench.post("/hooks/x", {}, { "whenthen-cause": header });
  const forged = await bench.post("/hooks/x", {}, { "whenthen-cause": header.replace("3.", "1.") });
  const causeOf = async (run: string) => (await bench.store.getRun(run))!.run.event.cause;
  assert.deepEqual(await causeOf(carried.body.runs[0]), { depth: 3, run: "01run" });
  assert.equal(await causeOf(forged.body.runs[0]), undefined);
});

type Bench = Awaited<ReturnType<typeof openBench>>;

/** Claims the next run once it is there. */
async function claim({ store, clock }: Bench) {
  for (;;) {
    const claimed = await store.claimRuns("test", 1, clock.now());
    if (claimed.length > 0) return claimed;
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
}

function record() {
  return { path: "reply", kind: "reply", state: "succeeded", attempts: 1, startedAt: NOW, endedAt: NOW } as const;
}
