import assert from "node:assert/strict";
import type { Command, Rule } from "../../../runtime/model/rule.ts";
import { readCommands } from "../../commands/support.ts";
import { type Bench, openBench, rule, step } from "../harness.ts";
import { hiddenInputs } from "../forms/harness.ts";
import { connect } from "./stream.ts";
import { ANNA, OPERATOR, Visitor } from "./visitor.ts";

const FILES = {
  "commands/curl.yaml": `command: curl
name: cURL
help: Transfers data
inputs:
  -m: { type: integer, join: "", help: Seconds that it may take }
  --retry: { type: integer, help: Attempts after the first }
  --retry-delay: { type: integer, requires: [--retry] }
  -I: { type: boolean, conflicts: [--data] }
  --data: { type: text }
  --color: { type: text, value: optional, join: "=" }
  --key: { type: secret, choices: [CURL_KEY], pass: env KEY }
  urls: { type: list, position: last }
end: "--"
`,
  "commands/head.yaml": "command: ./curl.yaml\nonly: [-I, -m]\nwith: { -I: true }\n",
  "nmap.yaml": "command: nmap\nroot: true\ninputs: { -sS: { type: boolean, root: true } }\n",
};
const COMMANDS: Command[] = [...readCommands(FILES).values()].map(({ command }) => command!);
const PATH = "/commands/commands/curl";

function fetching(): Rule {
  const trigger = { id: "manual", kind: "manual", at: { line: 1, column: 1 }, args: { manual: true, to: ["finance"] } };
  const call = step("call", { call: "./commands/curl.yaml", with: { urls: ["https://example.org/"] } });
  return { ...rule("fetch", [trigger], [call]), file: "fetch.yaml", commands: { "commands/curl.yaml": COMMANDS[0] } };
}

async function openConsole(): Promise<Bench> {
  const bench = await openBench([fetching()], { tokenless: false, tokens: ["operators-token"] }, COMMANDS);
  bench.people.push(structuredClone(OPERATOR), structuredClone(ANNA), {
    ...structuredClone(ANNA),
    id: "ben",
    name: "Ben",
    email: "ben@example.org",
    groups: [],
  });
  return bench;
}

async function visitorAs(bench: Bench, name: string): Promise<Visitor> {
  const visitor = new Visitor(bench);
  await visitor.signIn(name);
  return visitor;
}

const links = (text: string) => [...text.matchAll(/href="(\/commands\/[^"]+)"/g)].map(([, path]) => path);
const asked = (what: string, texts: Record<string, string> = {}) => ({ "asked for": what, ...texts });

Deno.test("/commands lists the commands, by text and by flag, and says that adding one is adding a file", async () => {
  await using bench = await openConsole();
  const olga = await visitorAs(bench, "olga");
  const all = await olga.get("/commands");
  assert.deepEqual(links(all.text), [PATH, "/commands/commands/head", "/commands/nmap"]);
  assert.match(all.text, /cURL[^]*curl[^]*Transfers data[^]*8 inputs[^]*1 rule/);
  assert.match(all.text, /nmap <span class="soft">as root/);
  assert.match(all.text, /Save a file in the rules folder, such as <code>commands\/wc\.yaml/);
  assert.match(all.text, /<a href="\/commands" aria-current="page">Commands<\/a>/);
  assert.deepEqual(links((await olga.get("/commands?text=transfers")).text), [PATH]);
  assert.deepEqual(links((await olga.get("/commands?flag=sS")).text), ["/commands/nmap"]);
  assert.deepEqual(links((await olga.get("/commands?flag=--retry")).text), [PATH, "/commands/commands/head"]);
  assert.match((await olga.get("/commands?text=none")).text, /No command is like that/);
});

Deno.test("a command's page has its inputs with help, what requires and excludes what, and the rules that call it", async () => {
  await using bench = await openConsole();
  const { status, text } = await (await visitorAs(bench, "olga")).get(PATH);
  assert.equal(status, 200);
  assert.match(text, /--retry-delay<\/td><td>integer<\/td>[^]*?requires --retry<\/td>/);
  assert.match(text, /-I<\/td><td>boolean<\/td>[^]*?excludes --data<\/td>/);
  assert.match(text, /--data<\/td><td>text<\/td>[^]*?excludes -I<\/td>/);
  assert.match(text, /Seconds that it may take/);
  const [, svg] = /<svg role="img" aria-label="What requires[^>]*>([^]*?)<\/svg>/.exec(text)!;
  assert.deepEqual([...svg.matchAll(/<text[^>]*>([^<]*)</g)].map(([, label]) => label), [
    "--retry",
    "--retry-delay",
    "-I",
    "--data",
  ]);
  assert.deepEqual([...svg.matchAll(/<path class="(\w+)"/g)].map(([, kind]) => kind), ["next", "excludes"]);
  assert.match(text, /<a href="\/rules\/fetch">fetch<\/a> <a href="\/start\/fetch">start it/);
  assert.match(text, /This page is the file <code>commands\/curl\.yaml/);
  assert.ok(!text.includes('style="'));
  const head = await (await visitorAs(bench, "olga")).get("/commands/commands/head");
  assert.match(head.text, /Always set<\/dt><dd><span class="mono">-I</);
  assert.match(head.text, /--data<\/td>[^]*?callers cannot set it/);
  assert.ok(!head.text.includes('name="--data"'));
});

Deno.test("a set is tried: its arguments, or all problems beside their fields with their paths; nothing starts", async () => {
  await using bench = await openConsole();
  const olga = await visitorAs(bench, "olga");
  const right = await olga.submit(
    PATH,
    PATH,
    asked("try", { "-m": "5", "-I": "true", urls: "https://x.org/?a b\n-x" }),
  );
  assert.equal(right.status, 200);
  assert.match(right.text, /It would run[^]*?curl -m5 -I -- &#39;https:\/\/x\.org\/\?a b&#39; -x<\/pre>/);
  assert.match(right.text, /name="-I" value="true" checked/);
  const alone = await olga.submit(PATH, PATH, asked("try", { "alone --color": "true" }));
  assert.match(alone.text, /curl --color<\/pre>/);
  assert.match(alone.text, /name="alone --color" value="true" checked/);

  const wrong = await olga.submit(
    PATH,
    PATH,
    asked("try", { "-m": "abc", "--retry-delay": "3", "-I": "true", "--data": "x" }),
  );
  assert.match(wrong.text, /3 problems; nothing has been started/);
  assert.match(wrong.text, /<a href="#field---retry">--retry is missing: --retry-delay requires --retry<\/a>/);
  assert.match(wrong.text, /id="field--I-error">-I conflicts with --data</);
  assert.match(wrong.text, /id="field--m-error">expected a whole number, got &quot;abc&quot;</);
  assert.match(wrong.text, /No set that contains this one would be valid/);
  assert.deepEqual(await bench.store.listRuns({ limit: 9 }), []);
});

Deno.test("of hundreds of flags a page shows a part; what is set in the others goes along, and a problem leads to its own", async () => {
  const flags = Array.from({ length: 200 }, (_, at) => `  --f${at}: { type: integer, max: 9 }`).join("\n");
  const many = [...readCommands({ "many.yaml": `command: many\ninputs:\n${flags}\n` }).values()];
  await using bench = await openBench([], { tokenless: false }, many.map(({ command }) => command!));
  bench.people.push(structuredClone(OPERATOR));
  const olga = await visitorAs(bench, "olga");
  const path = "/commands/many";
  const named = (text: string) => [...text.matchAll(/ id="field-(--f\d+)"/g)].map(([, name]) => name);
  const { text } = await olga.get(path);
  const first = named(text);
  assert.ok(first.length > 20 && first.length < 200, `${first.length} are shown`);
  assert.match(text, new RegExp(`Inputs 1 to ${first.length} of 200`));
  const second = await olga.submit(path, path, asked("part 2", { "--f3": "7" }));
  assert.equal(named(second.text)[0], `--f${first.length}`);
  assert.match(second.text, /<input type="hidden" name="--f3" value="7">/);
  const third = await olga.post(path, { ...hiddenInputs(second.text), ...asked("try", { "--f199": "8" }) });
  assert.match(third.text, /many --f3 7 --f199 8<\/pre>/);
  const wrong = await olga.post(path, { ...hiddenInputs(second.text), ...asked("try", { "--f3": "77" }) });
  assert.deepEqual(named(wrong.text), first, "the part with the problem");
  assert.match(wrong.text, /<a href="#field---f3">[^<]*at most 9[^]*id="field---f3-error"/);
});

Deno.test("complete adds what is required, and names what still needs a value", async () => {
  await using bench = await openConsole();
  const olga = await visitorAs(bench, "olga");
  const { text } = await olga.submit(PATH, PATH, asked("complete", { "--retry-delay": "3" }));
  assert.match(text, /To complete it: --retry \(needs a value\)/);
  assert.match(text, /<a href="#field---retry">--retry is missing/);
});

Deno.test("a start leads to its run, which has the values as given; two clicks are one run", async () => {
  await using bench = await openConsole();
  const olga = await visitorAs(bench, "olga");
  const hidden = hiddenInputs((await olga.get(PATH)).text);
  const texts = {
    ...hidden,
    ...asked("start", { "-m": "5", "alone --color": "true", urls: "https://example.org/; rm -rf ~" }),
  };
  const both = await Promise.all([olga.post(PATH, texts), olga.post(PATH, texts)]);
  const [run, ...others] = await bench.store.listRuns({ limit: 9 });
  assert.deepEqual([others.length, ...both.map(({ location }) => location)], [0, `/runs/${run.id}`, `/runs/${run.id}`]);
  assert.deepEqual([run.rule, run.event.by], ["commands/curl", "olga"]);
  assert.deepEqual(run.event.data, { "-m": 5, "--color": true, urls: ["https://example.org/; rm -rf ~"] });

  const page = await olga.get(`/runs/${run.id}`);
  assert.match(page.text, new RegExp(`Runs</a> of <a href="${PATH}">commands/curl</a>`));
  const again = `${PATH}?from=${run.id}`;
  assert.ok(page.text.includes(`href="${again}"`));
  const form = (await olga.get(again)).text;
  assert.match(form, /name="-m"[^>]* value="5"/);
  assert.match(form, /name="alone --color" value="true" checked/);
  assert.match(form, /Its runs[^]*commands\/curl[^]*started by olga/);

  const refused = await olga.submit(PATH, PATH, asked("start", { "--retry-delay": "3" }));
  assert.equal(refused.status, 422);
  assert.match(refused.text, /id="field---retry-error"/);
  assert.equal((await bench.store.listRuns({ limit: 9 })).length, 1);
});

Deno.test("a command is started by the API, too, and everything that is wrong is said before", async () => {
  await using bench = await openConsole();
  const start = (inputs: Record<string, string | number>) =>
    bench.post("/api/rules/commands/curl/start", { inputs }, { authorization: "Bearer operators-token" });
  assert.equal((await start({ "-m": 5 })).status, 202);
  const refused = await start({ "-m": "x", "--retry-delay": 1 });
  assert.equal(refused.status, 422);
  assert.deepEqual(Object.keys(refused.body.problems), ["--retry", "-m"]);
});

Deno.test("others see the commands of the rules that they may start, can try, and start nothing by itself", async () => {
  await using bench = await openConsole();
  const anna = await visitorAs(bench, "anna");
  const list = await anna.get("/commands");
  assert.deepEqual(links(list.text), [PATH]);
  assert.doesNotMatch(list.text, /Add a command/);
  const { text } = await anna.get(PATH);
  assert.doesNotMatch(text, /Its runs|value="start"|href="\/rules\//);
  assert.match(text, /fetch <a href="\/start\/fetch">start it/);
  assert.match((await anna.submit(PATH, PATH, asked("try", { "-m": "5" }))).text, /curl -m5<\/pre>/);
  assert.equal((await anna.submit(PATH, PATH, asked("start", { "-m": "5" }))).status, 200);
  assert.deepEqual(await bench.store.listRuns({ limit: 9 }), []);
  assert.equal((await anna.get("/commands/nmap")).status, 404);
  const ben = await visitorAs(bench, "ben");
  assert.match((await ben.get("/commands")).text, /You may start nothing that uses a command/);
  assert.equal((await ben.get(PATH)).status, 404);
});

Deno.test("the page of a command hears of its runs, with what they print", async () => {
  await using bench = await openConsole();
  const olga = await visitorAs(bench, "olga");
  const { location } = await olga.submit(PATH, PATH, asked("start", { "-m": "5" }));
  const [run] = await bench.store.claimRuns("test", 9, bench.clock.now());
  assert.equal(location, `/runs/${run.run.id}`);
  const live = bench.outputs.open(
    run.run.id,
    "command",
  );
  live.write("stdout", new TextEncoder().encode("half of it\nwith <hook-secret>\n"));
  for (const path of [PATH, location!]) {
    const { text } = await olga.get(path);
    assert.match(text, /What <a href="[^"]*">command<\/a> prints[^]*half of it\nwith &lt;\*\*\*&gt;/);
    assert.ok(!text.includes("hook-secret"));
  }
  live.close();
});

Deno.test("the pages of a run and of its command are live: at most two patches a second, and a link when it has ended", async () => {
  await using bench = await openBench([], {}, COMMANDS);
  const { body: { runs: [id] } } = await bench.post("/api/rules/commands/curl/start", { inputs: { "-m": 5 } });
  await bench.store.claimRuns("test", 9, bench.clock.now());
  const live = bench.outputs.open(id, "command");
  const write = (text: string) => live.write("stderr", new TextEncoder().encode(text));
  const streams = await Promise.all([`/runs/${id}`, PATH].map(async (page) => {
    const { body } = await bench.ask("GET", page, { headers: { accept: "text/html" } });
    return await connect(bench, /hx-sse:connect="([^"]*)"/.exec(body)![1].replaceAll("&amp;", "&"));
  }));
  const since = performance.now();
  write(" 10 %\r 20 %\nhalf & hook-secret\r\n");
  for (const stream of streams) {
    const heard = await stream.until(/half/);
    assert.match(heard, /<pre class="tail" tabindex="0"> 20 %\ndata: half &amp; \*\*\*\n/);
    assert.ok(!heard.includes("hook-secret"));
  }
  const [first] = streams;
  for (const number of [1, 2, 3]) {
    write(`line ${number}\n`);
    await first.until(new RegExp(`line ${number}`));
  }
  assert.ok(performance.now() - since > 1_450, "half a second is between each two of four patches");
  live.close();
  await bench.store.finishRun(id, { state: "succeeded", output: null, spent: 1 }, bench.clock.now());
  await first.until(new RegExp(`The run has ended: <a href="/runs/${id}">show it</a>`));
  await Promise.all(streams.map((stream) => stream.close()));
});

Deno.test("somebody's own run is live for them, and no other page is", async () => {
  await using bench = await openConsole();
  const anna = await visitorAs(bench, "anna");
  const { location } = await anna.submit("/start/fetch", "/start/fetch");
  const id = location!.split("/").at(-1)!;
  assert.match((await anna.get(location!)).text, /hx-sse:connect="\/live\?page=run&amp;run=/);
  const ben = await visitorAs(bench, "ben");
  assert.equal((await ben.get(`/live?page=run&run=${id}`)).status, 403);
  assert.equal((await anna.get(`/live?page=runs&run=${id}`)).status, 403);
});
