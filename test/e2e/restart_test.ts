import assert from "node:assert/strict";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { rulesFolder } from "./folder.ts";
import { TestClock } from "./clock.ts";
import { until } from "./until.ts";
import { type Answered, type Program, start } from "./program.ts";

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
