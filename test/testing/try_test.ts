import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { runCommand as run } from "../bin/run_command.ts";
import type { App } from "../../runtime/app/app.ts";
import type { TryReport } from "../../runtime/testing/try_rule.ts";
import { until } from "../e2e/until.ts";
import { type Answered, ask, Folder, Peer } from "../sources/app.ts";

const EXAMPLES = new URL("../../examples", import.meta.url).pathname;

async function tryIn(folder: Folder, ...words: string[]): Promise<TryReport> {
  const { out, complaints } = await run("--data", join(folder.root, "data"), "try", ...words, "--json");
  assert.equal(complaints, "");
  return JSON.parse(out);
}

async function send(app: App, path: string, body: unknown): Promise<Answered> {
  const headers = { host: "127.0.0.1:8080", "content-type": "application/json" };
  const request = new Request(`http://127.0.0.1:8080${path}`, { method: "POST", headers, body: JSON.stringify(body) });
  const response = await app.web.fetch(request, () => "127.0.0.1");
  assert.ok(response.ok, await response.clone().text());
  return await response.json();
}

/** All files below a folder, with hashes of their contents. */
async function contents(folder: string): Promise<Record<string, string>> {
  const files = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  const paths = files.map(({ parentPath, name }) => join(parentPath, name)).sort();
  const hashes = await Promise.all(paths.map(async (path) => {
    return [path, createHash("sha256").update(await readFile(path)).digest("hex")] as const;
  }));
  return Object.fromEntries(hashes);
}

async function example(name: string, ...files: string[]): Promise<Record<string, string>> {
  const texts = await Promise.all(files.map(async (file) => {
    return [`${name}/${file}`, await readFile(join(EXAMPLES, name, file), "utf8")] as const;
  }));
  return Object.fromEntries(texts);
}

const ended = (app: App, count: number) =>
  until(
    "the runs to end",
    () => ask(app, "/api/runs?limit=500"),
    (runs: Answered[]) => runs.filter(({ state }) => state === "succeeded" || state === "failed").length === count,
  );

Deno.test("try says of rules of the examples what their runs have really done, and touches nothing", async () => {
  await using peer = await Peer.start();
  peer.answer = ({ url = "" }, response) => {
    if (url.startsWith("/first")) return void response.writeHead(503).end("down");
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ USD: 1.07, id: `in ${url}` }));
  };
  process.env.CHAT_URL = peer.url;
  await using folder = await Folder.with({
    ...await example("05-events-and-actions", "invoice.yaml", "warehouse.yaml", "lib/tell.yaml"),
    ...await example("06-on-error", "rates.yaml"),
    ...await example("14-refund-approval", "refund.yaml"),
    ...await example("18-payment", "order.yaml", "order_in_code.ts"),
    "whenthen.yaml": await readFile(join(EXAMPLES, "14-refund-approval/whenthen.yaml"), "utf8"),
    "config.yaml": `
06-on-error/rates: { first: "${peer.url}/first", second: "${peer.url}/second" }
14-refund-approval/refund: { bank: "${peer.url}" }
18-payment/order: { warehouse: "${peer.url}" }
18-payment/order_in_code: { warehouse: "${peer.url}" }
`,
  });
  const app = await folder.open();
  await app.start();
  const emit = (type: string, data: unknown, id?: string) => send(app, "/api/emit", { type, data, id });
  try {
    await emit("rates.wanted", {});
    await emit("order.created", { amount: 50, count: 2, item: "roof" }, "A1");
    await emit("order.created", { amount: 5_000, count: 1, item: "wall" }, "A2");
    await emit("refund.requested", { order: "A1", amount: 20 });
    await emit("refund.requested", { order: "A2", amount: 250 });
    await emit("order.placed", { id: "B1", amount: 40 });
    await emit("order.wanted", { id: "B2", amount: 40 });
    for (const order of ["B1", "B2"]) await emit("payment.received", { order });
    const forms = await until("the form", () => ask(app, "/api/forms"), (forms: Answered[]) => forms.length === 1);
    await send(app, `/api/forms/${forms[0].id}`, { as: "anna", values: { decision: "reject", reason: "Used" } });
    await ended(app, 8);
  } catch (error) {
    await app.stop();
    throw error;
  }

  const rules = [
    "06-on-error/rates",
    "05-events-and-actions/invoice",
    "05-events-and-actions/warehouse",
    "14-refund-approval/refund",
    "18-payment/order",
    "18-payment/order_in_code",
  ];
  const requests = peer.requests.length;
  const eventOf: Record<string, string> = {};
  const trace = (id: string) => ask(app, `/api/runs/${id}`);
  for (const rule of rules) {
    const report = await tryIn(folder, rule);
    assert.ok(report.events.length > 0, rule);
    eventOf[rule] = report.events[0].event.id;
    for (const { now, before, differs } of report.events) {
      assert.deepEqual(differs, [], `${rule}: ${JSON.stringify(now, null, 1)}`);
      assert.equal(now.verdict.kind, before!.verdict.kind);
      if (before!.run === undefined) continue;
      const { run, steps } = await trace(before!.run.id);
      assert.equal(now.run!.state, run.state);
      assert.deepEqual(now.run!.steps.map(({ path, state }) => [path, state]).sort(), pathsOf(steps));
    }
  }
  assert.equal(peer.requests.length, requests, "nothing was requested");
  await app.stop();

  // Offline it says the same, and leaves the data folder as it is.
  const before = await contents(folder.root);
  for (const rule of ["14-refund-approval/refund", "18-payment/order_in_code"]) {
    const { events } = await tryIn(folder, rule);
    assert.ok(events.length > 0 && events.every(({ differs }) => differs.length === 0), rule);
  }
  assert.deepEqual(await contents(folder.root), before);
  assert.equal(peer.requests.length, requests, "nothing was requested");

  const { events: [placed] } = await tryIn(folder, "18-payment/order", "--event", eventOf["18-payment/order"]);
  assert.deepEqual([placed.now.run!.state, placed.differs], ["succeeded", []], "the payment has another id");

  const refund = await run("--data", join(folder.root, "data"), "try", "14-refund-approval/refund");
  assert.match(refund.out, /now {5}would start; the run would succeed\n {2}before {2}started run \w+, which succeeded/);
  assert.match(refund.out, /pay {2}http {2}POST http:\S+\/refunds\/A1 json {"amount":20} {2}\(recorded\)/);
  assert.match(refund.out, /2 events: 2 would start and succeed; none not as before\n$/);

  // A run of each rule becomes a test that passes.
  const made = ["--data", join(folder.root, "data")];
  const all: Answered[] = JSON.parse((await run(...made, "runs", "--json")).out);
  const runs = all.filter(({ rule }, index) => all.findIndex((other) => other.rule === rule) === index);
  for (const { id, rule } of runs) {
    const { code, out, complaints } = await run("test", folder.rules, ...made, "--from", id);
    assert.equal(code, 0, `${rule}: ${complaints}`);
    assert.match(
      out,
      new RegExp(`^\\S+/${rule}(\\.test\\.ts|\\.yaml):\\d+: wrote the test "[^\n]+, as in run ${id}"\n`),
    );
  }
  const tested = await run("test", folder.rules, ...made);
  assert.equal(tested.code, 0, tested.out);
  for (const { id } of runs) assert.ok(tested.out.includes(`as in run ${id}`), tested.out);
  assert.equal(peer.requests.length, requests, "nothing was requested");
  delete process.env.CHAT_URL;
});

function pathsOf(steps: Answered[]): [string, string][] {
  return steps.map(({ path, state }): [string, string] => [path, state]).sort();
}

const PAID = `when: { event: order.* }
if: event.data.amount > 100
key: event.data.id
limit: 2/h
then:
  - id: check
    run: [printf, "${"${{ event.data.id }}"}"]
  - id: pay
    http: POST \${{ config.bank }}/\${{ steps.check.stdout }}
    headers: { authorization: "Bearer \${{ secrets.TRY_TOKEN }}" }
    json: { amount: "\${{ event.data.amount }}" }
  - wait: 1h
    if: event.data.amount > 1000
  - log: paid \${{ steps.pay.body.receipt }}
config: { bank: { type: url, default: BANK } }
`;

Deno.test("try shows what a changed rule would do otherwise, and what is not known", async () => {
  await using peer = await Peer.start();
  peer.answer = (_, response) =>
    void response.writeHead(200, { "content-type": "application/json" }).end('{"receipt":"r1"}');
  process.env.TRY_TOKEN = "sesame-4711-open";
  const text = PAID.replace("BANK", JSON.stringify(peer.url));
  await using folder = await Folder.with({ "paid.yaml": text, "broken.yaml": "when: { event: a }\nthen: 3\n" });
  const app = await folder.open();
  await app.start();
  for (const [id, amount] of [["A1", 50], ["A2", 500], ["A3", 600]] as const) {
    await send(app, "/api/emit", { type: "order.created", data: { id, amount, note: "sesame-4711-open" }, id });
  }
  await send(app, "/api/emit", { type: "order.cancelled", data: { id: "A4", amount: 5 }, id: "A4" });
  await send(app, "/api/emit", { type: "stock.low", data: { id: "A5", amount: 500 }, id: "A5" });
  await ended(app, 2);
  await app.stop();
  const cli = (...words: string[]) => run("--data", join(folder.root, "data"), "try", ...words);

  // The condition, an argument and the events that it takes are other ones, and one step is new.
  await folder.write({
    "paid.yaml": text.replace("> 100\n", "> 550\n").replace("order.*", "[order.created, stock.low]")
      .replace("/${{ steps.check.stdout }}", "/v2/${{ steps.check.stdout }}")
      .replace(
        "  - wait",
        "  - id: fresh\n    http: GET https://example.org/\n  - log: ${{ steps.fresh.body.text }}\n  - wait",
      ),
  });
  const { events, notes } = await tryIn(folder, "paid");
  const [first, second, third, fourth] = events;
  assert.deepEqual(events.map(({ event }) => event.id), ["A1", "A2", "A3", "A5"]);
  assert.deepEqual([first.now.verdict.kind, first.differs], ["condition", []]);
  assert.deepEqual([second.now.verdict.kind, second.before!.verdict.kind, second.differs], [
    "condition",
    "started",
    ["verdict"],
  ]);
  const { uncertain, error, steps } = third.now.run!;
  assert.equal(uncertain, true, error ?? "no error");
  assert.deepEqual(steps.map(({ path, known }) => [path, known]), [
    ["check", "recorded"],
    ["pay", "recorded for other arguments"],
    ["fresh", "assumed"],
    ["log", undefined],
  ]);
  assert.deepEqual(third.differs, ["run", "pay", "fresh", "log", "wait"]);
  assert.equal(fourth.before, undefined, "the event did not concern the rule");
  assert.equal(fourth.now.verdict.kind, "condition");
  assert.deepEqual(notes, []);

  const shown = await cli("paid");
  assert.equal(shown.code, 0, "what is not known is no failure");
  assert.match(shown.out, /not known: its result; assumed is {"status":200,"headers":{},"body":null}/);
  assert.match(
    shown.out,
    /pay {2}http {2}POST http:\S+\/v2\/A3 .*Bearer \$\{\{ secrets\.TRY_TOKEN \}\}.*\(not as before\)/,
  );
  assert.ok(!shown.out.includes("sesame"), shown.out);
  assert.match(
    shown.out,
    /\n4 events: 3 would not start, by the condition, 1 would start, with an end that is not known; 2 not as before\n/,
  );

  // The limit of the rule, and the simulated clock over a wait.
  await folder.write({ "paid.yaml": text.replace("2/h", "1/h").replace("> 1000", "> 0") });
  const limited = await cli("paid", "--last", "3");
  assert.match(limited.out, /would start later: .*limit/);
  assert.match(limited.out, /wait {2}1h/);
  delete process.env.TRY_TOKEN;
});

Deno.test("try: each right and wrong use", async () => {
  await using folder = await Folder.with({
    "a.yaml": "when: { event: a }\nthen:\n  - log: hello\n  - stop: no\n    as: failed\n    if: event.data == 7\n",
    "b.yaml": "when: { event: b }\nthen: 3\n",
    "n.yaml": "when: { event: never }\nthen:\n  - log: a\n",
    "i.yaml": "when: { event: a }\nif: event.data > 5\nthen:\n  - log: a\n",
    "s.yaml": "when: { event: a }\nthen:\n  - state: seen\n    value: 1\n",
  });
  const app = await folder.open();
  await app.start();
  for (const id of ["e1", "e2", "e3"]) await send(app, "/api/emit", { type: "a", data: id === "e3" ? 7 : 1, id });
  await ended(app, 7);
  await app.stop();
  const data = ["--data", join(folder.root, "data")];
  const uses: [words: string[], code: number, out: RegExp, complaint?: RegExp][] = [
    [["try", "a"], 1, /3 events: 2 would start and succeed, 1 would start and fail; none not as before/],
    [["try", "a", "--last", "1"], 1, /1 event: 1 would start and fail/],
    [["try", "a", "--event", "e1"], 0, /1 event: 1 would start and succeed/],
    [["try", "a", "--event", "e9"], 0, /^a takes no event with the id "e9"\n$/],
    [["try", "a", "--since", "1h"], 1, /3 events/],
    [["try", "a", "--since", "2099-01-01"], 0, /^No event has come since 2099-01-01T00:00:00\.000Z\n$/],
    [["try", "n"], 0, /^n takes none of the 3 events\n$/],
    [["try", "i"], 0, /\n\s+now\s+would not start, the condition does not hold: event\.data > 5 is false/],
    [["try", "a", "--last", "2", "--json"], 1, /"differs": \[\]/],
    [["try", "b"], 2, /b\.yaml:2:7: .*list of steps/],
    [["try", "c"], 1, /^$/, /There is no rule "c"; known here: a, i, n, s/],
    [["try", "s"], 0, /not known: memory across runs \(state\) as it was then; here it is empty/],
    [["try"], 64, /^$/, /missing required argument 'rule'/],
    [["try", "a", "--last", "0"], 64, /^$/, /expected a count from 1 to 1000, got "0"/],
    [["try", "a", "--last", "1001"], 64, /^$/, /expected a count from 1 to 1000/],
    [
      ["try", "a", "--since", "monday"],
      64,
      /^$/,
      /expected a time such as 2026-11-21T09:00:00Z or a duration such as 2h/,
    ],
  ];
  for (const [words, code, out, complaint = /^$/] of uses) {
    const seen = await run(...data, ...words);
    assert.equal(seen.code, code, `${words.join(" ")}: ${seen.out}${seen.complaints}`);
    assert.match(seen.out, out);
    assert.match(seen.complaints, complaint);
  }
  const nowhere = await run("--data", "/nowhere/at/all", "try", "a");
  assert.deepEqual([nowhere.code, /nothing has run here yet/.test(nowhere.complaints)], [64, true]);
});

const IN = `# A comment that stays.
when: { webhook: "/in/:shop", auth: bearer, secret: HOOK_TOKEN }
config: { depth: 1 }
then:
  - id: list
    http: GET PEER/list
  - id: all
    each: steps.list.body.items
    then:
      - id: save
        http: POST PEER/\${{ item }}
        json: { shop: "\${{ event.http.params.shop }}", of: "\${{ event.data.name }}" }
  - parallel:
      one: [{ run: [echo, a] }]
      two: [{ log: "\${{ config.depth }}" }]
  - id: flaky
    http: GET PEER/flaky
    retry: { attempts: 3, delay: 10ms }
  - reply: 201
    json: { n: "\${{ steps.all.total }}" }
  - id: last
    run: [sh, -c, "echo no >&2; exit 3"]
tests:
  - name: one of its own # stays
    stub: { list: { body: { items: [] } }, flaky: {}, run: { stdout: a } }
    do:
      - send: { webhook: /in/x, json: {} }
      - expect: { run: succeeded }

# At the end.
onError:
  - log: "\${{ error.step }} failed"
`;

const BY_HAND = `when: { manual: true }
inputs: { bits: { type: choice, choices: [1024, 2048], default: 1024 } }
then:
  - wait: 200ms
  - id: ask
    form: \${{ inputs.bits }} bits?
    to: finance
    fields: { yes: { type: boolean } }
  - id: pause
    wait: 1d
  - log: "\${{ event.by }} \${{ steps.ask.by }}"
`;

const IN_CODE = `import { event, rule } from "whenthen";
let count = 0;
export default rule({
  when: event("code.*"),
  config: { limit: 5 },
  then: async ({ event, step, config }) => {
    const n = await step.do("count", () => {
      if (++count < 3) throw new Error("not yet " + count);
      return [count];
    }, { retry: { attempts: 3, delay: "10ms" } });
    const all = await step.all("both", { a: () => step.run("list", ["echo", "x"]), b: () => step.log("tell", "b") });
    await step.wait("nap", "100ms");
    const paid = await step.waitFor("paid", "payment.received", { match: { "data.of": event.id } });
    if (config.limit > 1) throw new Error("over " + n[0] + String(paid?.subject) + String(Array.isArray(all)));
  },
});
`;

const BATCH = `when: { event: item.added, batch: { quiet: 200ms } }
then:
  - log: "\${{ event.data.count }} items, \${{ event.data.events[0].data.n }} first"
`;

Deno.test("test --from writes tests of runs of all kinds, which pass; what is there stays", async () => {
  await using peer = await Peer.start();
  let flaky = 0;
  peer.answer = ({ url }, response) => {
    if (url === "/flaky" && ++flaky < 3) return void response.writeHead(503).end("busy");
    response.writeHead(200, { "content-type": "application/json" }).end('{"items":[1,2],"token":"sesame-4711-open"}');
  };
  process.env.HOOK_TOKEN = "sesame-4711-open";
  await using folder = await Folder.with({
    "in.yaml": IN.replaceAll("PEER", peer.url),
    "by_hand.yaml": BY_HAND,
    "in_code.ts": IN_CODE,
    "batch.yaml": BATCH,
    "config.yaml": "in: { depth: 3 }\n",
    "whenthen.yaml":
      "people:\n  anna: { name: Anna, groups: [finance] }\n  olga: { name: Olga, groups: [operators] }\n",
  });
  const app = await folder.open();
  await app.start();
  try {
    const posted = await app.web.fetch(
      new Request("http://127.0.0.1:8080/hooks/in/kiel?a=1", {
        method: "POST",
        headers: { host: "127.0.0.1:8080", authorization: "Bearer sesame-4711-open", "x-note": "n" },
        body: new URLSearchParams({ name: "Ada", secret: "sesame-4711-open" }),
      }),
      () => "127.0.0.1",
    );
    assert.equal(posted.status, 201);
    await send(app, "/api/rules/by_hand/start", { inputs: { bits: 2048 }, by: "olga" });
    await send(app, "/api/emit", { type: "code.pushed", data: {}, id: "c1" });
    for (const n of [7, 8]) await send(app, "/api/emit", { type: "item.added", data: { n } });
    const forms = await until("the form", () => ask(app, "/api/forms"), (forms: Answered[]) => forms.length === 1);
    await send(app, `/api/forms/${forms[0].id}`, { as: "anna", values: { yes: true } });
    const pausing = (runs: Answered[]) => runs.find(({ waits }) => waits?.[0].step === "pause");
    const waiting = await until(
      "the pause",
      () => ask(app, "/api/runs?waiting=true"),
      (runs: Answered[]) => pausing(runs),
    );
    await send(app, `/api/runs/${pausing(waiting).id}/skip`, {});
    await until(
      "the wait of the code",
      () => ask(app, "/api/runs?waiting=true"),
      (runs: Answered[]) => runs.some(({ waits }) => waits?.[0].step === "paid"),
    );
    await send(app, "/api/emit", { type: "payment.received", data: { of: "c1" }, subject: "P1" });
    await ended(app, 4);
  } finally {
    await app.stop();
  }
  const data = ["--data", join(folder.root, "data")];
  const runs: Answered[] = JSON.parse((await run(...data, "runs", "--json")).out);
  assert.deepEqual(runs.map(({ rule, state }) => `${rule} ${state}`).sort(), [
    "batch succeeded",
    "by_hand succeeded",
    "in failed",
    "in_code failed",
  ]);
  const texts: Record<string, string> = {};
  for (const { id, rule } of runs) {
    const { code, out, complaints } = await run("test", folder.rules, ...data, "--from", id);
    assert.equal(code, 0, `${rule}: ${complaints}`);
    texts[rule] = out;
  }
  const read = (file: string) => readFile(join(folder.rules, file), "utf8");
  assert.match(texts.in, /not in it: secrets in the event: they are \*\*\* in the test/);
  const before = IN.replaceAll("PEER", peer.url).split("\n# At the end.\n");
  const yaml = await read("in.yaml");
  assert.ok(yaml.startsWith(before[0].trimEnd()) && yaml.endsWith(`\n# At the end.\n${before[1]}`), yaml);
  assert.ok(!yaml.includes("sesame"), yaml);
  const code = await read("in_code.test.ts");
  for (const part of ["not yet 1", "not yet 2", "await t.advance(", 'subject: "P1"', "attempts: 3"]) {
    assert.ok(code.includes(part), `${part} in ${code}`);
  }
  assert.match(await read("by_hand.yaml"), /- start:\n(.*\n)*.*- answer: ask\n {8}as: anna\n(.*\n)*.*- skip: pause\n/);

  const tested = await run("test", folder.rules, ...data);
  assert.equal(tested.code, 0, tested.out);
  assert.match(tested.out, /5 tests passed, 0 failed/);

  // A second time, and what cannot be a test.
  const again = runs.find(({ rule }) => rule === "in_code").id;
  const uses: [words: string[], code: number, complaint: RegExp][] = [
    [["test", folder.rules, "--from", again], 1, /Nothing is written to \S+in_code\.test\.ts: it already has the test/],
    [["test", folder.rules, "--from", "zz"], 1, /There is no run "zz"/],
    [["test", folder.rules, "--from"], 64, /argument missing/],
    [["test", "/nowhere", "--from", again], 64, /Cannot find the rules folder/],
  ];
  for (const [words, code, complaint] of uses) {
    const seen = await run(...data, ...words);
    assert.equal(seen.code, code, words.join(" ") + seen.complaints);
    assert.match(seen.complaints, complaint);
  }
  assert.equal(await read("in_code.test.ts"), code);
  await folder.write({ "batch.yaml": "when: manual\nthen:\n  - log: a\n" });
  const gone = await run(...data, "test", folder.rules, "--from", runs.find(({ rule }) => rule === "batch").id);
  assert.match(gone.complaints, /Cannot make a test of run \w+: the rule has no trigger "event item\.added" any more/);
  delete process.env.HOOK_TOKEN;
});

const FETCHING = `import { event, rule } from "whenthen";
export default rule({
  when: event("ask"),
  then: async ({ step, secrets }) => {
    const { n } = await (await fetch("PEER/ask", { headers: { authorization: secrets.ASK_TOKEN } })).json();
    await step.log("tell", String(n));
  },
});
`;

Deno.test("try and test --from send no request of rule code", async () => {
  await using peer = await Peer.start();
  peer.answer = (_, response) => void response.writeHead(200, { "content-type": "application/json" }).end('{"n":7}');
  process.env.ASK_TOKEN = "sesame-4712-open";
  await using folder = await Folder.with({ "fetching.ts": FETCHING.replace("PEER", peer.url) });
  const app = await folder.open();
  await app.start();
  const data = ["--data", join(folder.root, "data")];
  try {
    await send(app, "/api/emit", { type: "ask", data: {}, id: "q1" });
    await ended(app, 1);
    const [{ id, state }] = await ask(app, "/api/runs");
    assert.equal(state, "succeeded");
    const requests = peer.requests.length;
    assert.ok(requests > 0);
    const { events: [{ now }], notes } = await tryIn(folder, "fetching");
    assert.match(now.run!.error!, /Cannot request http:\S+\/ask: a dry run sends, starts and writes nothing/);
    assert.equal(now.run!.uncertain, true, "it does not count as a failure");
    assert.match(notes.join(), /code outside of steps runs; what it would send, start or write is refused/);
    const made = await run("test", folder.rules, ...data, "--from", id);
    assert.equal(made.code, 1);
    assert.match(made.complaints, /Cannot make a test of run \w+: .*a dry run sends, starts and writes nothing/);
    assert.equal(peer.requests.length, requests, "nothing was requested");
    assert.deepEqual(await readdir(folder.rules), ["fetching.ts"]);
  } finally {
    await app.stop();
    delete process.env.ASK_TOKEN;
  }
});

const READING = `import { event, rule } from "whenthen";
export default rule({
  when: event("read.*"),
  then: async ({ step, event, secrets }) => {
    await step.log("tell", "of " + event.id);
    if (event.type === "read.one") await step.do("name", () => secrets[["FILE", "TOKEN"].join("_")].length);
    if (event.type === "read.all") await step.do("use", () => secrets.CODE_TOKEN.length);
  },
});
`;

const NAMING = `when: { event: "yaml.*" }
then:
  - log: "\${{ event.id }}"
  - http: POST https://example.org/
    if: event.type == "yaml.never"
    headers: { authorization: "\${{ secrets.YAML_TOKEN }}" }
`;

Deno.test("test --from writes no secrets, whoever reads them, and any data", async () => {
  process.env.CODE_TOKEN = "sesame-4713-open";
  process.env.YAML_TOKEN = "sesame-4714-open";
  await using folder = await Folder.with({
    "reading.ts": READING,
    "naming.yaml": NAMING,
    ".env": "FILE_TOKEN=sesame-4715-open\nLEVEL=info\n",
  });
  const app = await folder.open();
  await app.start();
  const data = ["--data", join(folder.root, "data")];
  const bodyOf = (type: string, big: string) =>
    `{"type":"${type}",` +
    '"id":"r1","data":{"code":"sesame-4713-open","file":"sesame-4715-open","level":"info","yaml":"sesame-4714-open",' +
    `"big":${big},"<<":"a","__proto__":{"b":1}}}`;
  const bodies = [
    bodyOf("read.one", "123456789012345678901"),
    bodyOf("yaml.one", "1").replace("r1", "r3"),
    bodyOf("yaml.two", "123456789012345678901").replace("r1", "r2"),
  ];
  try {
    const headers = { host: "127.0.0.1:8080", "content-type": "application/json" };
    for (const [index, body] of bodies.entries()) {
      const request = new Request("http://127.0.0.1:8080/api/emit", { method: "POST", headers, body });
      assert.ok((await app.web.fetch(request, () => "127.0.0.1")).ok);
      await ended(app, index + 1);
    }
    // The code has not read the secret yet.
    for (const { id } of await ask(app, "/api/runs")) {
      assert.doesNotMatch(JSON.stringify(await ask(app, `/api/runs/${id}`)), /sesame/);
    }
  } finally {
    await app.stop();
  }
  try {
    const runs: Answered[] = JSON.parse((await run(...data, "runs", "--json")).out);
    const idOf = (rule: string) => runs.findLast((each) => each.rule === rule).id;
    await folder.write({ ".naming.yaml.new": "left by another\n" });
    delete process.env.YAML_TOKEN;
    const refused = await run("test", folder.rules, ...data, "--from", idOf("naming"));
    assert.equal(refused.code, 1);
    assert.match(
      refused.complaints,
      /YAML_TOKEN not set here, so a value in the recorded data would be written in clear/,
    );
    assert.equal(await readFile(join(folder.rules, "naming.yaml"), "utf8"), NAMING);
    const { notes } = await tryIn(folder, "naming");
    assert.match(notes.join(), /YAML_TOKEN not set here: a value in the recorded data is not masked/);
    process.env.YAML_TOKEN = "sesame-4714-open";
    for (const [rule, file] of [["reading", "reading.test.ts"], ["naming", "naming.yaml"]]) {
      const { code, complaints } = await run("test", folder.rules, ...data, "--from", idOf(rule));
      assert.equal(code, 0, complaints);
      const text = await readFile(join(folder.rules, file), "utf8");
      assert.doesNotMatch(text, rule === "reading" ? /sesame-471[35]/ : /sesame-4714/);
    }
    assert.match(await readFile(join(folder.rules, "reading.test.ts"), "utf8"), /\["__proto__"\]: \{ b: 1 \}/);
    assert.match(await readFile(join(folder.rules, "reading.test.ts"), "utf8"), /level: "info"/);
    assert.match(await readFile(join(folder.rules, "reading.test.ts"), "utf8"), /big: 123456789012345678901n/);
    assert.match(await readFile(join(folder.rules, "naming.yaml"), "utf8"), /"<<": a/);
    const big = await run("test", folder.rules, ...data, "--from", runs.find((each) => each.rule === "naming").id);
    assert.match(big.complaints, /Nothing is written to \S+: the data has a whole number beyond 2\^53/);
    const tested = await run("test", folder.rules, ...data);
    assert.match(tested.out, /2 tests passed, 0 failed/);
    assert.deepEqual((await readdir(folder.rules)).sort(), [
      ".env",
      ".naming.yaml.new",
      "naming.yaml",
      "reading.test.ts",
      "reading.ts",
    ]);
  } finally {
    delete process.env.CODE_TOKEN;
    delete process.env.YAML_TOKEN;
  }
});
