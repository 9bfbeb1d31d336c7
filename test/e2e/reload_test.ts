import assert from "node:assert/strict";
import { renameSync, writeFileSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { TestClock } from "./clock.ts";
import { rulesFolder } from "./folder.ts";
import { type Answered, type Program, start } from "./program.ts";
import { until } from "./until.ts";
import { WebServer } from "./web_server.ts";

const hook = (text: string) => `
when: { webhook: /in, auth: none, dedupe: event.data.id }
limit: none
then:
  - log: "${text} \${{ event.data.id }}"
`;

Deno.test("ten saves within a second under load: the last content is live after at most three loads, no event is lost or duplicated", async () => {
  await using folder = await rulesFolder({ "in.yaml": hook("v0") });
  await using program = start(folder.rules, { data: folder.data });
  await program.url();
  let sent = 0;
  let saving = true;
  const load = (async () => {
    while (saving) {
      const { status } = await program.post("/hooks/in", { id: ++sent });
      assert.equal(status, 202);
    }
  })();
  // Without a pause between them, so that they fall within a second however busy the machine is.
  for (let save = 1; save <= 10; save++) saveAtOnce(folder.rules, "in.yaml", hook(`v${save}`));
  await program.waitFor("a run of the last version", ({ message }) => message.startsWith("v10 "));
  saving = false;
  await load;
  const runs = () => program.lines.filter(({ message }) => /^v\d+ \d+$/.test(message));
  await program.waitFor("the last event's run", ({ message }) => message.endsWith(` ${sent}`));
  await program.waitFor("all runs", () => runs().length >= sent);
  const ids = runs().map(({ message }) => Number(message.split(" ")[1])).sort((a, b) => a - b);
  assert.deepEqual(ids, Array.from({ length: sent }, (_, index) => index + 1));
  const loads = program.lines.filter(({ message }) => message.startsWith("loaded in "));
  assert.ok(loads.length - 1 <= 3, `${loads.length - 1} loads`);
});

/** Saves as most editors do, synchronously. */
function saveAtOnce(folder: string, name: string, text: string): void {
  writeFileSync(join(folder, "..", name), text);
  renameSync(join(folder, "..", name), join(folder, name));
}

Deno.test("a broken file keeps its last good version, and the problem has its position", async () => {
  await using folder = await rulesFolder({ "in.yaml": hook("good") });
  await using program = start(folder.rules, { data: folder.data });
  await program.url();
  await folder.write("in.yaml", hook("bad").replace("log:", "lgo:"));
  const kept = await program.waitForMessage("kept in");
  assert.match(kept.message, /in\.yaml:5:5: .*"?lgo"?/);
  assert.match(kept.message, /\^/);
  assert.equal((await program.post("/hooks/in", { id: "x" })).status, 202);
  await program.waitForMessage("good x");
  await folder.write("in.yaml", hook("mended"));
  await program.waitForMessage("loaded in");
  await rm(join(folder.rules, "in.yaml"));
  await program.waitForMessage("removed in");
  assert.equal((await program.post("/hooks/in", { id: "y" })).status, 404);
});

Deno.test("a file that broke while the program was down keeps its last good version", async () => {
  await using folder = await rulesFolder({
    "in.yaml": hook("good"),
    "gone.yaml": hook("gone").replace("/in", "/gone"),
  });
  {
    await using program = start(folder.rules, { data: folder.data });
    await program.url();
    assert.equal(await program.stop(), 0);
  }
  await folder.write("in.yaml", hook("bad").replace("log:", "lgo:"));
  await rm(join(folder.rules, "gone.yaml"));
  await using program = start(folder.rules, { data: folder.data });
  assert.equal((await program.post("/hooks/in", { id: "x" })).status, 202);
  await program.waitForMessage("kept in");
  await program.waitForMessage("good x");
  assert.equal((await program.post("/hooks/gone", { id: "y" })).status, 404);
});

Deno.test("reordering the triggers of a rule keeps their cursors; a changed key starts a new baseline", async () => {
  await using peer = await WebServer.start((_, response) => {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify([{ id: 1, sku: "a", price: 5 }, { id: 2, sku: "b", price: 7 }]));
  });
  const poll = (name: string, key: string) => `  - poll: ${peer.url}/${name}\n    every: 1s\n    key: ${key}\n`;
  const rule = (...polls: string[]) => `when:\n${polls.join("")}then:\n  - log: "changed \${{ event.subject }}"\n`;
  await using folder = await rulesFolder({ "p.yaml": rule(poll("one", "item.id"), poll("two", "item.id")) });
  await using program = start(folder.rules, { data: folder.data });
  const polledTwice = async () => {
    const counts = ["/one", "/two"].map((wanted) => [wanted, peer.seen.filter(({ path }) => path === wanted).length]);
    for (const [wanted, count] of counts) await peer.waitFor(Number(count) + 2, ({ path }) => path === wanted);
  };
  await polledTwice();
  await folder.write("p.yaml", rule(poll("two", "item.id"), poll("one", "item.id")));
  await program.waitFor(
    "the reload",
    () => program.lines.filter(({ message }) => message.startsWith("loaded p")).length === 2,
  );
  await polledTwice();
  await folder.write("p.yaml", rule(poll("two", "item.sku"), poll("one", "item.id")));
  await program.waitFor(
    "the reload",
    () => program.lines.filter(({ message }) => message.startsWith("loaded p")).length === 3,
  );
  await polledTwice();
  assert.deepEqual(await program.api("runs"), []);
  peer.answer((_, response) => {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify([{ id: 1, sku: "a", price: 6 }, { id: 2, sku: "b", price: 7 }]));
  });
  await program.waitForMessage("changed a");
  await program.waitForMessage("changed 1");
});

Deno.test("mode restart: a run starts after the replaced one and its child have ended, also across a crash", async () => {
  await using folder = await rulesFolder({
    "only.yaml": `
when: { webhook: /only, auth: none }
mode: restart
then:
  - run: [sh, only.sh]
    env: { ID: "\${{ event.data.id }}" }
`,
    // It ignores SIGTERM, so that its end takes two seconds.
    "only.sh": `
trap "" TERM
if [ -f pid ] && kill -0 "$(cat pid)" 2>/dev/null; then echo "overlap $ID" >> seen; fi
echo $$ > pid
echo "start $ID" >> seen
[ "$ID" = last ] && exit
while :; do sleep 0.05; done
`,
  });
  const seen = async () =>
    (await readFile(join(folder.rules, "seen"), "utf8").catch(() => "")).split("\n").slice(0, -1);
  const started = (count: number) => until(`the start of run ${count}`, seen, ({ length }) => length >= count);
  const post = async (program: Program, id: string) =>
    assert.equal((await program.post("/hooks/only", { id })).status, 202);
  {
    await using program = start(folder.rules, { data: folder.data });
    await post(program, "a");
    assert.deepEqual(await started(1), ["start a"]);
    // Sent together: on a slow machine the first would otherwise begin before the second arrives.
    await Promise.all([post(program, "b"), post(program, "c")]);
    const [last] = await program.api("runs");
    assert.deepEqual(await started(2), ["start a", `start ${last.event.data.id}`], "one was replaced before it began");
    await post(program, "last");
    await program.kill();
  }
  // A crash does not end children; and if nobody reaps orphans, a dead one keeps its pid.
  process.kill(-Number(await readFile(join(folder.rules, "pid"), "utf8")), "SIGKILL");
  await rm(join(folder.rules, "pid"));
  await using program = start(folder.rules, { data: folder.data });
  await program.waitForMessage("only succeeded");
  const all = await seen();
  assert.deepEqual([all.length, all[0], all[2]], [3, "start a", "start last"]);
  const runs = await program.api("runs");
  assert.deepEqual(runs.map(({ state }: Answered) => state), ["succeeded", "cancelled", "cancelled", "cancelled"]);
});

Deno.test("the lifetime of identities applies from the first delivery after a start", async () => {
  await using folder = await rulesFolder({
    "whenthen.yaml": "retention: { identities: 60d }\n",
    "in.yaml": "when: { webhook: /in, auth: none, dedupe: event.data.id }\nthen:\n  - log: seen\n",
  });
  const clock = await TestClock.in(join(folder.rules, ".."), Date.parse("2026-06-01T12:00:00Z"));
  const deliver = async () => {
    await using program = start(folder.rules, { data: folder.data, env: clock.env });
    const { status } = await program.post("/hooks/in", { id: 1 });
    assert.equal(await program.stop(), 0);
    return status;
  };
  assert.equal(await deliver(), 202);
  await clock.set(Date.parse("2026-07-15T12:00:00Z"));
  assert.equal(await deliver(), 200);
});
