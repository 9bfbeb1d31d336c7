import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import type { Run } from "../../../runtime/model/run.ts";
import { fold } from "../../../runtime/web/console/run_list.ts";
import { createWeb } from "../../../runtime/web/web.ts";
import { type Bench, onEvent, openBench, rule } from "../harness.ts";
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
