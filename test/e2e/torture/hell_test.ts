import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { rulesFolder } from "../folder.ts";
import { type Answered, type Program, start } from "../program.ts";
import { until } from "../until.ts";
import { type Seen, WebServer } from "../web_server.ts";
import { listAll } from "./provider.ts";
import { residentMegabytes } from "./resources.ts";
import { pause, size } from "./size.ts";

/** A rule in TypeScript on the path of its name. */
const code = (name: string, then: string, more = "") => ({
  [`${name}.ts`]: `
import { rule, webhook } from "whenthen";
export default rule({
  when: webhook("/${name}", { auth: "none" }),
  ${more}
  then: async ({ event, step }) => { ${then} },
});
`,
});

/** A rule in YAML on the path of its name, with one step. */
const yaml = (name: string, ...step: string[]) => ({
  [`${name}.yaml`]: `
when: { webhook: /${name}, auth: none }
then:
  - ${step.join("\n    ")}
`,
});

/** A rule that does not load. */
const atImport = (name: string, statement: string) => ({
  [`${name}.ts`]: `
import { event, rule } from "whenthen";
${statement}
export default rule({ when: event("never"), then: async () => {} });
`,
});

/** By bad rule: a part of the error message of its runs. */
const FAILS: Record<string, RegExp> = {
  loop: /timeout|took longer|worker|blocked|answer/i,
  slow_pattern: /timeout|took longer|worker|blocked|answer/i,
  throws: /thrown on purpose/,
  rejects: /nobody awaits this/,
  timer: /from a timer/,
  bomb: /memory|heap|took longer/i,
  deep: /./,
  asks: /timeout|took longer|worker|blocked|answer/i,
  deaf: /took longer than its timeout/,
  silent: /took longer than its timeout/,
  drips: /took longer than its timeout/,
  flood: /it wrote 1000000000 bytes, at most 10000000 are kept/,
};

/** Rules that trigger themselves: beyond this depth the verdict is `looped`. */
const DEPTH = 16;

const files = (peer: string) => ({
  ...code("loop", "while (true);", `timeout: "3s",`),
  // Repeated: the engine of the binary abandons such a match after a second.
  ...code("slow_pattern", `for (;;) /^(a+)+$/.test("a".repeat(60) + "!");`, `timeout: "3s",`),
  ...code("throws", `throw new Error("thrown on purpose");`),
  ...code("rejects", `Promise.reject(new Error("nobody awaits this")); await new Promise(() => {});`),
  ...code("timer", `setTimeout(() => { throw new Error("from a timer"); }); await new Promise(() => {});`),
  ...code("bomb", `const all: number[][] = []; for (;;) all.push(new Array(1e6).fill(all.length));`, `timeout: "15s",`),
  ...code("deep", `const nest = (n: number): unknown => [nest(n + 1)]; await step.do("nest", () => nest(0));`),
  ...code("asks", `await step.log("say", "never");`, `if: () => { for (;;); },`),
  ...code("fine", `await step.do("count", () => 1);`),
  ...code("echo", `await step.http("again", "POST " + event.data.url, { json: { url: event.data.url } });`),
  ...atImport("throwing", `throw new Error("at import");`),
  ...atImport("endless", "for (;;);"),
  "linear.yaml": `
when: { webhook: /linear, auth: none }
if: event.data.text.matches("^(a+)+$")
then:
  - log: never
`,
  "loops.yaml": `
when: { webhook: /loops, auth: none }
if: event.data.map(a, event.data.map(b, event.data.map(c, a + b + c))) == []
then:
  - log: never
`,
  // It ends by itself after some time, if nothing ends it.
  ...yaml(
    "deaf",
    `run: [sh, -c, 'trap "" TERM; echo $$ > deaf.pid; (sleep 300 & sleep 300) & for i in $(seq 3000); do sleep 0.1; done']`,
    "timeout: 5s",
  ),
  ...yaml("silent", `http: POST ${peer}/silent`, "timeout: 2s", "retry: 1"),
  ...yaml("drips", `http: GET ${peer}/drips`, "timeout: 2s", "retry: 1"),
  ...yaml("busy", `http: GET ${peer}/busy`),
  ...yaml("flood", `run: [sh, -c, "head -c 1000000000 /dev/zero | tr '\\\\0' x"]`, "timeout: 10m"),
  "ping.yaml": "when: { event: ping }\nthen:\n  - emit: pong\n",
  "pong.yaml": "when: { event: pong }\nthen:\n  - emit: ping\n",
  "self.yaml": "when: { event: self }\nthen:\n  - emit: self\n",
  "healthy.yaml": "when: { every: 1s }\nlimit: none\nthen:\n  - log: tick\n",
  "answers.yaml": "when: { webhook: /answers, auth: none }\nlimit: none\nthen:\n  - log: answered\n",
});

/** A peer that does not answer, answers a byte a second, or sends Retry-After. */
function unhelpful({ path }: Seen, response: ServerResponse): void {
  if (path === "/busy") response.writeHead(429, { "retry-after": "3600" }).end();
  if (path !== "/drips") return;
  response.writeHead(200, { "content-type": "text/plain" });
  const timer = setInterval(() => response.write("x"), 1_000);
  response.on("close", () => clearInterval(timer));
}

Deno.test("hostile rules, all at once: each fails or is delayed alone, a healthy one keeps its pace, nothing leaks", async () => {
  await using peer = await WebServer.start(unhelpful);
  await using folder = await rulesFolder(files(peer.url));
  await using program = start(folder.rules, { data: folder.data });
  const url = `${await program.url()}/hooks/echo`;
  for (const [name, why] of [["throwing", "at import"], ["endless", "was not loaded after"]]) {
    await program.waitFor(name, ({ message }) => message.startsWith(`failed ${name}`) && message.includes(why));
  }
  // Files that exceed the timeout of the first load come with a later one.
  for (const name of [...Object.keys(FAILS), "fine", "echo"]) await program.waitForMessage(`loaded ${name} `);
  await program.waitForMessage("tick");
  const before = residentMegabytes(program);
  const began = Date.now();
  for (const name of [...Object.keys(FAILS), "busy"]) {
    assert.equal((await program.post(`/hooks/${name}`, {})).status, 202, name);
  }
  assert.equal((await program.post("/hooks/echo", { url })).status, 202);
  for (const type of ["ping", "self"]) assert.equal((await program.post("/events", { type })).status, 202);
  const linear = await program.post("/hooks/linear", { text: "a".repeat(50_000) + "!" });
  assert.deepEqual([linear.status, linear.body.runs], [202, []], "a pattern in an expression takes linear time");

  const list = Array.from({ length: 10_000 }, (_, index) => index);
  assert.deepEqual((await program.post("/hooks/loops", list)).body.runs, []);
  await program.waitFor("its verdict", ({ message }) => /^loops: error.*takes longer than/.test(message));

  let over = false;
  const ends = [...Object.keys(FAILS)].map((name) => ended(program, name, name === "asks" ? "error" : "failed"));
  const all = Promise.all(ends).finally(() => over = true);
  let slowest = 0;
  // The healthy rule must keep the pace that a plain timer keeps on this machine.
  let seconds = 0;
  const beside = setInterval(() => seconds++, 1_000);
  const ticksBefore = ticksOf(program);
  while (!over) {
    const asked = performance.now();
    assert.equal((await program.post("/hooks/answers", {})).status, 202);
    slowest = Math.max(slowest, performance.now() - asked);
    await pause(100);
  }
  await all;
  const lasted = (Date.now() - began) / 1_000;
  clearInterval(beside);
  const ticks = ticksOf(program) - ticksBefore;
  console.log(`${lasted.toFixed(1)} s; ${ticks} ticks in ${seconds} s; slowest answer ${slowest.toFixed(0)} ms`);
  assert.ok(ticks >= 0.5 * seconds, `${ticks} ticks in ${seconds} s`);
  assert.ok(slowest < 10_000, `${slowest} ms for an answer`);

  for (const [name, words] of Object.entries(FAILS)) {
    const [run] = await program.api(`runs?rule=${name}`);
    assert.equal(run.state, "failed", name);
    assert.match(run.error.message, words, name);
  }
  for (const chain of ["echo", "ping", "self"]) await looped(program, chain);
  // A rule with a Retry-After of an hour waits, and delays nobody.
  const held = () => program.api("runs?rule=busy");
  const [busy] = await until("the run that is to come again", held, ([{ state }]) => state === "waiting");
  assert.ok(busy.due > Date.now() + 3_000_000);

  const deaf = Number(await readFile(join(folder.rules, "deaf.pid"), "utf8"));
  // A killed process disappears when the kernel reaps it; another one stays until the test fails.
  await until("its child to end", () => Promise.resolve(livingMembers(deaf)), ({ length }) => length === 0);
  const memory = () => Promise.resolve(residentMegabytes(program));
  const left = await until("the memory to come back", memory, (now) => now < before + 250);
  console.log(`${before} MB before, ${left} MB after`);
  assert.equal((await program.post("/hooks/fine", {})).status, 202);
  await ended(program, "fine", "succeeded");
  const running: Answered[] = await program.api("runs?state=running");
  assert.deepEqual(running.filter(({ rule }) => rule in FAILS), [], "no run is stuck");
  assert.equal(await program.stop(), 0);
});

/** How often the healthy rule has run. */
function ticksOf(program: Program): number {
  return program.lines.filter(({ message }) => message === "tick").length;
}

/** Waits for the log line with the end of the rule's run. */
function ended(program: Program, rule: string, how: string) {
  return program.waitFor(`the end of ${rule}`, ({ message }) => new RegExp(`^${rule}:? ${how}`).test(message), 600_000);
}

/** The chain that begins with that rule's run has ended after 16 runs, with one verdict that says so. */
async function looped(program: Program, rule: string): Promise<void> {
  const chain = rule === "ping" ? ["ping", "pong"] : [rule];
  await program.waitFor(
    "the end of the chain",
    ({ message }) =>
      chain.some((each) => message.startsWith(`${each}: looped`)) && /a chain ends after 16/.test(message),
  );
  const all = (await Promise.all(chain.map((each) => listAll(program, "events", each)))).flat();
  const ends = all.filter(({ verdicts }) =>
    verdicts.some(({ rule, verdict }: Answered) => chain.includes(rule) && verdict.kind === "looped")
  );
  assert.equal(ends.length, 1, rule);
  assert.equal(ends[0].event.cause.depth, DEPTH + 1);
  const runs = (await Promise.all(chain.map((each) => listAll(program, "runs", each)))).flat();
  assert.equal(runs.length, DEPTH + 1, rule);
}

/** Live processes of a group. One that has ended may wait for init to reap it: it does not count. */
function livingMembers(group: number): string[] {
  return readdirSync("/proc").filter((entry) => /^\d+$/.test(entry)).filter((pid) => {
    const [state, _parent, itsGroup] = statOf(pid);
    return Number(itsGroup) === group && state !== "Z" && state !== "X";
  });
}

/** The fields in `/proc` after the process name, which may contain spaces and brackets. */
function statOf(pid: string): string[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  } catch {
    return [];
  }
}

const EVENTS = size(2_000, 10_000);

Deno.test("thousands of events into a limit of 100 a minute: each gets its run, runs above the limit are delayed and shown, none is dropped", async () => {
  await using folder = await rulesFolder({
    "slow.yaml": "when: { webhook: /slow, auth: none, dedupe: event.data.id }\nlimit: 100/m\nthen:\n  - log: done\n",
  });
  const runs = new Set<string>();
  {
    await using program = start(folder.rules, { data: folder.data });
    await program.url();
    for (let first = 0; first < EVENTS; first += 50) {
      const answers = await Promise.all(
        Array.from({ length: 50 }, (_, index) => program.post("/hooks/slow", { id: first + index })),
      );
      for (const { status, body } of answers) {
        assert.equal(status, 202);
        for (const run of body.runs) runs.add(run);
      }
    }
    assert.equal(runs.size, EVENTS);
    await program.waitFor("the first hundred", () => {
      return program.lines.filter(({ message }) => message.startsWith("slow succeeded")).length >= 100;
    });
    const [rule] = await program.api("rules");
    assert.equal(rule.verdicts.started + rule.verdicts.held, EVENTS, JSON.stringify(rule));
    assert.ok(rule.verdicts.held >= 0.8 * EVENTS, JSON.stringify(rule));
    assert.equal(await program.stop(), 0);
  }
  await using program = start(folder.rules, { data: folder.data });
  await program.waitForMessage("slow succeeded");
  const all = await listAll(program, "runs", "slow");
  assert.equal(new Set(all.map(({ id }) => id)).size, EVENTS);
  assert.deepEqual(all.filter(({ state }) => !["queued", "running", "succeeded"].includes(state)), []);
  const held = all.filter(({ state }) => state === "queued");
  assert.ok(held.length >= 0.8 * EVENTS, `${held.length} held`);
  for (const { waitingFor, due } of held) assert.ok(waitingFor === "the rule's limit" && due > 0);
  const dues = held.map(({ due }) => due).sort((a, b) => a - b);
  assert.ok(
    dues.at(-1)! - dues[0] > (held.length / 100 - 2) * 60_000,
    "they are spread over the minutes that the rate asks for",
  );
});
