import assert from "node:assert/strict";
import type { JsonObject } from "../../../runtime/model/json.ts";
import type { Command, Field, Rule, Trigger } from "../../../runtime/model/rule.ts";
import { readCommands } from "../../commands/support.ts";
import { type Bench, onEvent, openBench, rule, step } from "../harness.ts";
import { hiddenInputs } from "../forms/harness.ts";
import { ANNA, OPERATOR, Visitor } from "./visitor.ts";

const AT = { line: 1, column: 1 };
const manual = (to?: string[], inputs?: Trigger["inputs"]): Trigger => ({
  id: "manual",
  kind: "manual",
  at: AT,
  args: { manual: true, ...to && { to } },
  ...inputs && { inputs },
});

const INPUTS: Record<string, Field> = {
  keep: { type: "integer", required: true, min: 1, max: 90 },
  target: { type: "choice", required: false, choices: ["disk", "tape"], default: "disk" },
  folder: { type: "path", required: false, under: "/srv" },
  host: { type: "ip", required: false },
  port: { type: "port", required: false },
  ports: { type: "list", required: false, of: { type: "port" } },
  key: { type: "secret", required: false, choices: ["BACKUP_KEY", "OLD_KEY"] },
  note: { type: "text", required: false },
};
const PATH = "/start/ops/backup";

const backup = (...triggers: Trigger[]): Rule => ({ ...rule("ops/backup", triggers), name: "Backup", inputs: INPUTS });

/** Rules for finance (Anna), for nobody but operators, and without a manual trigger. */
const RULES = [backup(manual(["finance"])), rule("ops/purge", [manual()]), rule("shop/paid", [onEvent("paid")])];

async function openConsole(rules = RULES): Promise<Bench> {
  const bench = await openBench(rules, { tokenless: false, tokens: ["operators-token"] });
  bench.people.push(structuredClone(OPERATOR), structuredClone(ANNA), {
    ...ANNA,
    id: "ben",
    name: "Ben",
    email: "ben@example.org",
  });
  return bench;
}

async function visitorAs(bench: Bench, name: string): Promise<Visitor> {
  const visitor = new Visitor(bench);
  await visitor.signIn(name);
  return visitor;
}

const runsOf = (bench: Bench) => bench.store.listRuns({ limit: 9 });

Deno.test("/start lists what the viewer may start, with the number of its inputs", async () => {
  await using bench = await openConsole();
  const olga = await (await visitorAs(bench, "olga")).get("/start");
  for (const path of [PATH, "/start/ops/purge", "/start/shop/paid"]) assert.ok(olga.text.includes(`href="${path}"`));
  assert.match(olga.text, /Backup[^]*8 inputs[^]*operators, finance/);
  const anna = await (await visitorAs(bench, "anna")).get("/start");
  assert.equal(anna.status, 200);
  assert.deepEqual([...anna.text.matchAll(/href="(\/start\/[^"]+)"/g)].map(([, path]) => path), [PATH]);
  assert.match(anna.text, /<a href="\/start" aria-current="page">Start<\/a>/);
  assert.doesNotMatch(anna.text, /Who may start it|href="\/runs"/);
  assert.match((await new Visitor(bench).get("/start")).location!, /sign-in/);
});

Deno.test("the form has the matching input for each type, with defaults filled in", async () => {
  await using bench = await openConsole();
  const { status, text } = await (await visitorAs(bench, "anna")).get(PATH);
  assert.equal(status, 200);
  for (
    const pattern of [
      /name="keep" required value="" type="number" step="1" inputmode="numeric" min="1" max="90"/,
      /name="target" value="disk" checked/,
      /A path below \/srv/,
      /Such as 192\.0\.2\.1/,
      /name="port"[^>]* min="1" max="65535"/,
      /One on each line: a port/,
      /type="radio"[^>]* name="key" value="BACKUP_KEY"/,
    ]
  ) assert.match(text, pattern);
});

Deno.test("all problems stand beside their fields, nothing starts, and what was typed stays", async () => {
  await using bench = await openConsole();
  const anna = await visitorAs(bench, "anna");
  const { status, text } = await anna.submit(PATH, PATH, { host: "300.1.1.1", folder: "/etc", ports: "80\nabc" });
  assert.equal(status, 422);
  assert.match(text, /id="field-host-error">Expected an IP address such as [^<]*, got &quot;300\.1\.1\.1&quot;<\/p>/);
  assert.match(text, /id="field-folder-error">Expected a path below \/srv/);
  assert.match(text, /id="field-ports-error">Item 2: expected a port/);
  assert.match(text, /id="field-keep-error">A value is needed: expected a whole number<\/p>/);
  assert.match(text, /4 inputs are not valid[^]*<a href="#field-folder">Folder: Expected/);
  assert.match(text, /name="host"[^>]* value="300\.1\.1\.1"/);
  assert.match(text, /<textarea id="field-ports"[^>]*>\n80\nabc<\/textarea>/);
  assert.deepEqual(await runsOf(bench), []);
});

Deno.test("a start leads to the run, which has typed values and who started it", async () => {
  await using bench = await openConsole();
  const anna = await visitorAs(bench, "anna");
  const typed = { keep: "30", host: "192.0.2.1", ports: "80\r\n443", key: "OLD_KEY", target: "tape" };
  const started = await anna.submit(PATH, PATH, typed);
  const [run] = await runsOf(bench);
  assert.deepEqual([started.status, started.location], [303, `/runs/${run.id}`]);
  assert.equal(run.event.by, "anna");
  const { keep, host, ports, key, target, folder } = run.inputs!;
  assert.deepEqual([keep, host, ports, key, target, folder], [30, "192.0.2.1", [80, 443], "OLD_KEY", "tape", null]);
});

Deno.test("two clicks and a reload are one run; the form opened again is another one", async () => {
  await using bench = await openConsole();
  const anna = await visitorAs(bench, "anna");
  const inputs = { ...hiddenInputs((await anna.get(PATH)).text), keep: "1" };
  const both = await Promise.all([anna.post(PATH, inputs), anna.post(PATH, inputs)]);
  const again = await anna.post(PATH, inputs);
  const [run] = await runsOf(bench);
  assert.deepEqual([...both, again].map(({ location }) => location), Array(3).fill(`/runs/${run.id}`));
  assert.equal((await runsOf(bench)).length, 1);
  await anna.submit(PATH, PATH, { keep: "1" });
  assert.equal((await runsOf(bench)).length, 2);
});

Deno.test("corrected after a problem, the same page starts the run", async () => {
  await using bench = await openConsole();
  const anna = await visitorAs(bench, "anna");
  const wrong = await anna.submit(PATH, PATH, { keep: "1", host: "x" });
  assert.equal((await anna.post(PATH, { ...hiddenInputs(wrong.text), keep: "1", host: "192.0.2.1" })).status, 303);
  assert.equal((await runsOf(bench)).length, 1);
});

Deno.test("again with these: the form has the values of an earlier run", async () => {
  await using bench = await openConsole();
  const anna = await visitorAs(bench, "anna");
  const { location } = await anna.submit(PATH, PATH, { keep: "7", target: "tape", ports: "80\n443", note: 'a"<b>' });
  const id = location!.split("/").at(-1)!;
  const link = `${PATH}?from=${id}`;
  assert.ok((await anna.get(location!)).text.includes(`href="${link}"`));
  const { text } = await anna.get(link);
  assert.match(text, /name="keep" required value="7"/);
  assert.match(text, /name="target" value="tape" checked/);
  assert.match(text, />\n80\n443<\/textarea>/);
  assert.match(text, /name="note" value="a&quot;&lt;b&gt;"/);
  const ben = await visitorAs(bench, "ben");
  assert.equal((await ben.get(link)).status, 404, "of somebody else");
  assert.equal((await anna.get(`${PATH}?from=nope`)).status, 404);
  const olga = await visitorAs(bench, "olga");
  assert.match((await olga.get(link)).text, /name="keep" required value="7"/);
  assert.equal((await olga.get(`/start/ops/purge?from=${id}`)).status, 404, "of another rule");
});

Deno.test("a value that holds a secret does not come back into the form", async () => {
  await using bench = await openConsole();
  const anna = await visitorAs(bench, "anna");
  const { location } = await anna.submit(PATH, PATH, { keep: "7", note: "use hook-secret" });
  const { text } = await anna.get(`${PATH}?from=${location!.split("/").at(-1)}`);
  assert.doesNotMatch(text, /hook-secret/);
  assert.match(text, /id="field-note-error">This value holds a secret: give it again/);
  assert.doesNotMatch((await anna.get(location!)).text, /hook-secret/);
});

Deno.test("a rule without inputs is one button; operators start rules without a manual trigger, too", async () => {
  await using bench = await openConsole();
  const olga = await visitorAs(bench, "olga");
  const { text } = await olga.get("/start/shop/paid");
  assert.doesNotMatch(text, /class="field/);
  const { status, location } = await olga.submit("/start/shop/paid", "/start/shop/paid");
  const [run] = await runsOf(bench);
  assert.deepEqual([status, location, run.event.by], [303, `/runs/${run.id}`, "olga"]);
  assert.doesNotMatch((await olga.get(location!)).text, /Start again with these/);
});

Deno.test("who may not start a rule neither sees its form nor starts it, and does not learn that it exists", async () => {
  await using bench = await openConsole();
  const anna = await visitorAs(bench, "anna");
  const proof = hiddenInputs((await anna.get(PATH)).text);
  for (const path of ["/start/ops/purge", "/start/nope"]) {
    const shown = await anna.get(path);
    assert.equal(shown.status, 403, path);
    assert.match(shown.text, /You may not start this/);
    assert.equal((await anna.post(path, proof)).status, 403, path);
  }
  assert.equal((await (await visitorAs(bench, "olga")).get("/start/nope")).status, 404);
  assert.deepEqual(await runsOf(bench), []);
});

Deno.test("a start needs the proof of a page of the session", async () => {
  await using bench = await openConsole();
  const anna = await visitorAs(bench, "anna");
  const inputs = { ...hiddenInputs((await anna.get(PATH)).text), keep: "1" };
  assert.equal((await anna.post(PATH, { ...inputs, "csrf-token": "made up" })).status, 403);
  const elsewhere = { origin: "https://evil.example", "sec-fetch-site": "cross-site" };
  assert.equal((await anna.post(PATH, inputs, elsewhere)).status, 403);
  assert.deepEqual(await runsOf(bench), []);
  assert.equal((await anna.post(PATH, inputs)).status, 303);
});

Deno.test("people see the runs that they started, without what only operators do; and no others", async () => {
  await using bench = await openConsole();
  const anna = await visitorAs(bench, "anna");
  const olga = await visitorAs(bench, "olga");
  const ben = await visitorAs(bench, "ben");
  const own = (await anna.submit(PATH, PATH, { keep: "12" })).location!;
  const hers = (await olga.submit(PATH, PATH, { keep: "2" })).location!;
  const { status, text } = await anna.get(own);
  assert.equal(status, 200);
  assert.match(text, /<h3>Data<\/h3>\n<pre tabindex="0">\{&quot;keep&quot;:12\}/);
  assert.doesNotMatch(text, /Cancel|Replay|href="\/(rules|events|go|runs\?)/);
  assert.equal((await anna.get(`${own}/value?of=inputs`)).status, 200);
  for (const path of [hers, `${hers}/value?of=event`, `${own}/cancel`, "/runs", "/runs/nope", "/events"]) {
    assert.equal((await anna.get(path)).status, 403, path);
  }
  assert.equal((await ben.get(own)).status, 403);
  assert.equal((await anna.post(`${own}/cancel`, hiddenInputs(text))).status, 403);
  assert.match((await olga.get(own)).text, /Cancel[^]*started by anna/);
});

Deno.test("a start that starts nothing says why", async () => {
  await using bench = await openConsole();
  await bench.context.operators.pause("ops/backup", "tape is full", "olga");
  const anna = await visitorAs(bench, "anna");
  assert.match((await anna.get(PATH)).text, /paused<\/a> [^<]*tape is full/);
  const { status, text } = await anna.submit(PATH, PATH, { keep: "1" });
  assert.equal(status, 200);
  assert.match(text, /Nothing has started[^]*disabled<\/a>[^<]*tape is full/);
});

Deno.test("values of the trigger are filled in; a default yields to a value that excludes it", async () => {
  const fields: Record<string, Field> = {
    keep: { type: "integer", required: true },
    when: { type: "text", required: true },
    all: { type: "boolean", required: false, default: true, conflicts: ["only"] },
    only: { type: "text", required: false },
  };
  const preset = manual(["finance"], { keep: 5, when: "${{ event.time }}" });
  await using bench = await openConsole([{ ...rule("ops/backup", [preset]), inputs: fields }]);
  const anna = await visitorAs(bench, "anna");
  const { text } = await anna.get(PATH);
  assert.match(text, /name="keep" required value="5"/);
  assert.match(text, /<input id="field-when" name="when" value="" type="text">/, "worked out when it starts");
  await anna.submit(PATH, PATH, { keep: "5", all: "true", only: "/srv" });
  const [run] = await runsOf(bench);
  assert.deepEqual([run.inputs!.keep, run.inputs!.all, run.inputs!.only], [5, null, "/srv"]);
  assert.equal(run.inputs!.when, run.event.time);
});

Deno.test("on this machine, while no token is set, everything can be started without a name", async () => {
  await using bench = await openBench(RULES);
  const { status } = await new Visitor(bench).submit(PATH, PATH, { keep: "1" });
  assert.equal(status, 303);
  assert.equal((await runsOf(bench))[0].event.by, "an operator");
});

/** A command as the loader makes it. */
const TOOL: Command = readCommands({
  "tools/tar.yaml": `command: tar
inputs:
  -f: { type: path }
  -z: { type: boolean }
  --level: { type: integer, min: 1, max: 9, requires: [-z] }
  files: { type: list, of: path, position: last }
end: "--"
`,
}).get("tools/tar.yaml")!.command!;

const packing = (given: JsonObject): Rule => ({
  ...rule("pack", [manual(["finance"])], [
    { ...step("call", { call: "./tools/tar.yaml", with: given }), id: "pack" },
    { ...step("call", { call: "./tools/tar.yaml", with: { "-f": "${{ steps.pack.files[0].name }}" } }), id: "look" },
  ]),
  file: "pack.yaml",
  inputs: {
    name: { type: "text", required: true },
    level: { type: "integer", required: false, default: 3 },
  },
  commands: { "tools/tar.yaml": TOOL },
});

Deno.test("the form shows the arguments of the rule's commands: with defaults, with what was typed, or why not yet", async () => {
  const given = { "-z": true, "--level": "${{ inputs.level }}", files: ["${{ inputs.name }}.txt"] };
  await using bench = await openConsole([packing(given)]);
  const anna = await visitorAs(bench, "anna");
  const opened = (await anna.get("/start/pack")).text;
  assert.match(
    opened,
    /href="\/commands\/tools\/tar">pack<\/a> <p class="soft"><code>tar<\/code>: known in the run, with --level, files/,
  );
  const shown = await anna.submit("/start/pack", "/start/pack", {
    name: "two words",
    level: "9",
    "start-preview": "yes",
  });
  assert.equal(shown.status, 200);
  assert.match(shown.text, /tar -z --level 9 -- &#39;two words\.txt&#39;<\/pre>/);
  assert.match(shown.text, /look<\/a> <p class="soft"><code>tar<\/code>: known in the run, with -f/);
  assert.match(shown.text, /name="name"[^>]* value="two words"/);
  const wrong = await anna.submit("/start/pack", "/start/pack", { name: "x", level: "12", "start-preview": "yes" });
  assert.match(wrong.text, /class="error">--level: expected at most 9, got 12/);
  const missing = await anna.submit("/start/pack", "/start/pack", { "start-preview": "yes" });
  assert.match(missing.text, /id="field-name-error">A value is needed/);
  assert.deepEqual(await runsOf(bench), [], "a preview starts nothing");
});

Deno.test("the forms and pages of rules with several steps show which follow which, and which run at the same time", async () => {
  const both = { ...step("parallel", { parallel: ["a", "b"] }), children: { a: [step("log")], b: [step("state")] } };
  const routine = rule("routine", [manual(["finance"])], [step("run"), both, { ...step("log"), id: "last" }]);
  await using bench = await openConsole([routine]);
  for (const [who, path] of [["anna", "/start/routine"], ["olga", "/rules/routine"]]) {
    const { text } = await (await visitorAs(bench, who)).get(path);
    const [, svg] = /<svg role="img" aria-label="The steps in their order"[^>]*>([^]*?)<\/svg>/.exec(text)!;
    const places = [...svg.matchAll(/<rect x="(\d+)" y="(\d+)"[^]*?<text[^>]*>([^<]*)</g)];
    const byLabel = Object.fromEntries(places.map(([, x, y, label]) => [label, { x: Number(x), y: Number(y) }]));
    const { run, log, state, "last: log": last } = byLabel;
    assert.ok(run.x < log.x && log.x === state.x && log.y < state.y && state.x < last.x, JSON.stringify(byLabel));
    assert.equal(svg.match(/class="next"/g)!.length, 4);
    assert.match(text, /run, then at the same time \(log\) and \(state\), then last: log\./);
  }
});

Deno.test("a field with a default that is cleared is not set", async () => {
  await using bench = await openConsole();
  const anna = await visitorAs(bench, "anna");
  await anna.submit(PATH, PATH, { keep: "1", target: "" });
  assert.equal((await runsOf(bench))[0].inputs!.target, null);
  await anna.submit(PATH, PATH, { keep: "1", target: "disk" });
  assert.equal((await runsOf(bench))[0].inputs!.target, "disk");
});
