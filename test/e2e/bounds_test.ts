import assert from "node:assert/strict";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { rulesFolder } from "./folder.ts";
import { type Answered, type Program, start } from "./program.ts";

const DEPTH = 16;

function ended(program: Program, rule: string): number {
  return program.lines.filter(({ message }) => message.startsWith(`${rule} succeeded`)).length;
}

Deno.test("rules that trigger each other, and one that triggers itself over HTTP, end as looped past depth 16", async () => {
  await using folder = await rulesFolder({
    "ping.yaml": "when: { event: ping }\nthen:\n  - emit: pong\n",
    "pong.yaml": "when: { event: pong }\nthen:\n  - emit: ping\n",
    "echo.ts": `
import { rule, webhook } from "whenthen";
export default rule({
  when: webhook("/echo", { auth: "none" }),
  then: async ({ event, step }) => {
    const { url } = event.data as { url: string };
    await step.http("again", "POST " + url, { json: { url } });
  },
});
`,
  });
  await using program = start(folder.rules, { data: folder.data });
  const url = `${await program.url()}/hooks/echo`;
  await program.post("/events", { type: "ping" });
  await program.post("/hooks/echo", { url });
  for (const [rule, last] of [["ping", "pong"], ["echo", "echo"]]) {
    const line = await program.waitForMessage(`${last}: looped`);
    assert.match(line.message, /a chain ends after 16/, rule);
  }
  await program.waitFor(
    "the last runs",
    () => ended(program, "ping") + ended(program, "pong") === DEPTH + 1 && ended(program, "echo") === DEPTH + 1,
  );
  const events = await program.api("events?limit=100&rule=echo");
  const looped = events.filter(({ verdicts }: Answered) =>
    verdicts.some(({ verdict }: Answered) => verdict.kind === "looped")
  );
  assert.equal(looped.length, 1);
  assert.equal(looped[0].event.cause.depth, DEPTH + 1);
});

Deno.test("2,000 events into a limit of 100 a minute: each has its run, what is above is held and shown, none is dropped", async () => {
  await using folder = await rulesFolder({
    "slow.yaml": "when: { webhook: /slow, auth: none, dedupe: event.data.id }\nlimit: 100/m\nthen:\n  - log: done\n",
  });
  const runs = new Set<string>();
  {
    await using program = start(folder.rules, { data: folder.data });
    await program.url();
    for (let first = 0; first < 2_000; first += 50) {
      const answers = await Promise.all(
        Array.from({ length: 50 }, (_, index) => program.post("/hooks/slow", { id: first + index })),
      );
      for (const { status, body } of answers) {
        assert.equal(status, 202);
        for (const run of body.runs) runs.add(run);
      }
    }
    assert.equal(runs.size, 2_000);
    await program.waitFor("the first hundred", () => ended(program, "slow") >= 100);
    const [rule] = await program.api("rules");
    assert.equal(rule.verdicts.started + rule.verdicts.held, 2_000, JSON.stringify(rule));
    assert.ok(rule.verdicts.held >= 1_800, JSON.stringify(rule));
    assert.equal(await program.stop(), 0);
  }
  await using program = start(folder.rules, { data: folder.data });
  await program.waitForMessage("slow succeeded");
  const all: Answered[] = [];
  for (let page = ""; page !== "end";) {
    const listed = await program.api(`runs?limit=1000${page}`);
    all.push(...listed);
    page = listed.length === 1_000 ? `&before=${listed.at(-1).id}` : "end";
  }
  assert.equal(new Set(all.map(({ id }) => id)).size, 2_000);
  assert.deepEqual(all.filter(({ state }) => !["queued", "running", "succeeded"].includes(state)), []);
  const held = all.filter(({ state }) => state === "queued");
  assert.ok(held.length >= 1_800, `${held.length} held`);
  for (const { waitingFor, due } of held) assert.ok(waitingFor === "the rule's limit" && due > 0);
  const dues = held.map(({ due }) => due).sort((a, b) => a - b);
  assert.ok(dues.at(-1)! - dues[0] > 17 * 60_000, "they are spread over the minutes that the rate asks for");
});

Deno.test("mode restart: a run starts after the one it replaces is gone, child included, also over a crash", async () => {
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
  const seen = async () => (await readFile(join(folder.rules, "seen"), "utf8").catch(() => "")).trim().split("\n");
  const started = async (id: string) => {
    while (!(await seen()).includes(`start ${id}`)) await new Promise((resolve) => setTimeout(resolve, 20));
  };
  const post = async (program: Program, id: string) =>
    assert.equal((await program.post("/hooks/only", { id })).status, 202);
  {
    await using program = start(folder.rules, { data: folder.data });
    await post(program, "a");
    await started("a");
    await post(program, "b");
    await post(program, "c");
    await started("c");
    assert.deepEqual(await seen(), ["start a", "start c"], "b was replaced before it began");
    await post(program, "last");
    await program.kill();
  }
  // A crash takes nobody's children along; and where nobody reaps orphans, a dead one still has its number.
  process.kill(-Number(await readFile(join(folder.rules, "pid"), "utf8")), "SIGKILL");
  await rm(join(folder.rules, "pid"));
  await using program = start(folder.rules, { data: folder.data });
  await program.waitForMessage("only succeeded");
  assert.deepEqual(await seen(), ["start a", "start c", "start last"]);
  const runs = await program.api("runs");
  assert.deepEqual(runs.map(({ state }: Answered) => state), ["succeeded", "cancelled", "cancelled", "cancelled"]);
});
