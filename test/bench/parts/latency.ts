import { type Lab, SECRET } from "../lab.ts";
import type { Part, Row } from "../report.ts";
import { ingestRule, SETTINGS } from "./ingest.ts";

const CONNECTIONS = 64;

/** A `reply` is sent after it is recorded, so its time can be measured from outside. */
const REPLY_STEP = '{ reply: 202, json: { order: "${{ event.data.id }}" } }';

/** Milliseconds from a request to its recorded action, at half of the load that ingest can take. */
export async function latency(lab: Lab): Promise<Part> {
  const seconds = Math.max(3, lab.seconds / 5);
  await using server = await lab.start(lab.binary, { "in.yaml": ingestRule(REPLY_STEP), "whenthen.yaml": SETTINGS });
  const job = { paths: ["/hooks/in"], connections: CONNECTIONS, secret: SECRET };
  const most = lab.ingestRate ?? (await lab.load(server, { ...job, seconds: Math.max(3, seconds / 5) })).rate;
  lab.say(`whenthen, binary, ${Math.round(most / 2)} a second, ${seconds} s`);
  await lab.load(server, { ...job, seconds: Math.min(5, seconds), rate: most / 2 });
  const { p50, p99, longest, rate, failed } = await lab.load(server, { ...job, seconds, rate: most / 2 });
  const note = `at ${Math.round(rate)}/s${failed > 0 ? `, ${failed} FAILED` : ""}`;
  const row = (what: string, value: number): Row => ({ what, value, unit: "ms", note });
  const ms = (value: number) => `${value.toFixed(1)} ms`;
  return {
    title: "Latency: from a request to its recorded action, at half of that load",
    rows: [row("p50", p50), row("p99", p99), row("longest", longest)],
    aims: [
      { aim: "latency: p50 below 2 ms", came: ms(p50), reached: p50 < 2 },
      { aim: "latency: p99 below 15 ms", came: ms(p99), reached: p99 < 15 },
    ],
  };
}
