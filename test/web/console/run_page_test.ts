import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import type { Json } from "../../../runtime/model/json.ts";
import type { Rule } from "../../../runtime/model/rule.ts";
import type { StepRecord } from "../../../runtime/model/run.ts";
import type { RunEnd, StepEffects } from "../../../runtime/store/store.ts";
import { type Bench, NOW, openBench, rule, step } from "../harness.ts";

const MANUAL = { id: "manual", kind: "manual", at: { line: 1, column: 1 }, args: {} };
const FILE = { "content-type": "application/x-www-form-urlencoded" };

/** A rule of two steps that is started by hand. */
const REFUND = rule("refund", [MANUAL], [{ ...step("http"), id: "pay" }, { ...step("waitFor"), id: "booked" }]);

interface Recorded {
  steps: (Partial<StepRecord> & { path: string; effects?: StepEffects })[];
  end?: Partial<RunEnd>;
  data?: Json;
}

/** A run of the rule with these records. */
async function runWith({ context, store }: Bench, { steps, end, data = {} }: Recorded, of = REFUND): Promise<string> {
  const event = { id: crypto.randomUUID(), type: "manual", data };
  const [{ runs: [run] }] = await context.ingest.fromTrigger({ rule: of.id, trigger: "manual" }, [event]);
  await store.claimRuns("me", 1, NOW);
  for (const { effects = {}, ...record } of steps) {
    const whole: StepRecord = {
      kind: "http",
      state: "succeeded",
      attempts: 1,
      startedAt: NOW,
      endedAt: NOW,
      ...record,
    };
    await store.recordStep(run, whole, effects, NOW);
  }
  if (end) await store.finishRun(run, { state: "succeeded", spent: 5, ...end }, NOW);
  else await store.suspendRun(run, { state: "waiting", waitingFor: "booked", spent: 5 }, NOW);
  return run;
}

const refused = { name: "TerminalError", message: "answered 503 Service Unavailable" };
const FAILED: Recorded = {
  steps: [{ path: "pay", state: "failed", error: refused, input: { http: "POST https://pay.example.org" } }],
  end: { state: "failed", error: refused, failedStep: "pay" },
};
const WAITING: Recorded = {
  steps: [
    { path: "pay", output: { status: 200 } },
    {
      path: "booked",
      kind: "waitFor",
      state: "waiting",
      endedAt: undefined,
      effects: { wait: { kind: "event", types: ["bank.booked"], match: {} } },
    },
  ],
};

/** Requests a page as a browser does. */
async function look({ ask }: Pick<Bench, "ask">, path: string): Promise<{ status: number; body: string }> {
  const { status, body } = await ask("GET", path, { headers: { accept: "text/html" } });
  return { status, body: typeof body === "string" ? body : JSON.stringify(body) };
}

/** Sends the form of a page that has this action, as a browser without scripts does. */
async function press({ ask }: Bench, page: string, action: string, changes: Record<string, string> = {}) {
  const [, form] = new RegExp(`<form method="post" action="${action}">([^]*?)</form>`).exec(page) ?? [];
  assert.ok(form, `the page has no form for ${action}`);
  const inputs = [...form.matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)">/g)].map((
    [, name, value],
  ) => [name, value]);
  const body = new URLSearchParams({ ...Object.fromEntries(inputs), ...changes }).toString();
  const headers = { ...FILE, accept: "text/html", origin: "http://127.0.0.1:8080" };
  const answer = await ask("POST", action, { body, headers });
  return { status: answer.status, body: String(answer.body), location: answer.headers.get("location") };
}

/** The text of a page. */
function textOf(html: string): string {
  return html.replaceAll(/<[^>]*>/g, "").replaceAll("&quot;", '"').replaceAll(/\s+/g, " ");
}

Deno.test("the page of a failed run begins with the error; the failed step is open; a retry resumes it, and is noted", async () => {
  await using bench = await openBench([REFUND]);
  const run = await runWith(bench, FAILED);
  const { status, body } = await look(bench, `/runs/${run}`);
  assert.equal(status, 200);
  const text = textOf(body);
  assert.match(text, /✕ failed 08:00:00 at pay: answered 503 Service Unavailable/);
  assert.match(text, /Retry resumes with step pay, by version vers/);
  assert.match(body, /<tr class="is-bad open" id="step">/);
  assert.match(body, /<button disabled>Cancel<\/button> <span class="soft">it has failed<\/span>/);
  assert.doesNotMatch(body, / style=|<style|onclick|<script>/);
  const pressed = await press(bench, body, `/runs/${run}/retry`);
  assert.deepEqual([pressed.status, pressed.location], [303, `/runs/${run}`]);
  const after = textOf((await look(bench, `/runs/${run}`)).body);
  assert.match(after, /is queued and waits for its turn/);
  assert.match(after, /Retried by an operator: it resumes with step "pay"/);
});

Deno.test("a late click on an old page is 409: nothing is done, and the page says who did what", async () => {
  await using bench = await openBench([REFUND]);
  const run = await runWith(bench, FAILED);
  const { body } = await look(bench, `/runs/${run}`);
  await bench.store.retryRun(run, "anna", NOW);
  await bench.store.claimRuns("me", 1, NOW);
  await bench.store.finishRun(run, { state: "failed", error: refused, failedStep: "pay", spent: 5 }, NOW);
  const late = await press(bench, body, `/runs/${run}/retry`);
  assert.equal(late.status, 409);
  assert.match(
    textOf(late.body),
    /Nothing was done.*Somebody else has acted since this page was opened: 08:00:00 Retried by anna: it resumes with step "pay"/,
  );
  assert.equal((await bench.store.getRun(run))!.run.state, "failed");
  const replayed = await press(bench, body, `/runs/${run}/replay`);
  assert.equal(replayed.status, 409);
  assert.equal((await bench.store.listRuns({ limit: 9 })).length, 1);
});

Deno.test("two clicks on replay are one new run, whose page opens", async () => {
  await using bench = await openBench([REFUND]);
  const run = await runWith(bench, FAILED);
  const { body } = await look(bench, `/runs/${run}`);
  const both = await Promise.all([1, 2].map(() => press(bench, body, `/runs/${run}/replay`)));
  assert.deepEqual(both.map(({ status }) => status).sort(), [303, 409]);
  const [newest] = await bench.store.listRuns({ limit: 9 });
  assert.equal(both.find(({ status }) => status === 303)!.location, `/runs/${newest.id}`);
  assert.match(textOf((await look(bench, `/runs/${newest.id}`)).body), new RegExp(`replays ${run}`));
});

Deno.test("cancel and skip ask on a page of their own, which changes nothing by itself", async () => {
  await using bench = await openBench([REFUND]);
  const run = await runWith(bench, WAITING);
  const page = await look(bench, `/runs/${run}`);
  assert.match(textOf(page.body), /◐ waits for bank\.booked/);
  assert.match(
    page.body,
    new RegExp(`<form action="/runs/${run}/skip"><input type="hidden" name="step" value="booked">`),
  );
  const skip = await look(bench, `/runs/${run}/skip?step=booked`);
  assert.match(
    textOf(skip.body),
    /Step booked no longer waits for bank\.booked: its result is null, and the run continues by version vers/,
  );
  const cancel = await look(bench, `/runs/${run}/cancel`);
  assert.equal((await bench.store.getRun(run))!.run.state, "waiting");
  assert.equal((await press(bench, skip.body, `/runs/${run}/skip`)).status, 303);
  assert.deepEqual(bench.woken, [run]);
  const late = await press(bench, cancel.body, `/runs/${run}/cancel`);
  assert.equal(late.status, 409);
  assert.match(textOf(late.body), /Wait "booked" skipped by an operator/);
  const again = await look(bench, `/runs/${run}/cancel`);
  assert.equal((await press(bench, again.body, `/runs/${run}/cancel`)).status, 303);
  assert.match(textOf((await look(bench, `/runs/${run}`)).body), /was cancelled 08:00:00: Cancelled by an operator/);
  assert.equal((await look(bench, `/runs/${run}/cancel`)).status, 409);
});

Deno.test("of a run with many waits the first ones have a button, and the one that is open", async () => {
  await using bench = await openBench([REFUND]);
  const wait: StepEffects = { wait: { kind: "event", types: ["bank.booked"], match: {} } };
  const steps = Array.from({ length: 50 }, (_, at) => ({
    path: `all[${at}]/booked`,
    kind: "waitFor",
    state: "waiting" as const,
    endedAt: undefined,
    effects: wait,
  }));
  const run = await runWith(bench, { steps });
  const { body } = await look(bench, `/runs/${run}?step=all%5B40%5D%2Fbooked`);
  const skips = [...body.matchAll(/name="step" value="([^"]*)"/g)].map(([, step]) => step);
  assert.deepEqual(skips, ["all[0]/booked", "all[1]/booked", "all[2]/booked", "all[40]/booked"]);
  assert.match(textOf(body), /waits for bank\.booked; waits for bank\.booked; 48 more/);
});

Deno.test("a run says how many versions it is behind, as far as their order is known", async () => {
  await using bench = await openBench([REFUND]);
  const run = await runWith(bench, WAITING);
  const live = bench.context.rules().rules as Map<string, Rule>;
  const facts = async () => /version <code>.*?(?= · work)/.exec((await look(bench, `/runs/${run}`)).body)![0];
  assert.equal(await facts(), "version <code>vers</code>");
  for (const version of ["second", "third"]) await bench.store.putVersions([{ ...REFUND, version }]);
  live.set(REFUND.id, { ...REFUND, version: "third" });
  assert.equal(await facts(), "version <code>vers</code>, 2 behind <code>thir</code>");
  live.set(REFUND.id, { ...REFUND, version: "unknown" });
  assert.equal(await facts(), "version <code>vers</code>, older than the current <code>unkn</code>");
});

Deno.test("a run moves to the version that its page named, or not at all", async () => {
  await using bench = await openBench([REFUND]);
  const run = await runWith(bench, WAITING);
  const live = bench.context.rules().rules as Map<string, Rule>;
  const change = async (version: string) => {
    live.set(REFUND.id, { ...REFUND, version });
    await bench.store.putVersions([{ ...REFUND, version }]);
  };
  await change("second");
  const page = await look(bench, `/runs/${run}/move`);
  assert.match(textOf(page.body), /continues by the current version seco rather than by vers/);
  await change("third");
  const late = await press(bench, page.body, `/runs/${run}/move`);
  assert.equal(late.status, 409);
  assert.match(textOf(late.body), /the current version is thir now/);
  const now = await look(bench, `/runs/${run}/move`);
  assert.equal((await press(bench, now.body, `/runs/${run}/move`)).status, 303);
  assert.equal((await bench.store.getRun(run))!.run.version, "third");
});

Deno.test("an action that another site sends, or without the token of the page, is refused", async () => {
  await using bench = await openBench([REFUND]);
  const run = await runWith(bench, FAILED);
  const { body } = await look(bench, `/runs/${run}`);
  assert.equal((await press(bench, body, `/runs/${run}/retry`, { "csrf-token": "guessed" })).status, 403);
  assert.equal((await bench.store.getRun(run))!.run.state, "failed");
});

Deno.test("a run of 1,000 turns has a small page, and any turn opens by its number", async () => {
  const loop = {
    ...step("each"),
    id: "look",
    children: { then: [{ ...step("http"), id: "get" }, { ...step("log"), id: "keep" }] },
  };
  const looks = rule("looks", [MANUAL], [loop]);
  await using bench = await openBench([looks]);
  const steps = Array.from({ length: 1_000 }, (_, turn): Recorded["steps"] => [
    {
      path: `look[${turn}]/get`,
      ...turn % 100 === 7
        ? { state: "failed", error: { name: "Error", message: `HTTP 50${turn % 3}` } }
        : { output: { status: 200 } },
    },
    { path: `look[${turn}]/keep`, kind: "log" },
  ]).flat();
  const run = await runWith(bench, { steps, end: {} }, looks);
  for (const query of ["", "?step=look%5B507%5D%2Fget"]) {
    const { body } = await look(bench, `/runs/${run}${query}`);
    assert.ok(gzipSync(body).length < 15_000, `${gzipSync(body).length} bytes`);
    const nodes = body.match(/<[a-z]/g)!.length;
    assert.ok(nodes < 1_500, `${nodes} nodes`);
    assert.match(textOf(body), /×1,000 990 ✓ 10 ✕/);
  }
  const { body } = await look(bench, `/runs/${run}`);
  assert.match(textOf(body), /✕ 4× HTTP 501: #7 #307 #607 #907/);
  const turn = await bench.ask("GET", `/runs/${run}?of=look&turn=812`, { headers: { accept: "text/html" } });
  assert.deepEqual([turn.status, turn.headers.get("location")], [303, `/runs/${run}?step=look%5B812%5D#step`]);
  const opened = await look(bench, `/runs/${run}?step=look%5B812%5D`);
  assert.match(textOf(opened.body), /#812.*get http.*200.*keep log/);
  assert.equal((await look(bench, `/runs/${run}?of=look&turn=5000`)).status, 404);
});

Deno.test("of a large value the page shows the beginning, of output the end; both are whole at their address, secrets masked", async () => {
  await using bench = await openBench([REFUND]);
  const lines = Array.from({ length: 2_000 }, (_, at) => `line ${at} <&> hook-secret`).join("\n");
  const run = await runWith(bench, {
    steps: [
      { path: "pay", output: { status: 200, body: "x".repeat(20_000) } },
      { path: "booked", kind: "run", output: { code: 0, stdout: `${lines}\n`, stderr: "", json: null } },
    ],
    end: {},
  });
  const large = await look(bench, `/runs/${run}?step=pay`);
  assert.ok(large.body.length < 16_000);
  assert.match(textOf(large.body), /Output the first 4 kB of 20 kB; all of it/);
  const [, address] = /<a href="([^"]*of=output)">all of it/.exec(large.body.replaceAll("&amp;", "&"))!;
  assert.equal((await bench.ask("GET", address)).body.body.length, 20_000);
  const output = (await look(bench, `/runs/${run}?step=booked`)).body;
  assert.match(textOf(output), /Printed the last 500 of 2,000 lines, \d+ kB; all of it line 1500 &lt;&amp;&gt; \*\*\*/);
  assert.ok(output.includes("line 1999 ") && !output.includes("line 1499 "));
  const raw = await bench.ask("GET", `/runs/${run}/value?step=booked&of=stdout`);
  assert.match(raw.headers.get("content-type")!, /^text\/plain/);
  assert.equal(raw.body, `${lines.replaceAll("hook-secret", "***")}\n`);
  assert.equal((await look(bench, `/runs/${run}/value?step=booked&of=error`)).status, 404);
});

Deno.test("a TypeScript run shows the source of its own version, the line of the step marked", async () => {
  const text = 'step.log("one");\nstep.log("two <b>");\n';
  const map = { version: 3, sources: ["code.ts"], sourcesContent: [text], mappings: "" };
  const bundled = `\n//# sourceMappingURL=data:application/json;base64,${btoa(JSON.stringify(map))}\n`;
  const code: Rule = {
    ...rule("code", [MANUAL]),
    ...{ file: "code.ts", language: "typescript", then: "function", modules: { "": bundled } },
  };
  await using bench = await openBench([code]);
  const run = await runWith(bench, { steps: [{ path: "two <b>", kind: "log", output: null }], end: {} }, code);
  const { body } = await look(bench, `/runs/${run}?step=${encodeURIComponent("two <b>")}`);
  assert.match(textOf(body), /code\.ts version vers/);
  assert.match(body, /<span id="L2" data-at="2" class="marked">step\.log\(&quot;two &lt;b&gt;&quot;\);/);
});

Deno.test("a run that nobody knows is 404", async () => {
  await using bench = await openBench([REFUND]);
  for (const path of ["/runs/none", "/runs/none/cancel", "/runs/none/value"]) {
    assert.equal((await look(bench, path)).status, 404);
  }
});
