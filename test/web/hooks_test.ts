import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash, createHmac } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { deflateRawSync, deflateSync, gzipSync } from "node:zlib";
import { realDisk } from "../../runtime/host/disk.ts";
import { RunFiles } from "../../runtime/host/run_files.ts";
import { Uploads } from "../../runtime/host/uploads.ts";
import { serve } from "../../runtime/host/serve.ts";
import type { SavedFile } from "../../runtime/model/event.ts";
import { FolderLostError } from "../../runtime/host/lock.ts";
import { StoreFullError, UndecidedError } from "../../runtime/store/store.ts";
import { readEvents } from "../../runtime/triggers/cloud_event.ts";
import type { Hook } from "../../runtime/triggers/trigger.ts";
import { HookRegistry } from "../../runtime/web/hook_registry.ts";
import { ReplyWaiters } from "../../runtime/web/reply_waiters.ts";
import { readRequestBody } from "../../runtime/web/request.ts";
import { NOW, onEvent, openBench, rule, step, webhook } from "./harness.ts";

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
  assert.equal(event.http!.headers.authorization, undefined, "credentials are left out");
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

Deno.test("an unknown path is 404; existing paths are shown to this machine only", async () => {
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

Deno.test("another method than the webhook's is 405 and names the allowed one", async () => {
  await using bench = await openBench([rule("a", [webhook("/x"), webhook("/x", { method: "PUT" })])]);
  for (const method of ["GET", "HEAD", "OPTIONS"]) {
    const { status, headers } = await bench.ask(method, "/hooks/x");
    assert.equal(status, 405, method);
    assert.equal(headers.get("allow"), "POST, PUT");
  }
});

Deno.test("a webhook may take several methods; its GET answers HEAD, without a body", async () => {
  await using bench = await openBench([rule("a", [webhook("/x", { method: ["GET", "PUT"] })])]);
  for (const method of ["GET", "PUT", "HEAD"]) {
    const { status, body } = await bench.ask(method, "/hooks/x?a=1");
    assert.deepEqual([status, method === "HEAD" ? body : typeof body], [202, method === "HEAD" ? "" : "object"]);
  }
  const events = await bench.store.listEvents({ limit: 10 });
  assert.deepEqual(events.map(({ event }) => event.http!.method).sort(), ["GET", "HEAD", "PUT"]);
  const { status, headers } = await bench.post("/hooks/x", {});
  assert.deepEqual([status, headers.get("allow")], [405, "GET, HEAD, PUT"]);
});

Deno.test("cors answers preflights of the origins that it names, and lets these read every answer", async () => {
  const origin = "https://app.example.org";
  await using bench = await openBench([
    rule("a", [webhook("/x", { cors: [origin], method: ["POST", "PUT"], auth: "bearer", secret: ["HOOK"] })]),
    rule("b", [webhook("/all", { cors: "*" })]),
    rule("c", [webhook("/none")]),
  ]);
  const preflight = (path: string, from: string) =>
    bench.ask("OPTIONS", path, {
      headers: {
        origin: from,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization, content-type",
      },
    });
  const { status, headers } = await preflight("/hooks/x", origin);
  assert.equal(status, 204);
  assert.equal(headers.get("access-control-allow-origin"), origin);
  assert.equal(headers.get("access-control-allow-methods"), "POST, PUT");
  assert.equal(headers.get("access-control-allow-headers"), "authorization, content-type");
  assert.match(headers.get("vary")!, /origin/);
  assert.equal(headers.get("access-control-allow-credentials"), null);
  const other = await preflight("/hooks/x", "https://evil.example.org");
  assert.deepEqual([other.status, other.headers.get("access-control-allow-origin")], [403, null]);
  assert.equal((await preflight("/hooks/all", "https://any.example.org")).status, 204);
  assert.equal((await preflight("/hooks/none", origin)).status, 405);

  const readers = async (path: string, from: string, more = {}) => {
    const { status, headers } = await bench.post(path, {}, { origin: from, ...more });
    return [status, headers.get("access-control-allow-origin")];
  };
  const authorization = "Bearer hook-secret";
  assert.deepEqual(await readers("/hooks/x", origin, { authorization }), [202, origin]);
  assert.deepEqual(await readers("/hooks/x", origin), [401, origin]);
  assert.deepEqual(await readers("/hooks/x", "https://evil.example.org", { authorization }), [202, null]);
  assert.deepEqual(await readers("/hooks/none", origin), [202, null]);
});

Deno.test("the cors of a rule opens no other rule that takes another method on the same path", async () => {
  await using bench = await openBench([
    rule("a", [webhook("/x", { method: "GET", cors: "*" })]),
    rule("b", [webhook("/x")]),
  ]);
  const headers = { origin: "https://app.example.org" };
  const allowed = async (method: string, more = {}) => {
    const { status, headers: answered } = await bench.ask(method, "/hooks/x", { headers: { ...headers, ...more } });
    return [status, answered.get("access-control-allow-origin")];
  };
  assert.deepEqual(await allowed("GET"), [202, headers.origin]);
  assert.deepEqual(await allowed("POST"), [202, null]);
  assert.deepEqual(await allowed("OPTIONS", { "access-control-request-method": "POST" }), [405, null]);
  assert.deepEqual(await allowed("OPTIONS", { "access-control-request-method": "GET" }), [204, headers.origin]);
});

Deno.test("a sender of CloudEvents that asks gets the consent of a hook that takes POST", async () => {
  await using bench = await openBench([rule("a", [webhook("/x")]), rule("b", [webhook("/get", { method: "GET" })])]);
  const headers = { "webhook-request-origin": "eventgrid.azure.net", "webhook-request-rate": "120" };
  for (const path of ["/hooks/x", "/events"]) {
    const consent = await bench.ask("OPTIONS", path, { headers });
    assert.equal(consent.status, 200);
    assert.equal(consent.headers.get("webhook-allowed-origin"), "eventgrid.azure.net");
    assert.equal(consent.headers.get("webhook-allowed-rate"), "*");
    assert.equal(consent.headers.get("allow"), "POST");
  }
  assert.equal((await bench.ask("OPTIONS", "/hooks/get", { headers })).status, 405);
  assert.equal((await bench.ask("OPTIONS", "/hooks/nothing", { headers })).status, 404);
  await using closed = await openBench([], { tokenless: false });
  assert.equal((await closed.ask("OPTIONS", "/events", { headers })).status, 401);
});

Deno.test("a batch of CloudEvents starts a run for each new event, on a hook and by POST /events", async () => {
  await using bench = await openBench([rule("a", [webhook("/x")], [step("reply")]), rule("b", [onEvent("made")])]);
  const event = (id: string) => ({ specversion: "1.0", id, source: "/s", type: "made", data: id });
  const headers = { "content-type": "application/cloudevents-batch+json" };
  for (const path of ["/hooks/x", "/events"]) {
    const first = await bench.post(path, [event("1"), event("2")], headers);
    assert.equal(first.status, 202);
    assert.deepEqual(
      first.body.events.map(({ runs, duplicate }: { runs: string[]; duplicate: boolean }) => [runs.length, duplicate]),
      [[1, false], [1, false]],
    );
    const second = await bench.post(path, [event("2"), event("3")], headers);
    assert.deepEqual(second.body.events.map(({ duplicate }: { duplicate: boolean }) => duplicate), [true, false]);
    const again = await bench.post(path, [event("3")], headers);
    assert.equal(again.status, 200);
    assert.deepEqual((await bench.post(path, [], headers)).body, { events: [] });
    const wrong = await bench.post(path, [event("4"), { ...event("5"), id: 5 }], headers);
    assert.equal(wrong.status, 400);
    assert.match(wrong.body.error, /event 2 of the batch: id: /);
  }
  const runs = await bench.store.listRuns({ limit: 20 });
  assert.deepEqual(runs.map(({ event: { data } }) => data).sort(), ["1", "1", "2", "2", "3", "3"]);
});

Deno.test("a batch with an event twice is answered with an entry for each, in order, and starts it once in each rule", async () => {
  await using bench = await openBench([rule("a", [webhook("/x")]), rule("b", [webhook("/x")])]);
  const batch = ["1", "2", "1"].map((id) => ({ specversion: "1.0", id, source: "/s", type: "made" }));
  const headers = { "content-type": "application/cloudevents-batch+json" };
  const { status, body: { events } } = await bench.post("/hooks/x", batch, headers);
  assert.equal(status, 202);
  assert.deepEqual(events.map(({ duplicate }: { duplicate: boolean }) => duplicate), [false, false, true]);
  assert.deepEqual([events[0].runs.length, events[1].runs.length], [2, 2]);
  assert.deepEqual([events[2].event, events[2].runs], [events[0].event, events[0].runs]);
  assert.equal((await bench.store.listRuns({ limit: 9 })).length, 4);
});

Deno.test("a compressed body is unpacked up to maxBody", async () => {
  await using bench = await openBench([rule("a", [webhook("/x", { maxBody: 1_000 })])]);
  const send = (text: string) =>
    bench.ask("POST", "/hooks/x", {
      body: gzipSync(text).slice(),
      headers: { "content-type": "application/json", "content-encoding": "gzip" },
    });
  const { body } = await send('{"a":1}');
  assert.deepEqual((await bench.store.getRun(body.runs[0]))!.run.event.data, { a: 1 });
  assert.equal((await send(JSON.stringify("x".repeat(1_000)))).status, 413);
});

const UPLOAD = { type: "image/png", bytes: new Uint8Array([137, 80, 78, 71, 0, 255]) };

/** What "curl -F" sends. */
function uploadForm(name = "a.png"): FormData {
  const form = new FormData();
  form.append("title", "Grüße");
  form.append("tag", "a");
  form.append("tag", "b");
  form.append("file", new File([UPLOAD.bytes], name, { type: UPLOAD.type }));
  form.append("more", new File(["one"], "same.txt", { type: "text/plain" }));
  form.append("more", new File(["two"], "same.txt", { type: "text/plain" }));
  return form;
}

Deno.test("a multipart form has its fields in data and its files in files, saved byte for byte", async () => {
  await using bench = await openBench([rule("a", [webhook("/x")]), rule("b", [webhook("/x")])]);
  const { status, body } = await bench.ask("POST", "/hooks/x", { body: uploadForm() });
  assert.deepEqual([status, body.runs.length], [202, 2]);
  const { event } = (await bench.store.getRun(body.runs[0]))!.run;
  assert.deepEqual(event.data, { title: "Grüße", tag: ["a", "b"] });
  const { file, more } = event.files as { file: SavedFile; more: SavedFile[] };
  assert.deepEqual([file.name, file.type, file.bytes], ["a.png", "image/png", 6]);
  assert.equal(file.sha256, createHash("sha256").update(UPLOAD.bytes).digest("hex"));
  assert.deepEqual(new Uint8Array(await readFile(file.path)), UPLOAD.bytes);
  assert.deepEqual(await Promise.all(more.map(({ path }) => readFile(path, "utf8"))), ["one", "two"]);

  const { store } = bench;
  const key = await store.findEventKey(event);
  assert.match((await bench.ask("GET", `/events/${key}`)).body, /<h3[^>]*>Files</);
  assert.equal((await bench.ask("GET", `/events/${key}/files`)).body.file.sha256, file.sha256);
  const folder = join(bench.folder, "files");
  const restarted = new Uploads(folder, new RunFiles(folder, realDisk), realDisk);
  await restarted.sweep({ findKey: () => Promise.resolve(undefined), isKnown: (key) => store.hasEvent(key) });
  assert.ok(existsSync(file.path), "the event is known");
  await restarted.sweep({ findKey: () => Promise.resolve(undefined), isKnown: (key) => store.hasEvent(`${key}1`) });
  assert.ok(!existsSync(file.path), "another event is not");
});

Deno.test("what a sender calls its file never leaves the folder of its event; an empty file input is no file", async () => {
  await using bench = await openBench([rule("a", [webhook("/x")])]);
  for (
    const [sent, name] of [["../../etc/passwd", "passwd"], ["..", "file"], ["a/", "file"], ["x".repeat(300), "file"]]
  ) {
    const { body } = await bench.ask("POST", "/hooks/x", { body: uploadForm(sent) });
    const { file } = (await bench.store.getRun(body.runs[0]))!.run.event.files as { file: SavedFile };
    assert.equal(file.name, name);
    assert.match(file.path, /\/files\/\.uploads\/[0-9a-z]{20}\/[0-9a-f]{16}\/[^/]+$/);
  }
  const text = '--B\r\nContent-Disposition: form-data; name="f"; filename=""\r\n\r\n\r\n--B--\r\n';
  const { body } = await bench.ask("POST", "/hooks/x", {
    body: text,
    headers: { "content-type": "multipart/form-data; boundary=B" },
  });
  assert.deepEqual((await bench.store.getRun(body.runs[0]))!.run.event.files, undefined);
});

Deno.test("a form that is cut off is 400, one of a sender who is not known 401; neither leaves a file", async () => {
  await using bench = await openBench([
    rule("a", [webhook("/x")]),
    rule("b", [webhook("/closed", { auth: "bearer", secret: ["HOOK"] })]),
  ]);
  const whole = new Response(uploadForm());
  const headers = { "content-type": whole.headers.get("content-type")! };
  const bytes = await whole.bytes();
  const cut = await bench.ask("POST", "/hooks/x", { body: bytes.slice(0, -10), headers });
  assert.deepEqual([cut.status, cut.body.error], [
    400,
    "The body is not valid multipart/form-data: Multipart stream not finished",
  ]);
  assert.equal((await bench.ask("POST", "/hooks/closed", { body: bytes, headers })).status, 401);
  assert.equal(existsSync(join(bench.folder, "files")), false);
});

Deno.test("a form of more than 100 files is 400 and leaves none", async () => {
  await using bench = await openBench([rule("a", [webhook("/x")])]);
  const form = new FormData();
  for (let at = 0; at < 100; at++) form.append("f", new File(["x"], "a"));
  assert.equal((await bench.ask("POST", "/hooks/x", { body: form })).status, 202);
  form.append("f", new File(["x"], "a"));
  const { status, body } = await bench.ask("POST", "/hooks/x", { body: form });
  assert.deepEqual([status, body.error], [400, "A form may have 100 files, not 101"]);
  assert.equal((await readdir(join(bench.folder, "files", ".uploads"))).length, 1);
});

Deno.test("a field of a form is its bytes in UTF-8, or in the charset of its part; what is before the first boundary is none", async () => {
  await using bench = await openBench([rule("a", [webhook("/x")])]);
  const dataOf = async (body: string | Uint8Array<ArrayBuffer>) => {
    const sent = await bench.ask("POST", "/hooks/x", {
      body,
      headers: { "content-type": "multipart/form-data; boundary=B" },
    });
    assert.equal(sent.status, 202, JSON.stringify(sent.body));
    return (await bench.store.getRun(sent.body.runs[0]))!.run.event.data;
  };
  const part = (value: string, more = "") =>
    `--B\r\nContent-Disposition: form-data; name="f"${more}\r\n\r\n${value}\r\n--B--\r\n`;
  const xml = '\ufeff<?xml version="1.0" encoding="iso-8859-1"?><a>é</a>';
  assert.deepEqual(await dataOf(part(xml)), { f: xml });
  const declared = xml.slice(1);
  assert.deepEqual(await dataOf(part(declared)), { f: declared });
  const latin = Buffer.from(part("é", "\r\nContent-Type: text/plain; charset=iso-8859-1"), "latin1");
  assert.deepEqual(await dataOf(new Uint8Array(latin)), { f: "é" });
  for (const before of ["\r\n", "a preamble\r\n", "--A\r\n\r\n"]) {
    assert.deepEqual(await dataOf(before + part("x")), { f: "x" });
  }
  for (const empty of ["--B--", "\r\n--B--\r\n"]) assert.deepEqual(await dataOf(empty), {});
});

Deno.test("a run may reply before the files of its form are claimed", async () => {
  await using bench = await openBench([rule("a", [webhook("/x")], [step("reply")])]);
  const find = bench.store.findEventKey.bind(bench.store);
  const replied = Promise.withResolvers<void>();
  bench.store.findEventKey = async (event) => {
    await replied.promise;
    return await find(event);
  };
  const answer = bench.ask("POST", "/hooks/x", { body: uploadForm() });
  const [claimed] = await claim(bench);
  await bench.store.recordStep(claimed.run.id, record(), { reply: REPLY }, NOW);
  bench.context.replies.answered(claimed.run.event, REPLY);
  replied.resolve();
  assert.deepEqual((await answer).body, "made");
});

Deno.test("files for which the disk has no space are 503 with Retry-After, and their event is not known", async () => {
  await using bench = await openBench([rule("a", [webhook("/x")])]);
  const small = { ...realDisk, space: () => Promise.resolve({ free: 30e6, total: 1e9 }) };
  const folder = join(bench.folder, "files");
  Object.assign(bench.context, { uploads: new Uploads(folder, new RunFiles(folder, small), small) });
  const { status, headers, body } = await bench.ask("POST", "/hooks/x", { body: uploadForm() });
  assert.deepEqual([status, headers.get("retry-after")], [503, "60"]);
  assert.match(body.error, /^Cannot save uploaded files: the disk has 30 MB free, and 50 MB of it are for the store$/);
  assert.deepEqual(await readdir(join(folder, ".uploads")), []);
  const plain = await bench.ask("POST", "/hooks/x", { body: new URLSearchParams({ a: "1" }) });
  assert.equal(plain.status, 202);
});

Deno.test("a second delivery of an event with files leaves none of its own; dedupe knows the hash of a file", async () => {
  await using bench = await openBench([rule("a", [webhook("/x", { dedupe: "event.files.file.sha256" })])]);
  const send = () => bench.ask("POST", "/hooks/x", { body: uploadForm() });
  const [first, second] = [await send(), await send()];
  assert.deepEqual([first.body.duplicate, second.body.duplicate, second.body.event], [false, true, first.body.event]);
  assert.equal((await readdir(join(bench.folder, "files", ".uploads"))).length, 1);
});

Deno.test("files stay as long as any of the events that they came with; a claim that fails refuses nobody", async () => {
  const dedupe = { dedupe: "event.data.title" };
  await using bench = await openBench([rule("a", [webhook("/x")]), rule("b", [webhook("/x", dedupe)])]);
  const { body } = await bench.ask("POST", "/hooks/x", { body: uploadForm() });
  assert.equal(body.runs.length, 2);
  const traces = await Promise.all(body.runs.map((run: string) => bench.store.getRun(run)));
  const keys = await Promise.all(traces.map(({ run }) => bench.store.findEventKey(run.event)));
  const [id] = await readdir(join(bench.folder, "files", ".uploads"));
  const noted = (await readdir(join(bench.folder, "files", ".uploads", id))).filter((name) => name.startsWith("key-"));
  assert.deepEqual(noted.sort(), keys.map((key) => `key-${key}`).sort());

  bench.store.findEventKey = () => Promise.reject(new Error("ENOSPC"));
  const sent = await bench.ask("POST", "/hooks/x", { body: uploadForm("other.png") });
  assert.equal(sent.status, 202);
  const { uploads } = bench.context;
  assert.ok(uploads instanceof Uploads);
  await uploads.sweep({ findKey: () => Promise.resolve("17"), isKnown: () => Promise.resolve(true) });
  const folders = await readdir(join(bench.folder, "files", ".uploads"));
  const left = folders.find((name) => name !== id)!;
  assert.ok(existsSync(join(bench.folder, "files", ".uploads", left, "key-17")), "the sweep checks them from then on");
});

Deno.test("failed authentication is 401, a body that does not match its type 400; neither starts anything", async () => {
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

Deno.test("a provider's handshake is answered and is not an event", async () => {
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

Deno.test("while the store refuses events, starts or drains, intake answers 503 with Retry-After", async () => {
  const rules = [rule("a", [webhook("/x")])];
  const full = () => Promise.reject(new StoreFullError("The store is at its cap of 256 MB", 60));
  await using bench = await openBench(rules, {
    ingest: { deliver: full, publish: full, publishAll: full, fromTrigger: full },
  });
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

Deno.test("a program that has lost its data folder answers 503 with Retry-After, on pages, too", async () => {
  const lost = () => Promise.reject(new FolderLostError("This replica was declared dead"));
  await using bench = await openBench([rule("a", [webhook("/x")])], {
    ingest: { deliver: lost, publish: lost, publishAll: lost, fromTrigger: lost },
  });
  const { status, headers, body } = await bench.post("/hooks/x", {});
  assert.deepEqual([status, headers.get("retry-after"), body.error], [503, "5", "This replica was declared dead"]);
  bench.store.listRuns = bench.store.searchRuns = lost;
  const page = await bench.ask("GET", "/", { headers: { accept: "text/html" } });
  assert.deepEqual([page.status, page.headers.get("retry-after")], [503, "5"]);
});

Deno.test("the files of an event that was refused and may be decided later stay with it", async () => {
  await using bench = await openBench([rule("a", [webhook("/x")])]);
  const { accept } = bench.store;
  bench.store.accept = async (...given) => {
    await accept.apply(bench.store, given);
    throw new UndecidedError("Nobody decides at the moment", 1);
  };
  assert.equal((await bench.ask("POST", "/hooks/x", { body: uploadForm() })).status, 503);
  const [{ event }] = await bench.store.listRuns({ limit: 1 });
  const { file } = event.files as { file: SavedFile };
  assert.deepEqual(new Uint8Array(await readFile(file.path)), UPLOAD.bytes);
  const { store } = bench;
  const folder = join(bench.folder, "files");
  await new Uploads(folder, new RunFiles(folder, realDisk), realDisk).sweep({
    findKey: (owner) => store.findEventKey(owner),
    isKnown: (key) => store.hasEvent(key),
  });
  assert.ok(existsSync(file.path), "the event is known");
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

Deno.test("a reply is sent unmasked, even values equal to a secret", async () => {
  await using bench = await openBench([rule("a", [webhook("/x")], [step("reply")])]);
  const answer = bench.post("/hooks/x", {});
  const [claimed] = await claim(bench);
  const reply = { status: 200, headers: { "x-token": "hook-secret" }, body: "to hook-secret" };
  await bench.store.recordStep(claimed.run.id, record(), { reply }, NOW);
  bench.context.replies.answered(claimed.run.event, reply);
  const { body, headers } = await answer;
  assert.deepEqual([body, headers.get("x-token")], ["to hook-secret", "hook-secret"]);
});

Deno.test("a list in the headers of a reply repeats its header; connection headers are left out", async () => {
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

Deno.test("only a 401 of auth: basic asks for credentials", async () => {
  await using bench = await openBench([
    rule("a", [webhook("/basic", { auth: "basic", secret: ["HOOK"] })]),
    rule("b", [webhook("/bearer", { auth: "bearer", secret: ["HOOK"] })]),
  ]);
  const asked = async (path: string) => (await bench.post(path, {})).headers.get("www-authenticate");
  assert.equal(await asked("/hooks/basic"), 'Basic realm="whenthen", charset="UTF-8"');
  assert.equal(await asked("/hooks/bearer"), null);
});

Deno.test("the cause in a signed header is used; a forged one is ignored", async () => {
  await using bench = await openBench([rule("a", [webhook("/x")])]);
  const header = bench.signer.sign({ depth: 3, run: "01run" });
  const carried = await bench.post("/hooks/x", {}, { "whenthen-cause": header });
  const forged = await bench.post("/hooks/x", {}, { "whenthen-cause": header.replace("3.", "1.") });
  const causeOf = async (run: string) => (await bench.store.getRun(run))!.run.event.cause;
  assert.deepEqual(await causeOf(carried.body.runs[0]), { depth: 3, run: "01run" });
  assert.equal(await causeOf(forged.body.runs[0]), undefined);
});

type Bench = Awaited<ReturnType<typeof openBench>>;

/** Claims the next run as soon as there is one. */
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

const ARGS: Hook["args"] = { webhook: "/", auth: "none", method: "POST", replyWithin: 10_000, maxBody: 1_000 };

function registry(...paths: string[]): HookRegistry {
  const hooks = new HookRegistry();
  for (const path of paths) hooks.add({ rule: path, trigger: "t", path, args: ARGS, at: { line: 1, column: 1 } });
  return hooks;
}

function found(hooks: HookRegistry, path: string): [rule: string, params: Record<string, string>][] {
  return hooks.match(path).map(({ hook, params }) => [hook.rule, params]);
}

Deno.test("a path is matched by its segments, params are decoded", () => {
  const hooks = registry("/github", "/price/:sku");
  assert.deepEqual(found(hooks, "/github"), [["/github", {}]]);
  assert.deepEqual(found(hooks, "/github/"), [["/github", {}]]);
  assert.deepEqual(found(hooks, "/price/a%2Fb%20c"), [["/price/:sku", { sku: "a/b c" }]]);
  assert.deepEqual(found(hooks, "/price/%zz"), [["/price/:sku", { sku: "%zz" }]]);
  for (const path of ["/", "/price", "/price/1/2", "/GitHub"]) assert.deepEqual(found(hooks, path), []);
});

Deno.test("literal segments win over params, from left to right", () => {
  const hooks = registry("/:shop/orders", "/acme/:what", "/:shop/:what");
  assert.deepEqual(found(hooks, "/acme/orders").map(([rule]) => rule), ["/acme/:what"]);
  assert.deepEqual(found(hooks, "/other/orders").map(([rule]) => rule), ["/:shop/orders"]);
  assert.deepEqual(found(hooks, "/other/else").map(([rule]) => rule), ["/:shop/:what"]);
});

Deno.test("rules share a path, and removing one leaves the others", () => {
  const hooks = registry("/github");
  const leave = hooks.add({ rule: "second", trigger: "t", path: "/github", args: ARGS, at: { line: 1, column: 1 } });
  assert.deepEqual(found(hooks, "/github").map(([rule]) => rule), ["/github", "second"]);
  assert.deepEqual(hooks.paths(), ["/github"]);
  leave();
  assert.deepEqual(found(hooks, "/github").map(([rule]) => rule), ["/github"]);
});

Deno.test("a dead end falls back to a less specific path", () => {
  const hooks = registry("/a/b/c", "/a/:x/d", "/:y/b/e", "/:first/:second/:third");
  assert.deepEqual(found(hooks, "/a/b/c"), [["/a/b/c", {}]]);
  assert.deepEqual(found(hooks, "/a/b/d"), [["/a/:x/d", { x: "b" }]]);
  assert.deepEqual(found(hooks, "/a/b/e"), [["/:y/b/e", { y: "a" }]]);
  assert.deepEqual(found(hooks, "/a/b/f"), [["/:first/:second/:third", { first: "a", second: "b", third: "f" }]]);
  assert.deepEqual(found(hooks, "/a/b"), []);
});

Deno.test("rules that share a pattern may name its params differently; a path may be a name that objects inherit", () => {
  const hooks = registry("/price/:sku", "/price/:item", "/constructor");
  assert.deepEqual(found(hooks, "/price/7"), [["/price/:sku", { sku: "7" }], ["/price/:item", { item: "7" }]]);
  assert.deepEqual(found(hooks, "/constructor"), [["/constructor", {}]]);
  assert.deepEqual(found(hooks, "/toString"), []);
});

Deno.test("after the last hook of a path is removed the others are still found", () => {
  const hooks = registry("/a", "/a/b", "/a/:x");
  const leave = hooks.add({ rule: "gone", trigger: "t", path: "/a/b/c", args: ARGS, at: { line: 1, column: 1 } });
  leave();
  leave();
  assert.deepEqual(hooks.paths(), ["/a", "/a/:x", "/a/b"]);
  assert.deepEqual(found(hooks, "/a/b/c"), []);
  assert.deepEqual([found(hooks, "/a/b"), found(hooks, "/a/z")], [[["/a/b", {}]], [["/a/:x", { x: "z" }]]]);
});

const EVENT = { source: "/hooks/a", id: "1" };
const HI = { status: 200, headers: {}, body: "hi" };
const never = () => new AbortController().signal;

Deno.test("a reply reaches everybody who waits for its event, and nobody else", async () => {
  const waiters = new ReplyWaiters();
  const other = new AbortController();
  const waiting = [waiters.wait(EVENT, ["r"], never()), waiters.wait(EVENT, ["r"], never())];
  const elsewhere = waiters.wait({ ...EVENT, id: "2" }, ["r"], other.signal);
  waiters.answered(EVENT, HI);
  assert.deepEqual(await Promise.all(waiting), [{ reply: HI }, { reply: HI }]);
  other.abort();
  assert.deepEqual(await elsewhere, {});
});

Deno.test("the wait ends when all runs have ended without a reply", async () => {
  const waiters = new ReplyWaiters();
  const waiting = waiters.wait(EVENT, ["a", "b"], never());
  waiters.ended(EVENT, { id: "a", rule: "pay", state: "failed" });
  waiters.ended(EVENT, { id: "b", rule: "log", state: "succeeded" });
  assert.deepEqual(await waiting, { failed: ["pay"] });
  assert.deepEqual(await waiters.wait(EVENT, [], never()), {}, "no run, no wait");
});

Deno.test("a reply is awaited before the delivery starts, until all its requests are answered", async () => {
  const waiters = new ReplyWaiters();
  const [first, second] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const answers = [waiters.during([EVENT], () => first.promise), waiters.during([EVENT], () => second.promise)];
  assert.deepEqual([waiters.isAwaited(EVENT), waiters.isAwaited({ ...EVENT, id: "2" })], [true, false]);
  first.resolve();
  await answers[0];
  assert.equal(waiters.isAwaited(EVENT), true);
  second.reject(new Error("the store is full"));
  await assert.rejects(answers[1]);
  assert.equal(waiters.isAwaited(EVENT), false);
});

Deno.test("what the runs of an event did before the wait for it began is known while its request is under way", async () => {
  const waiters = new ReplyWaiters();
  const replied = waiters.during([EVENT], () => {
    waiters.answered(EVENT, HI);
    waiters.ended(EVENT, { id: "a", rule: "pay", state: "succeeded" });
    return waiters.wait(EVENT, ["a"], never());
  });
  assert.deepEqual(await replied, { reply: HI });
  const failed = waiters.during([EVENT], () => {
    waiters.ended(EVENT, { id: "a", rule: "pay", state: "failed" });
    const waiting = waiters.wait(EVENT, ["a", "b"], never());
    waiters.ended(EVENT, { id: "b", rule: "log", state: "succeeded" });
    return waiting;
  });
  assert.deepEqual(await failed, { failed: ["pay"] }, "and nothing is left of the request before");
});

Deno.test("release() ends all waits", async () => {
  const waiters = new ReplyWaiters();
  const waiting = [waiters.wait(EVENT, ["a"], never()), waiters.wait({ ...EVENT, id: "2" }, ["b"], never())];
  waiters.release();
  assert.deepEqual(await Promise.all(waiting), [{}, {}]);
});

function parse(headers: Record<string, string>, body: unknown) {
  const bytes = new TextEncoder().encode(typeof body === "string" ? body : JSON.stringify(body));
  const read = readEvents(headers, bytes);
  if ("problem" in read) return read.problem;
  const [{ ce: _, ...event }] = read.events;
  return JSON.parse(JSON.stringify(event));
}

const STRUCTURED = { "content-type": "application/cloudevents+json; charset=utf-8" };
const COMPLETE = { specversion: "1.0", id: "A1", source: "/shop", type: "order.created" };

Deno.test("a plain event needs a type and nothing else", () => {
  assert.deepEqual(parse({ "content-type": "application/json" }, { type: "a.b" }), { type: "a.b", data: null });
  const all = { type: "a.b", data: [1], id: "1", source: "/x", subject: "s", time: "2026-11-21T08:00:00+01:00" };
  assert.deepEqual(parse({}, all), { ...all, time: "2026-11-21T07:00:00.000Z" });
});

Deno.test("a structured CloudEvent is accepted with its identity", () => {
  assert.deepEqual(parse(STRUCTURED, { ...COMPLETE, data: { x: 1 }, traceparent: "00-1" }), {
    type: "order.created",
    data: { x: 1 },
    id: "A1",
    source: "/shop",
  });
});

Deno.test("a structured CloudEvent is recognised by its specversion, even if sent as plain JSON", () => {
  const event = { type: "order.created", data: { x: 1 }, id: "A1", source: "/shop" };
  assert.deepEqual(parse({ "content-type": "application/json" }, { ...COMPLETE, data: { x: 1 } }), event);
});

Deno.test("a CloudEvent in binary mode has its attributes in headers", () => {
  const headers = { "ce-specversion": "1.0", "ce-id": "A1", "ce-source": "/shop", "ce-type": "order.created" };
  const event = { type: "order.created", id: "A1", source: "/shop" };
  const json = { ...headers, "content-type": "application/json" };
  assert.deepEqual(parse({ ...json, "ce-subject": "caf%C3%A9" }, { x: 1 }), {
    ...event,
    data: { x: 1 },
    subject: "café",
  });
  assert.deepEqual(parse({ ...headers, "content-type": "text/plain" }, "hi"), { ...event, data: "hi" });
  assert.deepEqual(parse(headers, ""), { ...event, data: null });
});

Deno.test("a mistake in an event is reported with its path", () => {
  assert.match(parse(STRUCTURED, { ...COMPLETE, id: undefined }), /^id: /);
  assert.match(parse(STRUCTURED, { ...COMPLETE, specversion: "0.3" }), /^specversion: /);
  assert.match(parse({}, { typ: "x" }), /type: .*Unrecognized key: "typ"/);
  assert.match(parse({}, "{"), /not JSON/);
  assert.match(parse({}, { type: "x", time: "yesterday" }), /^time: /);
  assert.match(parse({}, { type: "x", source: "/rules/a/cron", id: "1" }), /reserved/);
  assert.match(parse({ "content-type": "text/plain" }, "x"), /expected content-type .* got "text\/plain"/);
  const notText = readEvents({}, new Uint8Array([0xff, 0xfe]));
  assert.deepEqual(notText, { problem: "the body is not UTF-8" });
});

const ATTRIBUTES = {
  id: "A1",
  source: "/shop",
  type: "order.created",
  subject: "A1",
  time: "2026-11-21T08:00:00+01:00",
};
const read = (headers: Record<string, string>, body: Uint8Array) => JSON.stringify(readEvents(headers, body));
const bytesOf = (value: unknown) => new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));

/** The same event in structured and in binary mode, with data of a type. */
function bothModes(
  type: string | undefined,
  content: Uint8Array,
  structured: Record<string, unknown>,
): [string, string] {
  const extensions = { traceparent: "00-0af7-01", sampled: true, partition: 7 };
  const whole = {
    specversion: "1.0",
    ...ATTRIBUTES,
    ...extensions,
    ...type && { datacontenttype: type },
    ...structured,
  };
  const headers = Object.entries({ specversion: "1.0", ...ATTRIBUTES, ...extensions })
    .map(([name, value]) => [`ce-${name}`, encodeURIComponent(String(value))]);
  const binary = { ...Object.fromEntries(headers), ...type && { "content-type": type } };
  return [read(STRUCTURED, bytesOf(whole)), read(binary, content)];
}

Deno.test("structured and binary mode give the same event, with all extension attributes, for every type of data", () => {
  const image = new Uint8Array([137, 80, 78, 71, 0, 255]);
  const base64 = "iVBORwD/";
  for (
    const [type, content, structured, data] of [
      ["application/json", bytesOf('{"x":[1,"ü"]}'), { data: { x: [1, "ü"] } }, '{"x":[1,"ü"]}'],
      ["application/json", bytesOf('"text"'), { data: "text" }, '"text"'],
      ["application/json", bytesOf('{"x":1}'), { data_base64: "eyJ4IjoxfQ==" }, '{"x":1}'],
      ["text/xml", bytesOf("<a>ü</a>"), { data: "<a>ü</a>" }, '"<a>ü</a>"'],
      ["image/png", image, { data_base64: base64 }, JSON.stringify(base64)],
      [undefined, bytesOf(""), {}, "null"],
    ] as const
  ) {
    const [one, other] = bothModes(type, content, structured);
    assert.equal(one, other);
    const { events: [event], isBatch } = JSON.parse(one);
    assert.deepEqual([JSON.stringify(event.data), isBatch], [data, false]);
    assert.deepEqual([event.subject, event.time], ["A1", "2026-11-21T07:00:00.000Z"]);
    const { traceparent, sampled, partition, specversion, time } = event.ce;
    assert.deepEqual([traceparent, sampled, partition, specversion, time], [
      "00-0af7-01",
      "true",
      "7",
      "1.0",
      ATTRIBUTES.time,
    ]);
  }
});

Deno.test("a batch of CloudEvents has its events in order; one that is wrong refuses all of them by its number", () => {
  const batch = { "content-type": "application/cloudevents-batch+json; charset=UTF-8" };
  const events = readEvents(batch, bytesOf([COMPLETE, { ...COMPLETE, id: "A2", data: { x: 1 } }]));
  assert.ok("events" in events);
  assert.deepEqual(events.events.map(({ id, data }) => [id, data]), [["A1", null], ["A2", { x: 1 }]]);
  assert.equal(events.isBatch, true);
  assert.deepEqual(readEvents(batch, bytesOf([])), { events: [], isBatch: true });
  const problem = (body: unknown) => (readEvents(batch, bytesOf(body)) as { problem: string }).problem;
  assert.match(problem([COMPLETE, { ...COMPLETE, type: "whenthen.run.failed" }]), /^event 2 of the batch: type: .*own/);
  assert.match(problem(COMPLETE), /a batch is a list/);
  assert.match(problem(Array(1_001).fill(COMPLETE)), /may have 1000 events, not 1001/);
});

Deno.test("data_base64 that is none, and an attribute that is a list, are mistakes", () => {
  assert.match(parse(STRUCTURED, { ...COMPLETE, data_base64: "%%" }), /data_base64: expected base64/);
  assert.match(parse(STRUCTURED, { ...COMPLETE, tags: ["a"] }), /^tags: expected text, a number/);
  assert.match(parse(STRUCTURED, { ...COMPLETE, data: 1, data_base64: "AA==" }), /^data and data_base64: only one/);
});

Deno.test("data_base64 that is null is not set, and the letters of a time may be small", () => {
  const read = (given: object) => {
    const body = new TextEncoder().encode(JSON.stringify({ ...COMPLETE, ...given }));
    const found = readEvents(STRUCTURED, body);
    return "problem" in found ? assert.fail(found.problem) : found.events[0];
  };
  assert.equal(read({ data: "x", data_base64: null }).data, "x");
  assert.equal(read({ time: "2026-11-29t20:00:00z" }).time, "2026-11-29T20:00:00.000Z");
});

function post(body: BodyInit | null, headers: Record<string, string> = {}): Request {
  return new Request("http://127.0.0.1/", { method: "POST", body, headers });
}

Deno.test("a body within the limit is read completely", async () => {
  const body = await readRequestBody(post("0123456789"), 10);
  assert.ok("bytes" in body);
  assert.equal(new TextDecoder().decode(body.bytes), "0123456789");
  assert.deepEqual(await readRequestBody(post(null), 10), { bytes: new Uint8Array() });
  assert.ok("bytes" in await readRequestBody(post("0", { "content-encoding": "" }), 10), "an empty encoding is none");
});

Deno.test("a body is the same whether its length is known, small or large", async () => {
  for (const size of [0, 1, 65_536, 65_537, 200_000]) {
    const text = "x".repeat(size);
    const known: Record<string, string> = { "content-length": String(size) };
    for (const headers of [{}, known]) {
      const body = await readRequestBody(post(text, headers), 200_000);
      assert.ok("bytes" in body);
      assert.equal(new TextDecoder().decode(body.bytes), text);
    }
  }
});

Deno.test("a body over the limit is 413 before it is read completely", async () => {
  let pulled = 0;
  const endless = new ReadableStream<Uint8Array>({
    pull(controller) {
      pulled++;
      controller.enqueue(new Uint8Array(1_000));
    },
  });
  const body = await readRequestBody(post(endless), 10_000);
  assert.ok("refused" in body);
  assert.equal(body.refused.status, 413);
  assert.ok(pulled < 20, `${pulled} chunks were read`);
});

Deno.test("a content-length over the limit is 413 without reading at all", async () => {
  const body = await readRequestBody(post("x", { "content-length": "11" }), 10);
  assert.ok("refused" in body);
  assert.equal(body.refused.status, 413);
});

Deno.test("gzip and deflate are unpacked, deflate also without its header; the body as it was sent is there, too", async () => {
  const text = JSON.stringify({ text: "ü".repeat(1_000) });
  const packed: [string, Uint8Array][] = [
    ["gzip", gzipSync(text)],
    ["X-GZIP", gzipSync(text)],
    ["gzip", Buffer.concat([gzipSync(text.slice(0, 100)), gzipSync(text.slice(100))])],
    ["deflate", deflateSync(text)],
    ["deflate", deflateRawSync(text)],
  ];
  for (const [encoding, bytes] of packed) {
    const body = await readRequestBody(post(bytes.slice(), { "content-encoding": encoding }), 10_000);
    assert.ok("bytes" in body, encoding);
    assert.equal(new TextDecoder().decode(body.bytes), text);
    assert.deepEqual(Buffer.from(body.packed!), Buffer.from(bytes));
  }
});

Deno.test("a compressed body that expands over the limit is 413", async () => {
  // 200 MB of zeros are 195 kB.
  const bomb = gzipSync(Buffer.alloc(200_000_000));
  const body = await readRequestBody(post(bomb.slice(), { "content-encoding": "gzip" }), 1_000_000);
  assert.ok("refused" in body);
  assert.equal(body.refused.status, 413);
  const exact = await readRequestBody(post(gzipSync("0123456789").slice(), { "content-encoding": "gzip" }), 1_000);
  assert.ok("bytes" in exact);
});

Deno.test("a broken compressed body is 400, another encoding 415 with those that are accepted", async () => {
  const status = async (encoding: string, bytes: Uint8Array) => {
    const body = await readRequestBody(post(bytes.slice(), { "content-encoding": encoding }), 1_000);
    assert.ok("refused" in body);
    return [body.refused.status, body.refused.headers.get("accept-encoding")];
  };
  const whole = gzipSync("text");
  assert.deepEqual(await status("gzip", whole.subarray(0, -4)), [400, null]);
  assert.deepEqual(await status("gzip", Buffer.from("plain text")), [400, null]);
  assert.deepEqual(await status("deflate", Buffer.from("plain text")), [400, null]);
  assert.deepEqual(await status("br", whole), [415, "gzip, deflate"]);
  assert.deepEqual(await status("gzip, gzip", whole), [415, "gzip, deflate"]);
});

Deno.test("a body that breaks off is 400", async () => {
  const broken = new ReadableStream<Uint8Array>({ pull: (controller) => controller.error(new Error("reset")) });
  const body = await readRequestBody(post(broken), 10);
  assert.ok("refused" in body);
  assert.equal(body.refused.status, 400);
});
