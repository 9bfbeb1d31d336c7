import { readdirSync, readFileSync } from "node:fs";
import process from "node:process";
import { rulesFolder } from "./folder.ts";
import { start } from "./program.ts";
import { until } from "./until.ts";

const CODE = `
import { rule, webhook } from "whenthen";
export default rule({
  when: webhook("/code", { auth: "none" }),
  then: async ({ step }) => {
    await step.log("say", "never");
  },
});
`;

/** Processor time in milliseconds, and how often any of its threads went to sleep. */
function spent(pid: number): { cpu: number; sleeps: number } {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const sleeps = readdirSync(`/proc/${pid}/task`).map((task) => {
    return Number(
      /^voluntary_ctxt_switches:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/task/${task}/status`, "utf8"))?.[1] ?? 0,
    );
  });
  return { cpu: 10 * (Number(fields[11]) + Number(fields[12])), sleeps: sleeps.reduce((sum, count) => sum + count, 0) };
}

Deno.test({
  name: "an idle program uses almost no processor time",
  ignore: process.platform !== "linux",
  async fn() {
    const files = Object.fromEntries(Array.from({ length: 50 }, (_, index) => [
      `r${index}.yaml`,
      `when: { webhook: "/r${index}", auth: none }\nthen:\n  - log: x\n`,
    ]));
    await using folder = await rulesFolder({
      ...files,
      "code.ts": CODE,
      "cron.yaml": 'when: { cron: "0 0 1 1 *" }\nthen:\n  - log: x\n',
    });
    await using program = start(folder.rules, { data: folder.data });
    await program.url();
    const fiveSeconds = async () => {
      const before = spent(program.child.pid!);
      await new Promise((resolve) => setTimeout(resolve, 5_000));
      const after = spent(program.child.pid!);
      return { cpu: after.cpu - before.cpu, sleeps: after.sleeps - before.sleeps };
    };
    // The first ones include work left from the start, which takes longer on a busy machine.
    const { cpu, sleeps } = await until(
      "five seconds with next to nothing to do",
      fiveSeconds,
      ({ cpu }) => cpu <= 250,
    );
    console.log(`in 5 s idle: ${cpu} ms of processor time, ${sleeps} wake-ups`);
  },
});
