import { type Lab, metric } from "../lab.ts";
import { median } from "../numbers.ts";
import { aimFor, type Part, type Row } from "../report.ts";
import type { Server } from "../server.ts";

const RUNS = 100_000;
/** A shorter benchmark uses fewer. */
const SHORT = 10_000;
/** Webhooks a second. */
const RATE = 3_000;
/** So that the rows of a run take about 1.4 kB. */
const BYTES = 350;
/** Milliseconds until a program is idle. */
const REST = 3_000;
/** Milliseconds between two polls. */
const LOOK = 200;
const PAGES = 5;
const TIMEOUT = 300_000;

function rule(until: Date): string {
  return `when:
  webhook: /in
  auth: none
limit: none
max: 256
then:
  - wait: "${until.toISOString()}"
  - log: Order \${{ event.data.id }} is due
`;
}

/** Start and memory with many waiting runs, their first page, and how long they take if all are due at one moment. */
export async function waiting(lab: Lab): Promise<Part> {
  const count = lab.seconds < 60 ? SHORT : RUNS;
  const many = count.toLocaleString("en");
  const due = new Date(Date.now() + count * 0.7 + 20_000);
  const rules = { "in.yaml": rule(due), "whenthen.yaml": "retention: { bytes: 1GB }\n" };
  const [folder, data] = [await lab.folder(rules), await lab.folder()];
  lab.say(`filling a store with ${many} runs that wait`);
  await fill(lab, folder, data, count);
  await using server = await lab.startOn(lab.binary, folder, data);
  await new Promise((resolve) => setTimeout(resolve, REST));
  const atRest = await server.memory();
  const live = await firstPage(server);
  const left = due.getTime() - Date.now();
  if (left < 0) {
    throw new Error(`The runs were due ${-left} ms before they could be looked at: this machine is too slow`);
  }
  lab.say(`until all are due, in ${Math.ceil(left / 1000)} s, and have ended`);
  await new Promise((resolve) => setTimeout(resolve, left));
  const cpu = await server.processorTime();
  const { seconds, peak } = await allEnded(server, count);
  const each = (await server.processorTime() - cpu) * 1000 / count;
  const stored = await firstPage(server);
  const row = (what: string, value: number, unit: string, note?: string): Row => ({
    what,
    value,
    unit,
    ...note && { note },
  });
  const aim = (text: string, value: number, most: number, unit: string) =>
    // The aims are for this many; fewer prove nothing.
    aimFor(
      text,
      count === RUNS ? value : undefined,
      (value) => value <= most,
      (value) => `${Math.round(value)} ${unit}`,
    );
  return {
    title: `Waiting: ${many} runs, then all due at one moment`,
    rows: [
      row("start-up", server.ready, "ms"),
      row("first page of them", live, "ms"),
      row("first page once they have ended", stored, "ms"),
      row("resident at rest", atRest, "MB"),
      row("from their time until all have ended", seconds, "s", `${Math.round(each)} µs of processor time each`),
      row("most resident meanwhile", peak, "MB"),
    ],
    aims: [
      ...aim("waiting: 100,000 runs, start-up 2 s", server.ready, 2_000, "ms"),
      ...aim("waiting: 100,000 runs, 250 MB", atRest, 250, "MB"),
      ...aim("due: 100,000 runs at once, 30 s", seconds, 30, "s"),
      ...aim("due: 100,000 runs at once, 500 MB", peak, 500, "MB"),
      ...aim("list: first page of 100,000 live runs, 50 ms", live, 50, "ms"),
      ...aim("list: first page of 100,000 stored runs, 50 ms", stored, 50, "ms"),
    ],
  };
}

async function fill(lab: Lab, folder: string, data: string, count: number): Promise<void> {
  await using server = await lab.startOn(lab.binary, folder, data);
  const job = { paths: ["/hooks/in"], connections: 64, bytes: BYTES };
  for (let left = count; left > 0;) {
    const rate = Math.min(RATE, left);
    const { failed, failure, answered } = await lab.load(server, { ...job, rate, seconds: Math.ceil(left / rate) });
    if (failed > 0) throw new Error(`${failed} webhooks were not accepted: ${failure}`);
    left -= answered;
  }
  await until(async () => await metric(server, 'runs{state="waiting"}') >= count || undefined);
}

/** Milliseconds until the first page of runs; the median of a few. */
async function firstPage(server: Server): Promise<number> {
  const times: number[] = [];
  for (let page = 0; page < PAGES; page++) {
    const asked = performance.now();
    const response = await fetch(`${server.url}/api/runs?limit=50`);
    const runs = await response.json() as unknown[];
    if (runs.length !== 50) throw new Error(`A page of runs has ${runs.length}: ${JSON.stringify(runs).slice(0, 200)}`);
    times.push(performance.now() - asked);
  }
  return median(times);
}

async function allEnded(server: Server, count: number): Promise<{ seconds: number; peak: number }> {
  const began = performance.now();
  let peak = 0;
  await until(async () => {
    peak = Math.max(peak, await server.memory());
    return await metric(server, 'runs{state="succeeded"}') >= count || undefined;
  });
  return { seconds: (performance.now() - began) / 1000, peak };
}

async function until(look: () => Promise<true | undefined>): Promise<void> {
  for (const end = performance.now() + TIMEOUT; performance.now() < end;) {
    if (await look()) return;
    await new Promise((resolve) => setTimeout(resolve, LOOK));
  }
  throw new Error(`It takes longer than ${TIMEOUT / 1000} s`);
}
