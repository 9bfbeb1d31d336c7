import assert from "node:assert/strict";
import type { Problem } from "../../../runtime/model/problem.ts";
import type { Field } from "../../../runtime/model/rule.ts";
import type { Bench } from "../harness.ts";
import { NOW, onEvent, openBench, rule } from "../harness.ts";
import { ANNA, OPERATOR, Visitor } from "./visitor.ts";

/** Ends the oldest run that is queued. */
async function endRun({ store, clock }: Bench, state: "succeeded" | "failed", message = "no route"): Promise<string> {
  const [{ run }] = await store.claimRuns("me", 1, clock.now());
  const error = state === "failed" ? { error: { name: "Error", message } } : {};
  await store.finishRun(run.id, { state, spent: 40, ...error }, clock.now() + 1_000);
  return run.id;
}

/** The rules on a page, from top to bottom. */
function listed(text: string): string[] {
  return [...text.matchAll(/<td class="grow cut"><div><a href="\/rules\/([^"]+)">/g)].map(([, id]) => id);
}

const BROKEN: Problem = {
  severity: "error",
  file: "broken.yaml",
  at: { line: 1, column: 9 },
  message: 'expected one of "cron", got "evry"',
};

Deno.test("what needs somebody stands first: broken, failing, overdue, waiting, paused, then the rest", async () => {
  const rules = ["calm", "fails", "late", "stopped", "waits"].map((id) => rule(id, [onEvent(id)]));
  await using bench = await openBench(rules);
  const view = bench.context.rules();
  Object.assign(bench.context, {
    rules: () => ({ ...view, broken: new Map([["broken.yaml", "broken"]]), problems: [BROKEN] }),
  });
  const { store, clock } = bench;
  await bench.post("/api/emit", { type: "fails" });
  const failed = await endRun(bench, "failed", "no route to <b>host</b>");
  for (const type of ["waits", "late"]) {
    await bench.post("/api/emit", { type });
    const [{ run }] = await store.claimRuns("me", 1, clock.now());
    const due = type === "late" ? NOW + 60_000 : NOW + 86_400_000;
    const record = { path: "paid", kind: "waitFor", state: "waiting", attempts: 1, startedAt: NOW } as const;
    const wait = { kind: "event", types: ["payment.received"], match: {} } as const;
    await store.recordStep(run.id, record, { wait: { ...wait, types: [...wait.types] } }, clock.now());
    await store.suspendRun(run.id, { state: "waiting", waitingFor: "payment.received", due, spent: 1 }, clock.now());
  }
  await bench.post("/api/rules/stopped/pause", { by: "ada", reason: "floods" });
  await clock.advanceTo(NOW + 300_000);
  const visitor = new Visitor(bench);
  const { text } = await visitor.get("/");
  assert.deepEqual(listed(text), ["broken", "fails", "late", "waits", "stopped", "calm"]);
  assert.match(text, /got &quot;evry&quot;/);
  assert.ok(text.includes(`<a href="/runs/${failed}">`), "the failed run is one click away");
  assert.match(text, /no route to &lt;b&gt;host&lt;\/b&gt;/);
  assert.match(text, /1 run should have resumed since/);
  assert.match(text, /1 run<\/a> waits for payment\.received/);
  assert.match(text, /floods \(ada\)/);
  assert.match(text, /<b>1<\/b> failing/);
  const failing = await visitor.get("/rules?state=failing");
  assert.deepEqual(listed(failing.text), ["fails"]);
  assert.deepEqual(listed((await visitor.get("/rules?text=AI")).text), ["fails", "waits"]);
  assert.match((await visitor.get("/rules?text=nobody")).text, /No rule is like that/);
});

Deno.test("a rule whose last run succeeded again needs nobody, and its strip still shows the failure", async () => {
  await using bench = await openBench([rule("a", [onEvent("t")])]);
  for (const state of ["failed", "succeeded"] as const) {
    await bench.post("/api/emit", { type: "t" });
    await endRun(bench, state);
    await bench.clock.advanceTo(bench.clock.now() + 10_000);
  }
  const { text } = await new Visitor(bench).get("/rules");
  assert.match(text, /1 of the last 2 runs failed/);
  assert.match(text, /<b>0<\/b> failing/);
});

Deno.test("many rules come in pages, and the first page shows fourteen", async () => {
  const rules = Array.from({ length: 120 }, (_, index) => rule(`r${String(index).padStart(3, "0")}`, [onEvent("t")]));
  await using bench = await openBench(rules);
  const visitor = new Visitor(bench);
  const overview = (await visitor.get("/")).text;
  assert.equal(listed(overview).length, 14);
  assert.match(overview, /106 more rules/);
  const seen: string[] = [];
  for (let path: string | undefined = "/rules"; path !== undefined;) {
    const { text } = await visitor.get(path);
    seen.push(...listed(text));
    path = /<a rel="next" href="([^"]+)"/.exec(text)?.[1].replaceAll("&amp;", "&");
  }
  assert.deepEqual(seen, rules.map(({ id }) => id));
});

Deno.test("an operator pauses a rule with a reason; it is shown, kept and counted, until somebody resumes it", async () => {
  await using bench = await openBench([rule("shop/refund", [onEvent("refund")])], {
    tokenless: false,
    tokens: ["operators-token"],
  });
  bench.people.push(structuredClone(OPERATOR), structuredClone(ANNA));
  const path = "/rules/shop/refund";
  const olga = new Visitor(bench);
  await olga.signIn("olga");
  const without = await olga.submit(path, `${path}/pause`, { reason: "  " });
  assert.equal(without.status, 422);
  assert.match(without.text, /A reason is needed/);
  const paused = await olga.submit(path, `${path}/pause`, { reason: "the shop <moves>" });
  assert.deepEqual([paused.status, paused.location], [303, path]);
  assert.deepEqual(await bench.store.listPaused(), { "shop/refund": "the shop <moves> (olga)" });
  const shown = await olga.get(path);
  assert.match(shown.text, /paused<\/a>\s*<p class="wrap">the shop &lt;moves&gt; \(olga\)/);

  const headers = { authorization: "Bearer operators-token" };
  const { body } = await bench.ask("POST", "/api/emit", {
    body: JSON.stringify({ type: "refund" }),
    headers,
  });
  assert.equal(body.verdicts[0].verdict.kind, "disabled");
  assert.match((await olga.get(path)).text, />1<\/a><\/td><td class="grow"><a class="word off" href="\/help#disabled"/);

  const [, token] = /name="csrf-token" value="([^"]+)"/.exec(shown.text)!;
  const again = await olga.post(`${path}/pause`, { reason: "twice", "csrf-token": token });
  assert.equal(again.status, 409);
  assert.match(again.text, /paused already: the shop &lt;moves&gt; \(olga\)/);
  assert.equal((await olga.submit(path, `${path}/resume`)).status, 303);
  assert.deepEqual(await bench.store.listPaused(), {});
  assert.equal((await olga.post(`${path}/resume`, { "csrf-token": token })).status, 409);
  assert.equal((await olga.post("/rules/nothing/pause", { reason: "x", "csrf-token": token })).status, 404);
});

Deno.test("who is no operator cannot pause a rule", async () => {
  await using bench = await openBench([rule("a", [onEvent("t")])], { tokenless: false });
  bench.people.push(structuredClone(ANNA));
  const anna = new Visitor(bench);
  await anna.signIn("anna");
  const [, token] = /name="csrf-token" value="([^"]+)"/.exec((await anna.get("/forms")).text)!;
  const refused = await anna.post("/rules/a/pause", { reason: "I want to", "csrf-token": token });
  assert.equal(refused.status, 403);
  assert.match(refused.text, /Only for operators/);
  assert.deepEqual(await bench.store.listPaused(), {});
});

Deno.test("the page of a rule shows its source, its tests and its config, without secrets", async () => {
  await using bench = await openBench([rule("ops/a", [onEvent("t")])]);
  const fields: Record<string, Field> = {
    keep: { type: "integer", required: true },
    key: { type: "text", required: true },
  };
  const entries = [{ key: "keep", value: 7, from: "config.yaml" }, {
    key: "key",
    value: "hook-secret",
    from: "default",
  }];
  const config = { rule: "ops/a", file: "ops/a.yaml", fields, editors: [], entries, refused: [] };
  const view = bench.context.rules();
  bench.context.rules = () => ({ ...view, configs: new Map([["ops/a", config]]) });
  bench.files["ops/a.yaml"] = [
    "when: { event: t }",
    "then: [{ log: hook-secret <b> }]",
    "tests:",
    "  - name: one",
    "    do: []",
    "  - name: two",
    "    do: []",
    "",
  ].join("\n");
  const visitor = new Visitor(bench);
  const source = (await visitor.get("/rules/ops/a")).text;
  assert.match(source, /data-at="2">then: \[{ log: \*\*\* &lt;b&gt; }\]/);
  const tests = (await visitor.get("/rules/ops/a?see=tests")).text;
  assert.match(tests, /2 tests\./);
  assert.match(tests, /data-at="4"> {2}- name: one/);
  assert.doesNotMatch(tests, /data-at="2"/);
  const shown = (await visitor.get("/rules/ops/a?see=config")).text;
  assert.match(shown, /keep<\/td><td class="grow mono">7<\/td><td class="why soft">From config\.yaml/);
  assert.match(shown, /key<\/td><td class="grow mono">\*\*\*</);
  delete bench.files["ops/a.yaml"];
  assert.match((await visitor.get("/rules/ops/a")).text, /cannot be read/);
  assert.match((await visitor.get("/rules/ops/a?see=tests")).text, /It has no tests/);
});

Deno.test("the page of a rule draws its last runs with work and wait apart, each leading to its run", async () => {
  await using bench = await openBench([rule("a", [onEvent("t")])]);
  const visitor = new Visitor(bench);
  assert.match((await visitor.get("/rules/a")).text, /It has not run yet/);
  await bench.post("/api/emit", { type: "t" });
  const { store, clock } = bench;
  const [{ run }] = await store.claimRuns("me", 1, clock.now());
  await store.suspendRun(run.id, { state: "waiting", waitingFor: "a day", due: NOW, spent: 30 }, clock.now());
  await clock.advanceTo(NOW + 86_400_000);
  await store.claimRuns("me", 1, clock.now());
  await store.finishRun(run.id, { state: "succeeded", spent: 40 }, clock.now());
  const { text } = await visitor.get("/rules/a");
  assert.match(
    text,
    new RegExp(`<a href="/runs/${run.id}"[^>]*><title>succeeded: work 40 ms, wait 23 h 59 min</title>`),
  );
});

Deno.test("a rule that is not there is 404, for people with a page", async () => {
  await using bench = await openBench([]);
  const { status, text } = await new Visitor(bench).get("/rules/nothing/here");
  assert.equal(status, 404);
  assert.match(text, /There is no such rule/);
  assert.match((await new Visitor(bench).get("/")).text, /There are no rules yet/);
});
