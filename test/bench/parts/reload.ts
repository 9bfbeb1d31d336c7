import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Lab } from "../lab.ts";
import { quantile } from "../numbers.ts";
import type { Part, Row } from "../report.ts";
import type { Server } from "../server.ts";

const RULES = 1_000;
/** Between two saves, so that each is one by itself. */
const REST = 1_100;

function ruleFile(index: number, answer: number): string {
  return `when:
  webhook: /hook${index}
  auth: none
limit: none
then:
  - reply: 200
    json: { answer: ${answer} }
`;
}

/** Milliseconds from saving one of 1,000 rule files until what it says is live, as seen from outside. */
export async function reload(lab: Lab): Promise<Part> {
  const saves = Math.max(20, Math.round(lab.seconds / 3));
  lab.say(`${saves} saves`);
  const files = Array.from({ length: RULES }, (_, index) => [`rule${index}.yaml`, ruleFile(index, 0)]);
  const folder = await lab.folder(Object.fromEntries(files));
  await using server = await lab.startOn(lab.binary, folder);
  const times: number[] = [];
  for (let save = 1; save <= saves; save++) {
    await new Promise((resolve) => setTimeout(resolve, REST));
    const index = save * 37 % RULES;
    await writeFile(join(folder, `rule${index}.yaml`), ruleFile(index, save));
    const saved = performance.now();
    while (await ask(server, index) !== save) if (performance.now() - saved > 30_000) throw new Error("It is not live");
    times.push(performance.now() - saved);
  }
  const row = (what: string, share: number): Row => ({ what, value: quantile(times, share), unit: "ms" });
  const p95 = quantile(times, 0.95);
  return {
    title: `Reload: from saving one of ${RULES.toLocaleString("en")} rules to its being live`,
    rows: [row("p50", 0.5), row("p95", 0.95), row("longest", 1)],
    aims: [{ aim: "reload: p95 below 50 ms", came: `${p95.toFixed(0)} ms`, reached: p95 < 50 }],
  };
}

async function ask(server: Server, index: number): Promise<number> {
  const response = await fetch(`${server.url}/hooks/hook${index}`, { method: "POST" });
  return (await response.json()).answer;
}
