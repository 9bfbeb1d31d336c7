import assert from "node:assert/strict";
import { onEvent, openBench, rule } from "../harness.ts";
import { connect } from "./stream.ts";

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
