import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { rulesFolder } from "./folder.ts";
import { type Answered, start } from "./program.ts";

/** A rule in TypeScript on the path of its name. */
const code = (name: string, then: string, more = `timeout: "3s",`) => ({
  [`${name}.ts`]: `
import { rule, webhook } from "whenthen";
export default rule({
  when: webhook("/${name}", { auth: "none" }),
  ${more}
  then: async ({ event, step }) => { ${then} },
});
`,
});

/** Each is bad in a way of its own; the words are part of what its run fails with. */
const BAD: Record<string, RegExp> = {
  loop: /timeout|took longer|worker|blocked|answer/i,
  slow_pattern: /timeout|took longer|worker|blocked|answer/i,
  throws: /thrown on purpose/,
  rejects: /nobody awaits this/,
  timer: /from a timer/,
  bomb: /memory|heap|took longer/i,
  deaf: /took longer than its timeout/,
  deep: /./,
};

const FILES = {
  ...code("loop", "while (true);"),
  // Again and again: the engine inside the binary gives such a match up after a second.
  ...code("slow_pattern", `for (;;) /^(a+)+$/.test("a".repeat(60) + "!");`),
  ...code("throws", `throw new Error("thrown on purpose");`),
  ...code("rejects", `Promise.reject(new Error("nobody awaits this")); await new Promise(() => {});`),
  ...code("timer", `setTimeout(() => { throw new Error("from a timer"); }); await new Promise(() => {});`),
  ...code("bomb", `const all: number[][] = []; for (;;) all.push(new Array(1e6).fill(all.length));`, `timeout: "15s",`),
  ...code("deep", `const nest = (n: number): unknown => [nest(n + 1)]; await step.do("nest", () => nest(0));`),
  "deaf.yaml": `
when: { webhook: /deaf, auth: none }
then:
  - run: [sh, -c, 'trap "" TERM; echo $$ > deaf.pid; while :; do sleep 0.05; done']
    timeout: 1s
`,
  "linear.yaml": `
when: { webhook: /linear, auth: none }
if: event.data.text.matches("^(a+)+$")
then:
  - log: never
`,
  "healthy.yaml": "when: { every: 1s }\nlimit: none\nthen:\n  - log: tick\n",
  "answers.yaml": "when: { webhook: /answers, auth: none }\nlimit: none\nthen:\n  - log: answered\n",
};

Deno.test("whatever a rule does, it fails alone: a healthy one keeps its pace, answers stay fast, nothing is left behind", async () => {
  await using folder = await rulesFolder(FILES);
  await using program = start(folder.rules, { data: folder.data });
  await program.waitForMessage("tick");
  const began = Date.now();
  for (const name of Object.keys(BAD)) assert.equal((await program.post(`/hooks/${name}`, {})).status, 202, name);
  const linear = await program.post("/hooks/linear", { text: "a".repeat(50_000) + "!" });
  assert.deepEqual([linear.status, linear.body.runs], [202, []], "a pattern in an expression takes linear time");

  const failed = (name: string) =>
    program.waitFor(`the end of ${name}`, ({ message }) => message.startsWith(`${name} failed`), 90_000);
  let over = false;
  const all = Promise.all(Object.keys(BAD).map(failed)).finally(() => over = true);
  let slowest = 0;
  while (!over) {
    const asked = performance.now();
    assert.equal((await program.post("/hooks/answers", {})).status, 202);
    slowest = Math.max(slowest, performance.now() - asked);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await all;
  const lasted = (Date.now() - began) / 1_000;
  const ticks = program.lines.filter(({ message }) => message === "tick").length;
  console.log(`${ticks} ticks in ${lasted.toFixed(1)} s; slowest answer ${slowest.toFixed(0)} ms`);
  assert.ok(ticks >= 0.8 * lasted, `${ticks} ticks in ${lasted} s`);
  assert.ok(slowest < 3_000, `${slowest} ms for an answer`);
  for (const [name, words] of Object.entries(BAD)) {
    const [run] = await program.api(`runs?rule=${name}`);
    assert.equal(run.state, "failed", name);
    assert.match(run.error.message, words, name);
  }
  const deaf = Number(await readFile(join(folder.rules, "deaf.pid"), "utf8"));
  // What was killed is gone when the kernel comes to it; what was not stays until the test gives up.
  for (const deadline = Date.now() + 10_000; livingMembers(deaf).length > 0;) {
    assert.ok(Date.now() < deadline, `its child or what that started is alive: ${livingMembers(deaf)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const queued: Answered[] = await program.api("runs?state=running");
  assert.deepEqual(queued.filter(({ rule }) => rule in BAD), [], "no run is stuck");
  assert.equal(await program.stop(), 0);
});

/** Processes of a group that still live. One that has ended may wait for init to take note of it: it is gone for us. */
function livingMembers(group: number): string[] {
  return readdirSync("/proc").filter((entry) => /^\d+$/.test(entry)).filter((pid) => {
    const [state, _parent, itsGroup] = statOf(pid);
    return Number(itsGroup) === group && state !== "Z" && state !== "X";
  });
}

/** What `/proc` says about a process behind its name, which may hold spaces and brackets. */
function statOf(pid: string): string[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  } catch {
    return [];
  }
}
