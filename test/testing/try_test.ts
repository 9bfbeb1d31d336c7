import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { runProgram } from "../../bin/cli/main.ts";
import type { App } from "../../runtime/app/app.ts";
import type { TryReport } from "../../runtime/testing/try_rule.ts";
import { until } from "../e2e/until.ts";
import { type Answered, ask, Folder, Peer } from "../sources/app.ts";

const EXAMPLES = new URL("../../examples", import.meta.url).pathname;

/** Runs a command line in this process. */
async function run(...words: string[]) {
  let [out, complaints] = ["", ""];
  const code = await runProgram(words, {
    terminal: { write: (text) => out += text, width: Infinity, colours: false, now: Date.now() },
    complain: (text) => complaints += text,
  });
  return { code, out, complaints };
}

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
  const trace = (id: string) => ask(app, `/api/runs/${id}`);
  for (const rule of rules) {
    const report = await tryIn(folder, rule);
    assert.ok(report.events.length > 0, rule);
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
  for (const rule of rules) {
    const { events } = await tryIn(folder, rule);
    assert.ok(events.length > 0 && events.every(({ differs }) => differs.length === 0), rule);
  }
  assert.deepEqual(await contents(folder.root), before);
  assert.equal(peer.requests.length, requests, "nothing was requested");

  const refund = await run("--data", join(folder.root, "data"), "try", "14-refund-approval/refund");
  assert.match(refund.out, /now {5}would start; the run would succeed\n {2}before {2}started run \w+, which succeeded/);
  assert.match(refund.out, /pay {2}http {2}POST http:\S+\/refunds\/A1 json {"amount":20} {2}\(recorded\)/);
  assert.match(refund.out, /2 events: 2 would start and succeed; none not as before\n$/);
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
  });
  const app = await folder.open();
  await app.start();
  for (const id of ["e1", "e2", "e3"]) await send(app, "/api/emit", { type: "a", data: id === "e3" ? 7 : 1, id });
  await ended(app, 3);
  await app.stop();
  const data = ["--data", join(folder.root, "data")];
  const uses: [words: string[], code: number, out: RegExp, complaint?: RegExp][] = [
    [["try", "a"], 1, /3 events: 2 would start and succeed, 1 would start and fail; none not as before/],
    [["try", "a", "--last", "1"], 1, /1 event: 1 would start and fail/],
    [["try", "a", "--event", "e1"], 0, /1 event: 1 would start and succeed/],
    [["try", "a", "--event", "e9"], 0, /No event that a takes among the last 0 events/],
    [["try", "a", "--since", "1h"], 1, /3 events/],
    [["try", "a", "--since", "2099-01-01"], 0, /No event that a takes/],
    [["try", "a", "--last", "2", "--json"], 1, /"differs": \[\]/],
    [["try", "b"], 2, /b\.yaml:2:7: .*list of steps/],
    [["try", "c"], 1, /^$/, /There is no rule "c"; known here: a/],
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
