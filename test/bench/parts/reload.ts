import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Lab } from "../lab.ts";
import { quantile } from "../numbers.ts";
import type { Part, Row } from "../report.ts";
import type { Server } from "../server.ts";

const RULES = 1_000;
/** Pause between two saves, so that they stay separate: a save that is notified twice is loaded again a second later. */
const REST = 2_200;
const TIMEOUT = 30_000;

/** A path that no rule had before: requests to a missing path cost a server almost nothing. */
function pathOf(index: number, save: number): string {
  return `/hook${index}/save${save}`;
}

function ruleFile(index: number, save: number): string {
  return `when:
  webhook: ${pathOf(index, save)}
  auth: none
limit: none
then:
  - reply: 200
    json: { save: ${save} }
`;
}

/** Milliseconds from saving one of 1,000 rule files until it is live, as seen from outside. */
export async function reload(lab: Lab): Promise<Part> {
  const saves = Math.max(20, Math.round(lab.seconds / 6));
  lab.say(`${saves} saves`);
  const files = Array.from({ length: RULES }, (_, index) => [`rule${index}.yaml`, ruleFile(index, 0)]);
  const folder = await lab.folder(Object.fromEntries(files));
  await using server = await lab.startOn(lab.binary, folder);
  const times: number[] = [];
  for (let save = 1; save <= saves; save++) {
    await new Promise((resolve) => setTimeout(resolve, REST));
    const index = save * 37 % RULES;
    await writeFile(join(folder, `rule${index}.yaml`), ruleFile(index, save));
    times.push(await live(server, index, save));
  }
  const row = (what: string, share: number): Row => ({ what, value: quantile(times, share), unit: "ms" });
  const p95 = quantile(times, 0.95);
  return {
    title: `Reload: from saving one of ${RULES.toLocaleString("en")} rules to its being live`,
    rows: [row("p50", 0.5), row("p95", 0.95), row("longest", 1)],
    aims: [{ aim: "reload: p95 below 50 ms", came: `${p95.toFixed(0)} ms`, reached: p95 < 50 }],
  };
}

/** Asks every millisecond until the rule answers. @returns milliseconds from now */
async function live(server: Server, index: number, save: number): Promise<number> {
  const saved = performance.now();
  for (;;) {
    const response = await fetch(`${server.url}/hooks${pathOf(index, save)}`, { method: "POST" });
    const text = await response.text();
    const time = performance.now() - saved;
    if (response.ok && JSON.parse(text).save === save) return time;
    if (response.status !== 404) throw new Error(`A rule that was saved answers ${response.status}: ${text}`);
    if (time > TIMEOUT) throw new Error(`A rule that was saved is not live after ${TIMEOUT} ms`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
