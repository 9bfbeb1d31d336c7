import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Installed, installNodeRed, installWebhook } from "../install.ts";
import { type Lab, liveRuns, SECRET } from "../lab.ts";
import type { Load } from "../load/job.ts";
import { nodeRedFlow } from "../node_red.ts";
import { aimFor, type Part, type Row } from "../report.ts";
import { Server } from "../server.ts";

const CONNECTIONS = 64;
/** Contenders that store nothing are measured for a part of the time, once before whenthen and once after it. */
const SHARE = 10;

/** A rule for signed webhooks. @param then its one step */
export function ingestRule(then: string): string {
  return `when:
  webhook: /in
  auth: { hmac: sha256, header: X-Signature }
  secret: HOOK_SECRET
if: event.data.amount > 10
limit: none
max: 256
then:
  - ${then}
`;
}

export const LOG_STEP = "log: Order ${{ event.data.id }} of ${{ event.data.name }}";

/** So that the benchmark reaches a steady state: identities would be kept for 30 days. */
export const SETTINGS = "retention: { identities: 1m }\n";

interface Contender {
  name: string;
  path: string;
  start(): Promise<Server>;
}

/** Webhooks accepted per second, next to programs that do the same without storing anything. */
export async function ingest(lab: Lab): Promise<Part> {
  const others = await contenders(lab);
  const slices = new Map<string, Load[]>(others.map(({ name }) => [name, []]));
  const slice = Math.max(2, lab.seconds / SHARE);
  const measureOthers = async () => {
    for (const { name, path, start } of others) {
      lab.say(`${name}, ${slice} s`);
      await using server = await start();
      slices.get(name)!.push(await hit(lab, server, path, slice));
    }
  };
  await measureOthers();
  const binary = await measure(lab, "whenthen, binary", lab.binary, lab.seconds);
  lab.ingestRate = binary.value;
  const source = await measure(lab, "whenthen, deno run", lab.source, slice);
  await measureOthers();
  const rows = [binary, source, ...others.map(({ name }) => row(name, slices.get(name)!))];
  const over = (name: string) => {
    const other = rows.find(({ what }) => what === name);
    return other && binary.value / other.value;
  };
  const times = (value: number) => `× ${value.toFixed(2)}`;
  return {
    title: "Durable ingest: accepted signed webhooks of 1 kB, 64 connections",
    rows,
    aims: [
      ...aimFor("ingest: 4 × Node-RED", over(NODE_RED), (value) => value >= 4, times),
      ...aimFor("ingest: webhook's unmatched rate", over(UNMATCHED), (value) => value >= 1, times),
      ...aimFor("ingest: a third of the bare server", over(BARE), (value) => value >= 1 / 3, times),
    ],
  };
}

async function measure(lab: Lab, name: string, program: Installed, seconds: number): Promise<Row> {
  lab.say(`${name}, ${seconds} s`);
  await using server = await lab.start(program, { "in.yaml": ingestRule(LOG_STEP), "whenthen.yaml": SETTINGS });
  const load = await hit(lab, server, "/hooks/in", seconds);
  const live = await liveRuns(server);
  const memory = `${Math.round(await server.memory())} MB`;
  const { what, value, unit, note } = row(name, [load]);
  return { what, value, unit, note: `${note}, ${live} runs behind at the end, ${memory}` };
}

/** Warms up, then measures. */
async function hit(lab: Lab, server: Server, path: string, seconds: number): Promise<Load> {
  const job = { paths: [path], connections: CONNECTIONS, secret: SECRET };
  await lab.load(server, { ...job, seconds: Math.min(5, seconds / 2) });
  return await lab.load(server, { ...job, seconds });
}

function row(what: string, loads: Load[]): Row {
  const mean = (of: (load: Load) => number) => loads.reduce((sum, load) => sum + of(load), 0) / loads.length;
  const failed = loads.reduce((sum, load) => sum + load.failed, 0);
  const note = [
    `p50 ${mean(({ p50 }) => p50).toFixed(1)} ms`,
    `p99 ${mean(({ p99 }) => p99).toFixed(1)} ms`,
    `generator ${Math.round(mean(({ generator }) => generator) * 100)} %`,
    ...failed > 0 ? [`${failed} FAILED: ${loads.find(({ failure }) => failure)?.failure?.slice(0, 60)}`] : [],
  ];
  return { what, value: mean(({ rate }) => rate), unit: "/s", note: note.join(", ") };
}

const NODE_RED = "Node-RED";
const UNMATCHED = "webhook, not matched";
const BARE = "the binary's bare server";

async function contenders(lab: Lab): Promise<Contender[]> {
  const nodeRed = lab.install(installNodeRed);
  const webhook = lab.install(installWebhook);
  return [
    { name: BARE, path: "/in", start: await bareServer(lab) },
    ...nodeRed ? [{ name: NODE_RED, path: "/in", start: await flowServer(lab, nodeRed) }] : [],
    ...webhook
      ? [
        { name: UNMATCHED, path: "/hooks/unmatched", start: await hookServer(lab, webhook) },
        { name: "webhook, runs /bin/true", path: "/hooks/fire", start: await hookServer(lab, webhook) },
      ]
      : [],
  ];
}

/** The upper bound of the binary's host: it reads JSON and answers 202. */
async function bareServer(lab: Lab): Promise<() => Promise<Server>> {
  const cwd = await lab.folder({ "bare.js": BARE_SERVER });
  const command = (port: number) => [...lab.binary.command, "run", "bare.js", String(port)];
  return () => Server.start({ command, cwd, readyPath: "/", env: { BUN_BE_BUN: "1" } });
}

const BARE_SERVER = `Bun.serve({
  hostname: "127.0.0.1",
  port: Number(process.argv[2]),
  async fetch(request) {
    if (request.method === "GET") return new Response("ready");
    const { id } = await request.json();
    return Response.json({ event: id, runs: [], duplicate: false }, { status: 202 });
  },
});
`;

/** http in → switch → function → response. */
async function flowServer(lab: Lab, { command }: Installed): Promise<() => Promise<Server>> {
  const cwd = await lab.folder(nodeRedFlow([
    { id: "in", type: "http in", url: "/in", method: "post", wires: [["choose"]] },
    {
      id: "choose",
      type: "switch",
      property: "payload.amount",
      propertyType: "msg",
      rules: [{ t: "gt", v: "10", vt: "num" }],
      checkall: "true",
      outputs: 1,
      wires: [["say"]],
    },
    {
      id: "say",
      type: "function",
      func: "msg.payload = { text: `Order ${msg.payload.id} of ${msg.payload.name}` };\nreturn msg;",
      outputs: 1,
      wires: [["out"]],
    },
    { id: "out", type: "http response", statusCode: "202", wires: [] },
    { id: "ready", type: "http in", url: "/ready", method: "get", wires: [["ok"]] },
    { id: "ok", type: "http response", statusCode: "200", wires: [] },
  ]));
  const at = (port: number) => ["-u", cwd, "-s", join(cwd, "settings.js"), "-p", String(port)];
  return () => Server.start({ command: (port) => [...command, ...at(port)], cwd, readyPath: "/ready" });
}

/** Both hooks check the signature; one finds that its rule does not match, the other starts /bin/true and does not wait. */
async function hookServer(lab: Lab, { command }: Installed): Promise<() => Promise<Server>> {
  const signed = {
    match: { type: "payload-hmac-sha256", secret: SECRET, parameter: { source: "header", name: "X-Signature" } },
  };
  const named = (value: string) => ({
    match: { type: "value", value, parameter: { source: "payload", name: "name" } },
  });
  const hook = { "execute-command": "/bin/true", "success-http-response-code": 202 };
  const cwd = await lab.folder();
  await writeFile(
    join(cwd, "hooks.json"),
    JSON.stringify([
      { ...hook, id: "unmatched", "trigger-rule": { and: [signed, named("Nobody")] } },
      { ...hook, id: "fire", "trigger-rule": { and: [signed, named("Ada Lovelace")] } },
    ]),
  );
  const at = (port: number) => ["-hooks", join(cwd, "hooks.json"), "-ip", "127.0.0.1", "-port", String(port)];
  return () => Server.start({ command: (port) => [...command, ...at(port)], cwd, readyPath: "/" });
}
