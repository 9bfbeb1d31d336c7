import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import type { Run } from "../../../runtime/model/run.ts";
import { fold } from "../../../runtime/web/console/run_search.ts";
import { createWeb } from "../../../runtime/web/web.ts";
import { type Bench, NOW, onEvent, openBench, rule, step, webhook } from "../harness.ts";
import { BEGAN, traceOf } from "./traces.ts";

const SITE = "http://127.0.0.1:8080";
const PAGE = { headers: { accept: "text/html" } };

async function textOf(bench: Bench, path: string): Promise<string> {
  const { body } = await bench.ask("GET", path, PAGE);
  return body.slice(body.indexOf("<main")).replace(/<[^>]*>/g, " ").replaceAll("&quot;", '"').replace(/\s+/g, " ");
}

/** Sends an event to the rule "work" and ends its run. */
async function end(bench: Bench, subject: string, state: "succeeded" | "failed"): Promise<string> {
  const { body } = await bench.post("/events", { type: "work", subject });
  const [run] = body.runs;
  await bench.store.claimRuns("test", 9, bench.clock.now());
  const error = { name: "Error", message: `no luck with ${subject}` };
  await bench.store.finishRun(run, { state, spent: 5, ...state === "failed" && { error } }, bench.clock.now());
  return run;
}

/** Posts a form as a browser with an open page does. */
async function submit(bench: Bench, page: string, inputs: Record<string, string> = {}) {
  const { body } = await bench.ask("GET", page, PAGE);
  const form = /<form method="post" action="\/runs\/bulk">[^]*?<\/form>/.exec(body)![0];
  const hidden = [...form.matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)">/g)].map(([, name, value]) =>
    [name, value] as const
  );
  const all = { ...Object.fromEntries(hidden), ...inputs };
  return { send: () => send(bench.web, all), all };
}

function send(web: Bench["web"], inputs: Record<string, string>): Promise<Response> {
  const headers = { ...PAGE.headers, origin: SITE };
  return web.fetch(new Request(`${SITE}/runs/bulk`, { method: "POST", body: new URLSearchParams(inputs), headers }));
}

function run(rule: string, state: Run["state"], at: number): Run {
  return { ...traceOf([]).run, id: String(at), rule, state, createdAt: BEGAN - at };
}

Deno.test("equal outcomes of a rule in a row fold, failures and live runs never", () => {
  const shape = (runs: [string, Run["state"]][]) =>
    fold(runs.map(([rule, state], at) => run(rule, state, at))).map((row) =>
      `${row[0].rule} ${row[0].state} ${row.length}`
    );
  assert.deepEqual(shape([["a", "succeeded"], ["a", "succeeded"], ["a", "succeeded"], ["b", "succeeded"]]), [
    "a succeeded 3",
    "b succeeded 1",
  ]);
  assert.deepEqual(shape([["a", "succeeded"], ["a", "succeeded"]]), ["a succeeded 1", "a succeeded 1"]);
  for (const state of ["failed", "waiting", "running", "queued"] as const) {
    assert.equal(shape([["a", state], ["a", state], ["a", state], ["a", state]]).length, 4, state);
  }
  assert.deepEqual(shape([["a", "succeeded"], ["a", "failed"], ["a", "succeeded"], ["a", "succeeded"]]).length, 4);
});

Deno.test("the page of runs folds hundreds of successes, and shows each failure with its error", async () => {
  await using bench = await openBench([rule("work", [onEvent("work")])]);
  await end(bench, "early", "failed");
  for (let at = 0; at < 288; at++) await end(bench, `s${at}`, "succeeded");
  await end(bench, "late", "failed");
  const text = await textOf(bench, "/runs");
  assert.match(text, /✕ failed work late no luck with late .*×288 succeeded .*✕ failed work early no luck with early/);
  assert.match(text, /✓ 288 succeeded ✕ 2 failed/);
  assert.ok(!text.includes("Older"), "all of it is one page");
  const failed = await textOf(bench, "/runs?state=failed");
  assert.ok(failed.includes("late") && failed.includes("early") && !failed.includes("×288"));
  const succeeded = await textOf(bench, "/runs?state=succeeded");
  assert.ok(
    succeeded.includes("s287") && succeeded.includes("s268") && !succeeded.includes("s267 "),
    "20 rows, none folded",
  );
  assert.match(await textOf(bench, "/runs?subject=late"), /✕ failed work late/);
  assert.match(await textOf(bench, "/runs?subject=nobody"), /No run is like that/);
});

Deno.test("all failed runs of a list are retried: the page fixes them, takes a reason, and the notes name the person", async () => {
  await using bench = await openBench([rule("work", [onEvent("work")])]);
  const failed = [await end(bench, "a", "failed"), await end(bench, "b", "failed")];
  await end(bench, "c", "succeeded");
  const page = await textOf(bench, "/runs/bulk?do=retry&rule=work");
  assert.match(page, /Retry 2 runs\?/);
  assert.match(page, /2 of work/);
  assert.match(page, /Created from 21 Nov 2026/);
  const { send } = await submit(bench, "/runs/bulk?do=retry&rule=work", { reason: "the bank was down" });
  // Fails after the page was made, so the action does not apply to it.
  const later = await end(bench, "d", "failed");
  await bench.store.retryRun(failed[0], "somebody else", bench.clock.now());
  const { status, headers } = await send();
  assert.equal(status, 303);
  const result = await textOf(bench, headers.get("location")!);
  assert.match(result, /1 run retried By an operator, .*: the bank was down/);
  assert.match(result, new RegExp(`1 run refused ${failed[0]} Cannot retry run ${failed[0]}`));
  assert.equal((await bench.store.getRun(later))?.run.state, "failed");
  const { run, notes } = (await bench.store.getRun(failed[1]))!;
  assert.notEqual(run.state, "failed");
  const { text, by, reason, bulk } = notes.at(-1)!;
  assert.match(text, /^Retried by an operator: it resumes/);
  assert.deepEqual([by, reason, bulk?.runs], ["an operator", "the bank was down", 2]);
  const shown = await textOf(bench, `/runs/${failed[1]}`);
  assert.match(shown, /after its last recorded step, as one of 2 runs · reason: the bank was down/);
});

Deno.test("a bulk replay that is sent twice is done once", async () => {
  await using bench = await openBench([rule("work", [onEvent("work")])]);
  await end(bench, "a", "succeeded");
  await end(bench, "b", "succeeded");
  const { send } = await submit(bench, "/runs/bulk?do=replay", { reason: "again" });
  const sent = await Promise.all([send(), send()]);
  assert.deepEqual(sent.map(({ status }) => status), [303, 303]);
  assert.equal((await bench.store.listRuns({ limit: 10 })).length, 4);
});

Deno.test("a bulk action that a crash ended is sent again after a restart: no run is replayed twice", async () => {
  await using bench = await openBench([rule("work", [onEvent("work")])]);
  const runs: string[] = [];
  for (const subject of ["a", "b", "c"]) runs.push(await end(bench, subject, "succeeded"));
  const { all } = await submit(bench, "/runs/bulk?do=replay", { reason: "again" });
  // The program dies when two are on disk: the third never comes.
  const { operators } = bench.context;
  const replay = operators.replay.bind(operators);
  operators.replay = (run, ...rest) => run === runs[0] ? new Promise(() => {}) : replay(run, ...rest);
  void send(createWeb(bench.context), all);
  while ((await bench.store.listRuns({ limit: 10 })).length < 5) await new Promise((resolve) => setTimeout(resolve, 1));
  operators.replay = replay;
  const web = createWeb(bench.context);
  const location = (await send(web, all)).headers.get("location")!;
  const result = await (await web.fetch(new Request(`${SITE}${location}`, PAGE))).text();
  assert.match(result, /3 runs replayed[^]*2 runs of them by the same form/);
  assert.equal((await bench.store.listRuns({ limit: 10 })).length, 6);
});

Deno.test("a bulk action says that its search ended early, before and after", async () => {
  await using bench = await openBench([rule("work", [onEvent("work")])]);
  for (const subject of ["a", "b", "c"]) {
    await end(bench, subject, "failed");
    await bench.clock.advanceTo(bench.clock.now() + 60_000);
    await bench.store.checkpoint();
  }
  const search = bench.store.searchRuns.bind(bench.store);
  bench.context.store.searchRuns = (asked) => search({ ...asked, parts: 2 });
  const page = await textOf(bench, "/runs/bulk?do=retry");
  assert.match(page, /Retry 2 runs\?.*The search looked at a part of history only, back to 21 Nov 2026/);
  const { send } = await submit(bench, "/runs/bulk?do=retry", { reason: "now" });
  const result = await textOf(bench, (await send()).headers.get("location")!);
  assert.match(result, /2 runs retried.*a part of history only: older runs of the list are not among these/);
});

Deno.test("all live runs of a list are cancelled", async () => {
  await using bench = await openBench([rule("work", [onEvent("work")])]);
  for (const subject of ["a", "b"]) await bench.post("/events", { type: "work", subject });
  const { send } = await submit(bench, "/runs/bulk?do=cancel&subject=a", { reason: "wrong" });
  assert.equal((await send()).status, 303);
  const states = (await bench.store.listRuns({ limit: 10 })).map(({ event, state }) => [event.subject, state]);
  assert.deepEqual(states, [["b", "queued"], ["a", "cancelled"]]);
});

Deno.test("a bulk action needs a reason, our own page, and somebody in its list", async () => {
  await using bench = await openBench([rule("work", [onEvent("work")])]);
  assert.match(await textOf(bench, "/runs/bulk?do=retry"), /Nothing to retry/);
  const id = await end(bench, "a", "failed");
  const { send, all } = await submit(bench, "/runs/bulk?do=retry", { reason: "  " });
  assert.equal((await send()).status, 400);
  const forged = await bench.ask("POST", "/runs/bulk", {
    body: new URLSearchParams({ ...all, reason: "r" }),
    headers: { ...PAGE.headers, origin: "https://evil.example" },
  });
  assert.equal(forged.status, 403);
  const unsigned = await bench.ask("POST", "/runs/bulk", {
    body: new URLSearchParams({ ...all, reason: "r", "csrf-token": "forged" }),
    headers: { ...PAGE.headers, origin: "http://127.0.0.1:8080" },
  });
  assert.equal(unsigned.status, 403);
  assert.equal((await bench.store.getRun(id))?.run.state, "failed");
});

Deno.test("a page of folded rows stays small: under 15 kB zipped, with fewer than 1,500 elements", async () => {
  const rules = Array.from({ length: 5 }, (_, at) => rule(`team/some-rule-${at}`, [onEvent(`type.${at}`)]));
  await using bench = await openBench(rules);
  for (let row = 0; row < 25; row++) {
    for (let at = 0; at < 24; at++) {
      await bench.post("/events", { type: `type.${row % 5}`, subject: `customer-${row}-${at}` });
    }
  }
  const runs = await bench.store.listRuns({ limit: 1_000 });
  await Promise.all(
    runs.map(({ id }) => bench.store.finishRun(id, { state: "succeeded", spent: 1 }, bench.clock.now())),
  );
  const { body } = await bench.ask("GET", "/runs", PAGE);
  assert.equal([...body.matchAll(/×24 succeeded/g)].length, 20);
  const elements = [...body.matchAll(/<[a-z]/g)].length;
  assert.ok(elements < 1_500, `${elements} elements`);
  assert.ok(gzipSync(body).length < 15_000, `${gzipSync(body).length} bytes`);
});

/** The page as a browser gets it, without tags. */
async function htmlOf(bench: Bench, path: string): Promise<string> {
  return (await bench.ask("GET", path, { headers: { accept: "text/html" } })).body;
}

Deno.test("the page of events says why each one started something or nothing, and lists them by verdict", async () => {
  await using bench = await openBench([rule("shop/pay", [onEvent("order.paid")]), rule("off", [onEvent("order.*")])]);
  await bench.post("/events", { type: "order.paid", subject: "A-1" });
  await bench.post("/events", { type: "nobody.cares", subject: "A-2" });
  const all = await textOf(bench, "/events");
  assert.match(all, /nobody\.cares A-2 – unmatched no rule listens for this type/);
  assert.match(all, /order\.paid A-1 ✓ started runs of shop\/pay , off/);
  assert.match(all, /✓ 2 started/);
  const unmatched = await textOf(bench, "/events?verdict=unmatched");
  assert.ok(unmatched.includes("nobody.cares") && !unmatched.includes("order.paid"));
  const ofRule = await textOf(bench, "/events?rule=off");
  assert.match(ofRule, /✓ started run of off · 1 more/, "a list of a rule says what that rule did");
  assert.match(await textOf(bench, "/events?subject=nobody"), /No event is like that/);
  assert.match(await textOf(bench, "/events?subject=nobody&rule=off"), /Filter \(2\)/);
  assert.match(await textOf(bench, "/events?text=A-2"), /nobody\.cares/);
  const { status, body } = await bench.ask("GET", "/events?from=soon", { headers: { accept: "text/html" } });
  assert.equal(status, 400);
  assert.match(body, /Cannot read the time (&quot;|")soon/);
});

Deno.test("events have pages of 20, and new ones do not move the next page", async () => {
  await using bench = await openBench([]);
  for (let at = 0; at < 45; at++) await bench.post("/events", { type: "seen", id: `e${at}`, subject: `s${at}-` });
  const subjects = async (path: string) => {
    const html = await htmlOf(bench, path);
    const older = /rel="next" href="([^"]*)"/.exec(html)?.[1].replaceAll("&amp;", "&");
    return { ids: [...html.matchAll(/>s(\d+)-</g)].map(([, at]) => Number(at)), older };
  };
  const first = await subjects("/events");
  assert.deepEqual([first.ids.length, first.ids[0], first.ids.at(-1)], [20, 44, 25]);
  for (let at = 45; at < 50; at++) await bench.post("/events", { type: "seen", subject: `s${at}-` });
  const second = await subjects(first.older!);
  assert.deepEqual([second.ids.length, second.ids[0], second.ids.at(-1)], [20, 24, 5]);
  const third = await subjects(second.older!);
  assert.deepEqual([third.ids.length, third.ids.at(-1), third.older], [5, 0, undefined]);
});

Deno.test("refused requests stand among the events: path, status, reason, sender and size, never body or credentials", async () => {
  const rules = [rule("pay", [webhook("/pay", { auth: "bearer", secret: ["HOOK"] })])];
  await using bench = await openBench(rules);
  const send = (path: string, headers: Record<string, string> = {}, method = "POST") => {
    const body = method === "POST" ? "the-body" : undefined;
    const all = { "content-length": "8", ...headers };
    const request = new Request(`http://127.0.0.1:8080${path}`, { method, body, headers: all });
    return bench.web.fetch(request, () => "10.0.0.7");
  };
  assert.equal((await send("/hooks/wrong?token=in-query")).status, 404);
  await bench.clock.advanceTo(bench.clock.now() + 1_000);
  await bench.post("/events", { type: "between" });
  await bench.clock.advanceTo(bench.clock.now() + 1_000);
  for (let again = 0; again < 3; again++) {
    assert.equal((await send("/hooks/pay", { authorization: "Bearer wrong-secret" })).status, 401);
  }
  assert.equal((await send("/hooks/pay", {}, "GET")).status, 405);
  const all = await textOf(bench, "/events");
  assert.match(all, /GET \/hooks\/pay ✕ refused 405: This webhook accepts POST/);
  assert.match(all, /POST \/hooks\/pay ✕ refused 401: .*×3 · from 10\.0\.0\.7 · 8 bytes/);
  const order = ["405", "401", "between", "404"].map((mark) => all.indexOf(mark));
  assert.deepEqual(order, [...order].sort((a, b) => a - b), "in order of time");
  for (const hidden of ["the-body", "wrong-secret", "in-query"]) assert.ok(!all.includes(hidden), hidden);
  const refused = await textOf(bench, "/events?verdict=refused");
  assert.ok(refused.includes("404") && !refused.includes("between"));
  assert.ok(!(await textOf(bench, "/events?type=between")).includes("404"));
});

Deno.test("a status that a rule replies is no refusal", async () => {
  await using bench = await openBench([rule("pay", [webhook("/pay")], [step("reply")])]);
  const answer = bench.post("/hooks/pay", {});
  let claimed;
  while (claimed === undefined) [claimed] = await bench.store.claimRuns("test", 1, NOW);
  const reply = { status: 404, headers: {}, body: "gone" };
  const record = { path: "reply", kind: "reply", state: "succeeded", attempts: 1, startedAt: NOW } as const;
  await bench.store.recordStep(claimed.run.id, record, { reply }, NOW);
  bench.context.replies.answered(claimed.run.event, reply);
  assert.equal((await answer).status, 404);
  assert.deepEqual(bench.context.refused.list(10), []);
});

Deno.test("the ring keeps the last 1,000 refused requests", async () => {
  await using bench = await openBench([]);
  for (let at = 0; at < 1_005; at++) await bench.ask("POST", `/hooks/none-${at}`);
  const kept = bench.context.refused.list(2_000);
  assert.deepEqual([kept.length, kept[0].path, kept[999].path], [1_000, "/hooks/none-1004", "/hooks/none-5"]);
});

Deno.test("an event's page has each rule's verdict, its data, and the chain of causes and effects", async () => {
  await using bench = await openBench([rule("first", [webhook("/in")]), rule("second", [onEvent("next")])]);
  await bench.post("/hooks/in", { deep: { value: 7 } });
  const [first] = await bench.store.listRuns({ limit: 1 });
  await bench.clock.advanceTo(bench.clock.now() + 1_000);
  await bench.context.ingest.publish({
    type: "next",
    id: "n",
    source: "/rules/first",
    time: new Date(bench.clock.now()).toISOString(),
    data: "x".repeat(20_000),
    cause: { depth: 1, run: first.id },
  });
  const [next, webhookEvent] = await bench.store.listEvents({ limit: 2 });
  const cause = await textOf(bench, `/events/${webhookEvent.key}`);
  assert.match(cause, /webhook started a run/);
  assert.match(cause, /"value": ?7/);
  assert.match(cause, /○ queued first .* caused next/);
  const effect = await textOf(bench, `/events/${next.key}`);
  assert.match(effect, /webhook .* started first , which caused next .*queued second/);
  assert.match(effect, /the first 4 kB of 20 kB; all of it/);
  assert.ok(effect.length < 6_000);
  const raw = await bench.ask("GET", `/events/${next.key}/data`);
  assert.equal(raw.body.length, 20_000);
  const run = await textOf(bench, `/runs/${first.id}`);
  assert.match(run, /It caused next .*✓ started/);
  const byRun = await bench.ask("GET", `/events/${first.id}`, { headers: { accept: "text/html" } });
  assert.deepEqual([byRun.status, byRun.headers.get("location")], [302, `/events/${webhookEvent.key}`]);
  assert.equal((await bench.ask("GET", "/events/7", { headers: { accept: "text/html" } })).status, 404);
});

Deno.test("an id or a subject is enough: a single hit opens", async () => {
  await using bench = await openBench([rule("shop/pay", [onEvent("order.paid")])]);
  await bench.post("/events", { type: "order.paid", id: "sent-1", subject: "A-1" });
  await bench.post("/events", { type: "order.paid", id: "own-id", source: "/elsewhere", subject: "A-2" });
  await bench.post("/events", { type: "order.seen", id: "sent-3", subject: "A-2" });
  const [run] = await bench.store.listRuns({ limit: 1 });
  const events = await bench.store.listEvents({ limit: 3 });
  const to = async (q: string) => {
    const { status, headers } = await bench.ask("GET", `/go?q=${encodeURIComponent(q)}`, {
      headers: { accept: "text/html" },
    });
    return status === 303 ? headers.get("location") : status;
  };
  assert.equal(await to(run.id), `/runs/${run.id}`);
  assert.equal(await to(events[0].key), `/events/${events[0].key}`);
  assert.equal(await to(" shop/pay "), "/rules/shop/pay");
  assert.equal(await to("sent-1"), `/events/${events[2].key}`);
  assert.equal(await to("own-id"), `/events/${events[1].key}`, "by an id from a source that no rule names");
  assert.equal(await to("A-1"), `/events/${events[2].key}`);
  assert.match(await textOf(bench, "/go?q=A-2"), /Events .*order\.seen.*order\.paid.* Runs .*shop\/pay/);
  assert.match(await textOf(bench, "/go?q=nothing"), /Nothing has this id or this subject/);
});

Deno.test("times of a filter are in the viewer's zone", async () => {
  await using bench = await openBench([]);
  await bench.post("/events", { type: "early" });
  await bench.clock.advanceTo(bench.clock.now() + 2 * 3_600_000);
  await bench.post("/events", { type: "late" });
  const seen = async (query: string, zone = "UTC") => {
    const headers = { accept: "text/html", cookie: `whenthen_zone=${encodeURIComponent(zone)}` };
    const { body } = await bench.ask("GET", `/events?${query}`, { headers });
    return ["early", "late"].filter((type) => body.includes(`>${type}<`));
  };
  assert.equal(new Date(NOW).toISOString(), "2026-11-21T08:00:00.000Z");
  assert.deepEqual(await seen("from=09:00"), ["late"]);
  assert.deepEqual(await seen("from=09:00", "Europe/Berlin"), ["early", "late"]);
  assert.deepEqual(await seen("to=09:30", "Europe/Berlin"), ["early"]);
  assert.deepEqual(await seen("from=1h"), ["late"]);
  assert.deepEqual(await seen("from=2026-11-21T08:30Z"), ["late"]);
  assert.deepEqual(await seen("from=2026-11-21&to=2026-11-21+09:00"), ["early"]);
});

Deno.test("the text of events and of refused requests is searched as it is shown: no secret can be guessed by it", async () => {
  await using bench = await openBench([]);
  await bench.post("/events", { type: "seen", subject: "S-1", data: { key: "hook-secret", note: "in the clear" } });
  await bench.ask("POST", "/hooks/with-hook-secret", {});
  for (const text of ["hook-s", "hook-secret", "k-secret"]) {
    assert.match(await textOf(bench, `/events?text=${text}`), /No event is like that/, text);
    assert.deepEqual((await bench.ask("GET", `/api/events?text=${text}`)).body, [], text);
  }
  assert.match(await textOf(bench, "/events?text=in%20the%20clear"), /S-1/);
  assert.match(await textOf(bench, "/events?text=with-"), /with-\*\*\*/);
});
