import { spawn } from "node:child_process";
import { symlink } from "node:fs/promises";
import { join } from "node:path";
import { installRestate, type Restate } from "../install.ts";
import type { Lab } from "../lab.ts";
import { aimFor, type Part, type Row } from "../report.ts";
import { freePort, Server } from "../server.ts";

const CONNECTIONS = 64;

/** Three steps in code, and a reply with the result. */
export const FLOW = `import { rule, type, webhook } from "whenthen";

export default rule({
  when: webhook("/flow", { auth: "none" }, type<{ amount: number }>()),
  limit: "none",
  max: 256,
  then: async ({ event, step }) => {
    const a = await step.do("a", () => ({ n: event.data.amount + 1 }));
    const b = await step.do("b", () => ({ n: a.n + 1 }));
    const c = await step.do("c", () => ({ n: b.n + 1 }));
    await step.reply("answer", 200, { json: c });
  },
});
`;

const SERVICE = `import * as restate from "@restatedev/restate-sdk";

const flow = restate.service({
  name: "flow",
  handlers: {
    run: async (context, order) => {
      const a = await context.run("a", () => ({ n: order.amount + 1 }));
      const b = await context.run("b", () => ({ n: a.n + 1 }));
      return await context.run("c", () => ({ n: b.n + 1 }));
    },
  },
});
restate.serve({ services: [flow], port: Number(process.argv[2]) });
`;

interface Measured {
  rate: number;
  p50: number;
  note: string;
}

/** Runs of three steps in code, each step synced before the next; the request is answered with the result. */
export async function flows(lab: Lab): Promise<Part> {
  const ours = await measure(lab, "whenthen, binary", "/hooks/flow", () => lab.start(lab.binary, { "flow.ts": FLOW }));
  const restate = lab.install(installRestate);
  const theirs = restate && await measure(lab, "Restate", "/flow/run", () => startRestate(lab, restate));
  const rows = (what: string, { rate, p50, note }: Measured): Row[] => [
    { what, value: rate, unit: "/s", note },
    { what: `${what}, one at a time`, value: p50, unit: "ms p50" },
  ];
  const times = (value: number) => `× ${value.toFixed(2)}`;
  return {
    title: `Flows: runs of three steps, ${CONNECTIONS} connections`,
    rows: [...rows("whenthen, binary", ours), ...theirs ? rows("Restate", theirs) : []],
    aims: [
      ...aimFor("flows: more a second than Restate", theirs && ours.rate / theirs.rate, (value) => value > 1, times),
      ...aimFor("flows: p50 below Restate's", theirs && ours.p50 / theirs.p50, (value) => value < 1, times),
    ],
  };
}

interface FlowServer extends AsyncDisposable {
  port: number;
}

async function measure(lab: Lab, name: string, path: string, start: () => Promise<FlowServer>): Promise<Measured> {
  const seconds = Math.max(3, lab.seconds / 10);
  lab.say(`${name}, ${seconds} s`);
  await using server = await start();
  const job = { paths: [path], seconds };
  await lab.load(server, { ...job, seconds: Math.min(5, seconds), connections: CONNECTIONS });
  const { rate, p50, generator, failed } = await lab.load(server, { ...job, connections: CONNECTIONS });
  const alone = await lab.load(server, { ...job, connections: 1 });
  const note = `p50 ${p50.toFixed(1)} ms, generator ${Math.round(generator * 100)} %`;
  return { rate, p50: alone.p50, note: failed > 0 ? `${note}, ${failed} FAILED` : note };
}

/** The server, and a process that serves the steps, on the Node that came with it. */
async function startRestate(lab: Lab, { command, node, folder }: Restate): Promise<FlowServer> {
  const [port, admin, mesh, steps] = await Promise.all([freePort(), freePort(), freePort(), freePort()]);
  const settings = [
    "disable-telemetry = true",
    'listen-mode = "tcp"',
    'bind-ip = "127.0.0.1"',
    `admin.bind-port = ${admin}`,
    `ingress.bind-port = ${port}`,
  ];
  const cwd = await lab.folder({ "service.mjs": SERVICE, "restate.toml": settings.join("\n") });
  await symlink(join(folder, "node_modules"), join(cwd, "node_modules"));
  const service = spawn(node, ["service.mjs", String(steps)], { cwd, stdio: "ignore" });
  try {
    const data = await lab.folder();
    const args = ["-c", "restate.toml", "--base-dir", data, "--bind-port", String(mesh), "--no-logo"];
    const server = await Server.start({ command: () => [...command, ...args], readyPath: "/health", cwd, port: admin });
    await register(server.url, `http://127.0.0.1:${steps}`);
    return {
      port,
      async [Symbol.asyncDispose]() {
        await server[Symbol.asyncDispose]();
        service.kill();
      },
    };
  } catch (error) {
    service.kill();
    throw error;
  }
}

async function register(admin: string, uri: string): Promise<void> {
  for (let attempt = 1;; attempt++) {
    const headers = { "content-type": "application/json" };
    const response = await fetch(`${admin}/deployments`, { method: "POST", headers, body: JSON.stringify({ uri }) });
    const text = await response.text();
    if (response.ok) return;
    if (attempt === 120) throw new Error(`Restate does not take the service: ${text}`);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}
