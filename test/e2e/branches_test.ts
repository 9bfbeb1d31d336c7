import assert from "node:assert/strict";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { rulesFolder } from "./folder.ts";
import { start } from "./program.ts";
import { until } from "./until.ts";

Deno.test("branches of a rule's function: across kill and restart each step is done once, and children of lost branches end", async () => {
  await using folder = await rulesFolder({
    "order.ts": `
import { readFile, rm } from "node:fs/promises";
import { event, rule, type } from "whenthen";
const told = (text: string) => ["sh", "-c", "echo " + text + "; echo " + text + " >> told.txt"];
async function* chunks() { yield 1; await null; yield 2; }
const pauses = [
  () => new Promise((resolve) => setTimeout(resolve, 1)),
  async () => { for await (const _ of chunks()) await readFile(import.meta.filename!); },
  () => Promise.all([fetch("data:,x").then((response) => response.text()), new Promise<void>((done) => queueMicrotask(done))]),
];
export default rule({
  when: event("order", type<{ lines: string[] }>()),
  then: async ({ event, step }) => {
    const both = await step.all("both", {
      lines: () => step.each("items", event.data.lines, async (line, index) => {
        await pauses[index]();
        const { stdout } = await step.run("save", told(line));
        return index + stdout.trim();
      }, { max: 2, rate: "100/s" }),
      race: () => step.any("first", {
        slow: async () => { await step.run("sleep", ["sh", "-c", "echo $$ > pid.txt; exec sleep 1000"]); return "slow"; },
        paid: async () => {
          const paid = await step.waitFor<{ amount: number }>("payment", "payment", { timeout: "1d" });
          return await step.all("after", {
            tell: () => step.run("tell", told("paid")),
            amount: () => paid?.data.amount,
          });
        },
      }),
    });
    const gone = await step.run("gone", ["sh", "-c", "kill -0 $(cat pid.txt)"], { ok: [0, 1] });
    await step.log("end", JSON.stringify({ ...both, gone: gone.code }));
  },
});
`,
  });
  const pidFile = join(folder.rules, "pid.txt");
  const startedSleeper = () =>
    until("the slow branch", async () => Number(await readFile(pidFile, "utf8").catch(() => "")), (pid) => pid > 0);
  const runOf = async (program: ReturnType<typeof start>) => {
    const [{ id }] = await program.api("runs");
    return await program.api(`runs/${id}`);
  };
  const waits = (program: ReturnType<typeof start>) =>
    until("the lines to be saved and the payment to be waited for", () => runOf(program), ({ steps }) => {
      const saved = steps.filter(({ kind, state }: { kind: string; state: string }) =>
        kind === "run" && state === "succeeded"
      );
      return saved.length === 3 && steps.some(({ path }: { path: string }) => path === "both/race/first/paid/payment");
    });
  {
    await using program = start(folder.rules, { data: folder.data });
    await program.post("/events", { type: "order", source: "/shop", id: "1", data: { lines: ["a", "b", "c"] } });
    await waits(program);
    const sleeper = await startedSleeper();
    await program.kill();
    // Nothing else ends it now.
    process.kill(sleeper);
    await rm(pidFile);
  }
  await using program = start(folder.rules, { data: folder.data });
  await waits(program);
  await startedSleeper();
  await program.post("/events", { type: "payment", source: "/shop", id: "2", data: { amount: 5 } });
  const { message } = await program.waitForMessage('"gone"');
  const { lines, race, gone } = JSON.parse(message.slice(message.indexOf("{")));
  assert.deepEqual([lines.results, race.winner, race.result.amount, gone], [["0a", "1b", "2c"], "paid", 5, 1]);
  // The line is printed before the step is recorded, and the run ends with that.
  const { steps } = await until("the run to end", () => runOf(program), ({ run }) => run.state === "succeeded");
  const told = (await readFile(join(folder.rules, "told.txt"), "utf8")).trim().split("\n");
  assert.deepEqual(
    told.slice(0, 3).sort(),
    ["a", "b", "c"],
    "each line once, in any order, as branches are concurrent",
  );
  assert.deepEqual(told.slice(3), ["paid"]);
  const state = Object.fromEntries(steps.map(({ path, state }: { path: string; state: string }) => [path, state]));
  assert.equal(state["both/race/first/slow"], "cancelled");
  assert.equal(state["both/lines/items[2]/save"], "succeeded");
});
