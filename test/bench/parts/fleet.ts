import type { Lab } from "../lab.ts";
import { type Aim, aimFor, type Part, type Row } from "../report.ts";
import { Server } from "../server.ts";

/** Devices in the program's own process; the last number has the aims. */
const IN_PROCESS = [1_000, 10_000, 100_000];
const OVER_TCP = 8_000;
/** Devices that a task is sent to, of which some hang. */
const TOLD = 10_000;
const HANGING = 20;
const TASK_TIMEOUT = 5_000;
/** Milliseconds from the last init to the measurement: a whole interval of pings. */
const SETTLING = 11_000;
const TIMEOUT = 180_000;

const LIST = (count: number) =>
  `export const list = () => Array.from({ length: ${count} }, (_, index) => ({ name: "d" + index, index }));\n`;

const FLEET = `devices: { poll: { call: ./list.ts#list }, every: 1h, max: 100000 }
key: item.name
device: ./device.ts
ping: { every: [8s, 10s], timeout: 10s, down: 2 }
init: { max: 2000 }
`;

/**
 * How late pings begin. Right after a ping has ended, the program draws by `Math.random` when that device is pinged next: so the
 * module knows when the next ping is due. The first ping of a session is not measured.
 */
const LATENESS = `
const late = [];
const random = Math.random;
let ended;
Math.random = () => {
  const drawn = random();
  if (ended !== undefined) ended.due = performance.now() + 8_000 + drawn * 2_000;
  ended = undefined;
  return drawn;
};
export function begins(session) {
  if (session.due !== undefined) late.push(Math.max(0, performance.now() - session.due));
  session.due = undefined;
}
export function ends(session) { ended = session; }
export const p99 = () => late.toSorted((a, b) => a - b)[Math.floor(late.length * 0.99)] ?? 0;
`;

const PLATFORM = `
import { device, task } from "whenthen";
import { begins, ends, p99 } from "./lateness.js";
export default device({
  init: () => ({}),
  ping: ({ session }) => { begins(session); ends(session); },
  tasks: {
    late: task({ run: () => p99() }),
    hello: task({ inputs: {}, run: ({ device }) => device.index < ${HANGING} ? new Promise(() => {}) : 1 }),
  },
});
`;

const OVER_SOCKETS = `
import net from "node:net";
import { device, task } from "whenthen";
import { begins, ends, p99 } from "./lateness.js";
const ask = (session, signal) => new Promise((resolve, reject) => {
  session.socket.once("data", resolve);
  session.socket.once("close", () => reject(new Error("closed")));
  signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  session.socket.write(session.name + "\\n");
});
export default device({
  init: ({ device, signal }) => new Promise((resolve, reject) => {
    const socket = net.connect(PORT, "127.0.0." + (1 + device.index % 4), () => resolve({ socket, name: device.name }));
    socket.on("error", reject);
    socket.setMaxListeners(0);
    signal.addEventListener("abort", () => socket.destroy(), { once: true });
  }),
  ping: async ({ session, signal }) => { begins(session); await ask(session, signal); ends(session); },
  tasks: { late: task({ run: () => p99() }) },
  stop: ({ session }) => session?.socket.destroy(),
});
`;

/** Answers each line but those of every hundredth device; says on which port over HTTP. */
const SIMULATOR = `
import net from "node:net";
import http from "node:http";
const server = net.createServer((socket) => {
  socket.on("error", () => {});
  socket.on("data", (bytes) => { if (!/00\\n$/.test(bytes.toString())) socket.write("ok\\n"); });
}).listen(0, "0.0.0.0", () => {
  http.createServer((_request, response) => response.end(String(server.address().port))).listen(Number(process.argv[2]), "127.0.0.1");
});
`;

/** The same pings without the program: a timer for each device. */
const BARE = (count: number) => `
import http from "node:http";
const late = [];
const ping = async () => {};
const next = (due) => setTimeout(async () => {
  late.push(performance.now() - due);
  await ping();
  plan();
}, due - performance.now());
const plan = () => next(performance.now() + 8_000 + Math.random() * 2_000);
for (let index = 0; index < ${count}; index++) plan();
http.createServer((_request, response) =>
  response.end(String(late.toSorted((a, b) => a - b)[Math.floor(late.length * 0.99)] ?? 0))
).listen(Number(process.argv[2]), "127.0.0.1");
`;

interface Measured {
  /** Percent of one core. */
  core: number;
  memory: number;
  /** Milliseconds that a ping begins after it is due: the 99th percentile. */
  late: number;
}

/** What devices cost: in process and over sockets, beside pings without the program, and a task to many of which some hang. */
export async function fleet(lab: Lab): Promise<Part> {
  const rows: Row[] = [];
  const most = IN_PROCESS.at(-1)!;
  lab.say(`${most.toLocaleString("en")} pings without the program`);
  rows.push(...rowsOf(`${show(most)} bare pings`, await bare(lab, most)));
  let aims: Aim[] = [];
  for (const count of IN_PROCESS) {
    lab.say(`${show(count)} devices in process`);
    await using server = await startFleet(lab, count, PLATFORM);
    const took = await allAre(server, count);
    const measured = await measure(lab, server, () => lateness(server, count));
    rows.push(...rowsOf(`${show(count)} devices`, measured, `all up after ${(took / 1_000).toFixed(1)} s`));
    if (count === TOLD) {
      const { rest, whole } = await tellAll(server);
      rows.push({ what: `a task to ${show(TOLD)}, ${HANGING} hang: the others`, value: rest, unit: "ms" });
      aims.push(
        ...aimFor(
          "a task: 9,980 devices within 2 s",
          rest,
          (value) => value < 2_000,
          (value) => `${Math.round(value)} ms`,
        ),
        ...aimFor(
          "a task: ends with the timeout of those that hang",
          whole,
          (value) => value < TASK_TIMEOUT + 2_000,
          (value) => `${Math.round(value)} ms`,
        ),
      );
    }
    if (count === most) aims = [...aims, ...aimsOf(measured)];
  }
  lab.say(`${show(OVER_TCP)} devices over TCP, 1 % hang`);
  rows.push(...rowsOf(`${show(OVER_TCP)} over TCP`, await overTcp(lab)));
  return { title: "Fleets: devices with pings every 8 to 10 s", rows, aims };
}

function aimsOf({ core, memory, late }: Measured): Aim[] {
  return [
    ...aimFor("100,000 devices under 15 % of a core", core, (value) => value < 15, (value) => `${value.toFixed(1)} %`),
    ...aimFor("100,000 devices within 300 MB", memory, (value) => value < 300, (value) => `${Math.round(value)} MB`),
    ...aimFor(
      "100,000 devices: pings late by under 100 ms (p99)",
      late,
      (value) => value < 100,
      (value) => `${value.toFixed(0)} ms`,
    ),
  ];
}

function rowsOf(what: string, { core, memory, late }: Measured, note?: string): Row[] {
  const more = `${Math.round(memory)} MB, p99 of pings ${late.toFixed(0)} ms late${
    note === undefined ? "" : `, ${note}`
  }`;
  return [{ what, value: core, unit: "% of a core", note: more }];
}

function show(count: number): string {
  return count.toLocaleString("en");
}

function startFleet(lab: Lab, count: number, platform: string): Promise<Server> {
  return lab.start(lab.binary, {
    "fleet.yaml": FLEET,
    "list.ts": LIST(count),
    "device.ts": platform.replace("import { device", "// @ts-nocheck\nimport { device"),
    "lateness.js": LATENESS,
  });
}

/** Waits until so many devices are reachable. @returns milliseconds */
async function allAre(server: Server, count: number): Promise<number> {
  const begun = performance.now();
  for (;;) {
    const { counts } = await (await fetch(`${server.url}/api/fleets/fleet`)).json();
    if (counts?.reachable + counts?.unreachable + counts?.dead >= count) return performance.now() - begun;
    if (performance.now() - begun > TIMEOUT) throw new Error(`not all devices came up: ${JSON.stringify(counts)}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function measure(lab: Lab, server: Server, late: () => Promise<number>): Promise<Measured> {
  await new Promise((resolve) => setTimeout(resolve, SETTLING));
  const seconds = Math.min(20, lab.seconds);
  const before = await server.processorTime();
  await new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
  const core = (await server.processorTime() - before) / (seconds * 10);
  return { core, memory: await server.memory(), late: await late() };
}

const ENDED = ["succeeded", "failed", "cancelled"];

interface Answer {
  results: { success: boolean; at: string; executionTime: number; return: unknown }[];
}

/** Sends a task by hand, and waits for its run. */
async function send(server: Server, task: string, to: string | string[], timeout = "20s"): Promise<Answer> {
  const body = JSON.stringify({ task, to, timeout });
  const headers = { "content-type": "application/json" };
  const response = await fetch(`${server.url}/api/fleets/fleet/tasks`, { method: "POST", body, headers });
  if (!response.ok) throw new Error(`${task}: ${await response.text()}`);
  const { runs: [id] } = await response.json();
  for (;;) {
    const sent = await (await fetch(`${server.url}/api/tasks/${id}`)).json();
    if (ENDED.includes(sent.state)) return sent;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Of the worker that is latest: each has 5,000 devices in their order. */
async function lateness(server: Server, count: number): Promise<number> {
  const firsts = Array.from({ length: Math.ceil(count / 5_000) }, (_, index) => `d${index * 5_000 + 1}`);
  const { results } = await send(server, "late", firsts);
  return Math.max(...results.map(({ return: late }) => Number(late)));
}

async function tellAll(server: Server): Promise<{ rest: number; whole: number }> {
  const begun = Date.now();
  const { results } = await send(server, "hello", "all", `${TASK_TIMEOUT}ms`);
  const whole = Date.now() - begun;
  const good = results.filter(({ success }) => success);
  if (good.length !== TOLD - HANGING) throw new Error(`${good.length} devices answered`);
  return { rest: Math.max(...good.map(({ at, executionTime }) => Date.parse(at) + executionTime)) - begun, whole };
}

async function script(lab: Lab, text: string): Promise<Server> {
  const cwd = await lab.folder({ "script.mjs": text });
  const command = (port: number) => [...lab.binary.command, "run", "script.mjs", String(port)];
  return await Server.start({ command, cwd, readyPath: "/", env: { BUN_BE_BUN: "1" } });
}

async function bare(lab: Lab, count: number): Promise<Measured> {
  await using server = await script(lab, BARE(count));
  return await measure(lab, server, async () => Number(await (await fetch(server.url)).text()));
}

async function overTcp(lab: Lab): Promise<Measured> {
  await using simulator = await script(lab, SIMULATOR);
  const port = await (await fetch(simulator.url)).text();
  await using server = await startFleet(lab, OVER_TCP, OVER_SOCKETS.replace("PORT", port));
  await allAre(server, OVER_TCP);
  return await measure(lab, server, () => lateness(server, OVER_TCP));
}
