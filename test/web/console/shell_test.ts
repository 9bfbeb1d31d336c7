import assert from "node:assert/strict";
import { onEvent, openBench, rule } from "../harness.ts";
import { connect } from "./stream.ts";
import { ANNA, OPERATOR, Visitor } from "./visitor.ts";

const PAGES = ["/", "/rules", "/rules/a", "/rules/a?see=tests", "/rules/a?see=config", "/help"];

async function openConsole() {
  const bench = await openBench([rule("a", [onEvent("t")])], { tokenless: false, tokens: ["operators-token"] });
  bench.people.push(structuredClone(OPERATOR), structuredClone(ANNA));
  return bench;
}

Deno.test("with a token set, a browser is led to the sign-in and back; a program is answered 401", async () => {
  await using bench = await openConsole();
  const visitor = new Visitor(bench);
  const asked = await visitor.get("/rules/a?see=config");
  assert.deepEqual([asked.status, asked.location], [303, "/forms/sign-in?to=%2Frules%2Fa%3Fsee%3Dconfig"]);
  assert.equal((await visitor.get("/")).location, "/forms/sign-in");
  const signedIn = await visitor.submit("/forms/sign-in?to=%2Frules%2Fa%3Fsee%3Dconfig", "/forms/sign-in", {
    name: "olga",
    password: "correct horse",
  });
  assert.deepEqual([signedIn.status, signedIn.location], [303, "/rules/a?see=config"]);
  assert.equal((await visitor.get("/rules/a?see=config")).status, 200);
  for (const path of PAGES) {
    const { status, headers, body } = await bench.ask("GET", path);
    assert.deepEqual([status, headers.get("www-authenticate")], [401, 'Bearer realm="whenthen"'], path);
    assert.match(body.error, /token is needed/);
  }
});

Deno.test("operators begin at the overview, others at their forms, and others get no further", async () => {
  await using bench = await openConsole();
  const olga = new Visitor(bench);
  assert.equal((await olga.signIn("olga")).location, "/");
  for (const path of PAGES) assert.equal((await olga.get(path)).status, 200, path);
  assert.match((await olga.get("/")).text, /Signed in as Olga/);
  const anna = new Visitor(bench);
  assert.equal((await anna.signIn("anna")).location, "/forms");
  assert.equal((await anna.get("/")).location, "/forms");
  for (const path of ["/rules", "/rules/a", "/nothing"]) {
    const { status, text } = await anna.get(path);
    assert.equal(status, 403, path);
    assert.doesNotMatch(text, /href="\/rules"|href="\/runs"/, path);
  }
  assert.equal((await anna.get("/help")).status, 200);
  await olga.submit("/", "/forms/sign-out");
  assert.equal((await olga.get("/")).location, "/forms/sign-in");
});

Deno.test("a request with the API token sees every page; a person's or a wrong token sees none", async () => {
  await using bench = await openConsole();
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
  for (const path of PAGES) {
    assert.equal((await new Visitor(bench, bearer("operators-token")).get(path)).status, 200, path);
    assert.equal((await new Visitor(bench, bearer("wrong")).get(path)).status, 401, path);
  }
});

Deno.test("on this machine, while no token is set, everything is open, as long as nobody else asks through it", async () => {
  await using bench = await openBench([rule("a", [onEvent("t")])]);
  const visitor = new Visitor(bench);
  for (const path of PAGES) assert.equal((await visitor.get(path)).status, 200, path);
  assert.equal((await visitor.get("/", { host: "evil.example.org" })).status, 403, "DNS rebinding");
  assert.equal((await visitor.get("/", { "x-forwarded-for": "192.0.2.7" })).status, 303, "through a proxy");
});

Deno.test("pages hold no script and no style of their own, and load only files that may be kept for ever", async () => {
  await using bench = await openBench([rule("a", [onEvent("t")])]);
  const visitor = new Visitor(bench);
  for (const path of [...PAGES, "/forms/sign-in", "/nothing"]) {
    const { text, headers } = await visitor.get(path);
    assert.doesNotMatch(text, /<style|\sstyle=|\son\w+=|javascript:|<script>/i, path);
    const policy = headers.get("content-security-policy")!;
    for (const part of ["default-src 'none'", "script-src 'self'", "style-src 'self'"]) {
      assert.ok(policy.includes(part));
    }
    assert.doesNotMatch(policy, /unsafe/);
    assert.equal(headers.get("cache-control"), "no-store", path);
  }
  const { text } = await visitor.get("/");
  const loaded = [...text.matchAll(/(?:src|href)="(\/assets\/[^"]+)"/g)].map(([, path]) => path);
  assert.equal(loaded.length, 3);
  for (const path of loaded) {
    const asset = await visitor.get(path);
    assert.deepEqual([asset.status, asset.headers.get("cache-control")], [200, "public, max-age=31536000, immutable"]);
    const zipped = await visitor.get(path, { "accept-encoding": "gzip" });
    assert.equal(zipped.headers.get("content-encoding"), "gzip");
  }
  assert.equal((await visitor.get("/assets/console-0123456789ab.js")).status, 404);
});

Deno.test("an action from another site, or from a page that is not the viewer's own, changes nothing", async () => {
  await using bench = await openConsole();
  const olga = new Visitor(bench);
  await olga.signIn("olga");
  const reason = { reason: "because" };
  assert.equal((await olga.post("/rules/a/pause", reason)).status, 403, "without the page's token");
  const elsewhere = { origin: "https://evil.example.org" };
  assert.equal((await olga.post("/rules/a/pause", reason, elsewhere)).status, 403);
  const anna = new Visitor(bench);
  await anna.signIn("anna");
  const { text } = await anna.get("/forms");
  const [, token] = /name="csrf-token" value="([^"]+)"/.exec(text)!;
  assert.equal((await olga.post("/rules/a/pause", { ...reason, "csrf-token": token })).status, 403, "another's token");
  assert.deepEqual(await bench.store.listPaused(), {});
});

Deno.test("times are written in the zone that the browser named, if there is such a zone", async () => {
  await using bench = await openBench([rule("a", [onEvent("t")])]);
  const visitor = new Visitor(bench);
  for (
    const [named, written] of [["Asia/Tokyo", "Asia/Tokyo"], ["Mars/Olympus", undefined], ["x".repeat(99), undefined]]
  ) {
    visitor.setCookie("whenthen_zone", encodeURIComponent(named!));
    const { text } = await visitor.get("/");
    const [, zone] = /<html lang="en" data-zone="([^"]+)">/.exec(text)!;
    if (written === undefined) assert.notEqual(zone, named);
    else assert.equal(zone, written);
  }
});

Deno.test("each word that a page uses has its sentence on the help page", async () => {
  await using bench = await openBench([rule("a", [onEvent("t")])]);
  await bench.post("/api/emit", { type: "t" });
  const visitor = new Visitor(bench);
  const help = (await visitor.get("/help")).text;
  for (const path of PAGES) {
    const { text } = await visitor.get(path);
    for (const [, name] of text.matchAll(/href="\/help#([^"]+)"/g)) assert.ok(help.includes(`id="${name}"`), name);
  }
  assert.match(help, /id="busy"/);
});

Deno.test("a list hears how many newer rows there are, and no row", async () => {
  await using bench = await openBench([rule("work", [onEvent("work")])]);
  await bench.post("/events", { type: "work", subject: "old" });
  const { body } = await bench.ask("GET", "/events", { headers: { accept: "text/html" } });
  const [, path] = /hx-sse:connect="([^"]*)"/.exec(body)!;
  const stream = await connect(bench, path.replaceAll("&amp;", "&"));
  assert.equal(stream.type, "text/event-stream");
  await stream.until(/event: beat/);
  await bench.post("/events", { type: "work", subject: "new" });
  await bench.post("/hooks/none", {});
  const heard = await stream.until(/2 newer/);
  assert.match(heard, /<hx-partial hx-target="#newer" hx-swap="innerMorph"><a href="\/events">2 newer<\/a>/);
  assert.ok(!heard.includes("<tr"));
  await stream.close();
});

Deno.test("a run on the page changes its state in place; only newer runs of the filter are counted", async () => {
  await using bench = await openBench([rule("work", [onEvent("work")]), rule("other", [onEvent("other")])]);
  const { body: { runs: [id] } } = await bench.post("/events", { type: "work" });
  const { body } = await bench.ask("GET", "/runs?rule=work", { headers: { accept: "text/html" } });
  const path = /hx-sse:connect="([^"]*)"/.exec(body)![1].replaceAll("&amp;", "&");
  const stream = await connect(bench, path);
  await bench.post("/events", { type: "other" });
  await stream.until(/queued/);
  await bench.store.claimRuns("test", 9, bench.clock.now());
  await stream.until(/running/);
  await bench.store.finishRun(
    id,
    { state: "failed", error: { name: "E", message: "broke" }, spent: 1 },
    bench.clock.now(),
  );
  const heard = await stream.until(/broke/);
  assert.match(heard, new RegExp(`hx-target="#s-${id}" hx-swap="innerMorph"><a class="word bad"`));
  assert.doesNotMatch(heard, /\d newer/);
  await bench.post("/events", { type: "work" });
  await stream.until(/1 newer/);
  await stream.close();
});

Deno.test("a session has at most four streams, and one that closes makes room", async () => {
  await using bench = await openBench([]);
  const path = "/live?page=events&after=0";
  const streams = await Promise.all(Array.from({ length: 4 }, () => connect(bench, path)));
  assert.deepEqual(streams.map(({ status }) => status), [200, 200, 200, 200]);
  const refused = await bench.ask("GET", path);
  assert.equal(refused.status, 429);
  await streams[0].close();
  const again = await connect(bench, path);
  assert.equal(again.status, 200);
  for (const stream of [...streams.slice(1), again]) await stream.close();
  assert.equal((await bench.ask("GET", "/live?page=constructor")).status, 404);
});

Deno.test("streams end when the program stops", async () => {
  let phase: "ready" | "draining" = "ready";
  await using bench = await openBench([], { phase: () => phase });
  const stream = await connect(bench, "/live?page=events&after=0");
  phase = "draining";
  await stream.until("closed");
});

Deno.test("secrets are masked in what a stream sends", async () => {
  await using bench = await openBench([rule("work", [onEvent("work")])]);
  const { body: { runs: [id] } } = await bench.post("/events", { type: "work" });
  await bench.store.claimRuns("test", 9, bench.clock.now());
  const stream = await connect(bench, `/live?page=runs&live=${id}&after=${id}`);
  const error = { name: "E", message: "Bearer hook-secret was wrong" };
  await bench.store.finishRun(id, { state: "failed", error, spent: 1 }, bench.clock.now());
  const heard = await stream.until(/was wrong/);
  assert.ok(heard.includes("Bearer *** was wrong") && !heard.includes("hook-secret"));
  await stream.close();
});

Deno.test("a stream without a session is refused, not sent to the sign-in", async () => {
  await using bench = await openBench([], { tokenless: false });
  const headers = { accept: "text/html, text/event-stream", "hx-request": "true" };
  assert.equal((await bench.ask("GET", "/live?page=events", { headers })).status, 401);
  assert.equal((await bench.ask("GET", "/events", { headers: { accept: "text/html" } })).status, 303);
});
