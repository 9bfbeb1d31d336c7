import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import type { RuleConfig } from "../../../runtime/model/config.ts";
import type { Rule } from "../../../runtime/model/rule.ts";
import type { StepRecord } from "../../../runtime/model/run.ts";
import { consolePages } from "../../../runtime/web/console/console.ts";
import { readCommands } from "../../commands/support.ts";
import { FIELDS } from "../forms/harness.ts";
import { type Bench, NOW, onEvent, openBench, rule, step } from "../harness.ts";
import { member } from "../members.ts";
import { OPERATOR, Visitor } from "./visitor.ts";

/** Bytes gzipped, and elements. */
const MOST = { script: 20_000, style: 6_000, page: 15_000, elements: 1_500 };
const TURNS = 1_000;

/** Rules with long names, of which the first one has everything that can be large. */
function rules(): Rule[] {
  const loop = { ...step("each"), id: "look", children: { then: [{ ...step("http"), id: "get" }] } };
  const config = Object.fromEntries(Array.from({ length: 40 }, (_, at) => [`field${at}`, `value ${at}`]));
  const inputs = Object.fromEntries(Array.from({ length: 30 }, (_, at) => [`input${at}`, FIELDS.reason]));
  return Array.from({ length: 60 }, (_, at) => ({
    ...rule(`department-${at % 7}/some-longer-name-of-a-rule-${at}`, [onEvent(`order.${at % 5}`)], [loop]),
    name: `A rule with number ${at} that does something for department ${at % 7}`,
    ...at === 0 && { config, inputs: inputs as Rule["inputs"] },
  }));
}

/** More commands than fit on a page, with more flags than a page shows at once. */
const FLAGS = Array.from(
  { length: 400 },
  (_, at) => `  --flag-number-${at}: { type: text, help: Sets what number ${at} is about }`,
);
const COMMANDS = Object.fromEntries(
  Array.from({ length: 60 }, (_, at) => [
    `tools/tool${at}.yaml`,
    `command: tool${at}\nname: Tool ${at}\nhelp: Does something\ninputs:\n${FLAGS.join("\n")}\n`,
  ]),
);

/** Ends runs of all kinds, one with many turns. @returns its id */
async function fill(bench: Bench): Promise<{ run: string; event: string }> {
  const { store, clock } = bench;
  const data = { text: "words and more words, ".repeat(5_000), list: Array.from({ length: 2_000 }, (_, at) => at) };
  for (let at = 0; at < 110; at++) {
    await bench.post("/events", { type: `order.${at % 5}`, subject: `customer ${at}: ${"long ".repeat(30)}`, data });
  }
  const [{ run }] = await store.claimRuns("me", 1, NOW);
  for (let turn = 0; turn < TURNS; turn++) {
    const failed = { state: "failed", error: { name: "Error", message: `HTTP 50${turn % 9}: ${"x".repeat(80)}` } };
    const record = { path: `look[${turn}]/get`, kind: "http", attempts: 1, startedAt: NOW, endedAt: NOW };
    const ended = turn % 10 === 7 ? failed : { state: "succeeded", output: { status: 200 } };
    await store.recordStep(run.id, { ...record, ...ended } as StepRecord, {}, NOW);
  }
  const error = { name: "Error", message: `no luck: ${"word ".repeat(200)}` };
  let ended = 0;
  // Each rule runs so many at once at most.
  for (let claimed = [{ run }]; claimed.length > 0; claimed = await store.claimRuns("me", 1_500, NOW)) {
    await Promise.all(claimed.map(({ run: { id } }) => {
      const end = ended++ % 3 === 0 ? { state: "failed" as const, error } : { state: "succeeded" as const };
      return store.finishRun(id, { ...end, spent: ended }, clock.now());
    }));
  }
  for (let at = 0; at < 20; at++) await bench.post("/events", { type: `order.${at % 5}` });
  const queued = await store.listRuns({ state: "queued", limit: 100 });
  for (let at = 0; at < 60; at++) {
    const form = { id: `f${at}`, title: `Refund number ${at}?`, to: ["operators"], fields: FIELDS };
    const asking = queued[at % queued.length];
    const record: StepRecord = { path: `ask${at}`, kind: "form", state: "waiting", attempts: 1, startedAt: NOW };
    await store.recordStep(asking.id, record, { wait: { kind: "form", form } }, NOW);
  }
  for (let at = 0; at < 30; at++) {
    await bench.ask("POST", `/hooks/none-${at}-${"long".repeat(40)}`, { headers: { "content-length": "7" } });
  }
  return { run: run.id, event: (await store.getEvent(run.id))!.key };
}

/** Each field of the first rule was set more often than earlier values are kept; each rule has config. */
async function fillConfig({ context, store }: Bench, { id, config }: Rule): Promise<void> {
  const fields = Object.fromEntries(Object.keys(config).map((key) => [key, FIELDS.reason]));
  for (let at = 0; at < 25; at++) {
    const set = Object.fromEntries(Object.keys(config).map((key) => [key, `${key} was set to this: ${at}`]));
    await store.setConfig({ rule: id, set, by: "olga" }, NOW + at);
  }
  const below = { value: "what it was", from: "config.yaml" };
  const entries = Object.entries(config).map(([key, value]) => ({
    key,
    value,
    from: "page",
    by: "olga",
    at: NOW,
    below,
  }));
  const view = context.rules();
  const configs = new Map(
    rules().map(({ id, name, file }): [string, RuleConfig] => {
      return [id, { rule: id, name, file, fields, editors: ["finance"], entries, refused: [] }];
    }),
  );
  context.rules = () => ({ ...view, configs });
}

Deno.test("every page is small, however much it has to show: HTML, elements, script and style", async () => {
  const [first, ...others] = rules();
  const replicas = { me: "replica7", list: () => Promise.resolve(Array.from({ length: 40 }, (_, at) => member(at))) };
  await using bench = await openBench(
    [first, ...others],
    { replicas },
    [...readCommands(COMMANDS).values()].map(({ command }) => command!),
  );
  bench.people.push(OPERATOR);
  bench.files[first.file] = `${"then: [{ log: some more or less unlike text }]\n".repeat(30)}`.repeat(200);
  const { run, event } = await fill(bench);
  await fillConfig(bench, first);
  const visitor = new Visitor(bench);
  await visitor.signIn("olga");
  const done = await visitor.submit(`/runs/bulk?do=retry&rule=${first.id}`, "/runs/bulk", { reason: "a test" });
  /** An address for each page; those that are a value in full have no limit. */
  const pages: Record<string, string[]> = {
    "/": ["/"],
    "/events": ["/events", "/events?verdict=refused", "/events?subject=nobody"],
    "/events/:id": [`/events/${event}`],
    "/runs": ["/runs", "/runs?state=failed"],
    "/runs/:id": [`/runs/${run}`, `/runs/${run}?step=look%5B507%5D%2Fget`],
    "/runs/bulk": ["/runs/bulk?do=replay"],
    "/runs/bulk/:id": [done.location!],
    "/runs/:id/:action{retry|skip|move|cancel|replay}": [`/runs/${run}/replay`],
    "/rules": ["/rules"],
    "/rules/:id{.+}": ["", "?see=tests", "?see=config"].map((see) => `/rules/${first.id}${see}`),
    "/config": ["/config"],
    "/config/:id{.+}": [`/config/${first.id}`, `/config/${first.id}?earlier=field7`],
    "/start": ["/start"],
    "/start/:id{.+}": [`/start/${first.id}`],
    "/forms": ["/forms"],
    "/forms/:id": ["/forms/f7"],
    "/forms/:id/thanks": [],
    "/forms/sign-in": ["/forms/sign-in"],
    "/commands": ["/commands"],
    "/commands/:id{.+}": ["/commands/tools/tool0"],
    "/connections": ["/connections"],
    "/connections/callback": ["/connections/callback"],
    "/fleets": ["/fleets"],
    "/fleets/:id{.+}": ["/fleets/none"],
    "/device": ["/device?fleet=none"],
    "/task": ["/task?fleet=none"],
    "/connections/handshakes/remove": ["/connections/handshakes/remove?what=none"],
    "/connections/:name/disconnect": ["/connections/none/disconnect"],
    "/replicas": ["/replicas"],
    "/go": ["/go?q=nothing"],
    "/help": ["/help"],
  };
  const whole = ["/events/:id/:part{data|request|files|attributes}", "/runs/:id/value", "/live", "/assets/*"];
  const known = consolePages(bench.context).routes.filter(({ method }) => method === "GET").map(({ path }) => path);
  assert.deepEqual([...new Set(known)].sort(), [...Object.keys(pages), ...whole].sort(), "each page is looked at");
  for (const path of Object.values(pages).flat()) {
    const { text, status } = await visitor.get(path);
    assert.ok(status < 500, `${path} answers ${status}`);
    const sizes = { page: gzipSync(text).length, elements: text.match(/<[a-z]/g)!.length };
    assert.ok(sizes.page <= MOST.page && sizes.elements <= MOST.elements, `${path}: ${JSON.stringify(sizes)}`);
  }
  const { text } = await visitor.get("/");
  for (
    const [what, of] of [["script", /<script src="([^"]+)"/], ["style", /rel="stylesheet" href="([^"]+)"/]] as const
  ) {
    const asset = gzipSync((await visitor.get(of.exec(text)![1])).text).length;
    assert.ok(asset <= MOST[what], `${what}: ${asset} bytes`);
  }
});
