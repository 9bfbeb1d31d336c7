import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { describeProgram } from "../../bin/cli/main.ts";
import { newKey } from "../connections/harness.ts";
import { type AuthorizationServer, CLIENT, openAuthorizationServer } from "../connections/provider.ts";
import { DatabaseServer } from "../database/server.ts";
import { compare, openApi } from "../web/described.ts";
import { command } from "./command.ts";
import { USES, type Uses } from "./command_uses.ts";
import { rulesFolder } from "./folder.ts";
import { ask, REFUND } from "./forms.ts";
import { OTO } from "./oto_export.ts";
import { type Program, start } from "./program.ts";
import { until } from "./until.ts";

const IS_BINARY = process.env.WHENTHEN_COMMAND !== undefined;
const HAS_POSTGRES = existsSync("/usr/lib/postgresql");

const HAND = `
when: manual
inputs: { bits: { type: integer, default: 2048 } }
config: { limit: { type: integer, default: 10, max: 100 } }
then: [{ log: by hand }]
tests: [{ name: first, do: [{ start: {} }] }]
`;

const PAUSE = "when: { event: pause }\nthen: [{ id: paid, waitFor: paid, timeout: 1h }]\n";

/** What all live commands need. @param issuer of the authorization server */
const filesFor = (issuer: string) => ({
  "hand.yaml": HAND,
  "order.yaml": `
when: { event: order.created }
then:
  - log: "order \${{ event.data.id }}"
  - { id: lookup, if: event.data.amount > 1000, run: [sh, -c, "echo no such customer >&2; exit 3"], retry: 1 }
`,
  "pause.yaml": PAUSE,
  "refund.yaml": REFUND,
  "tasks.yaml": "when: { webhook: /asana, auth: asana }\nthen: [{ log: got it }]\n",
  "commands/sh.yaml": "command: sh\nname: Shell\ninputs: { -c: { type: text, help: What it does } }\n",
  "plant/plc.ts": `
import { device, task } from "whenthen";
export default device<{ name: string }>({
  init: ({ device }) => ({ name: device.name }),
  ping: () => {},
  tasks: { greet: task({ inputs: {}, run: ({ session }) => "hello " + session.name }) },
});
`,
  "plant/plc.yaml": "devices: [{ name: press-1 }]\nkey: item.name\ndevice: ./plc.ts\nping: { every: [20ms, 50ms] }\n",
  "whenthen.yaml": `
people: { anna: { name: Anna Smith, groups: [finance] } }
connections:
  robot:
    oauth: { issuer: "${issuer}" }
    grant: client_credentials
    client: CLIENT_ID
    secret: CLIENT_SECRET
    scopes: [tasks]
    hosts: [127.0.0.1]
  asana:
    oauth: { issuer: "${issuer}" }
    client: CLIENT_ID
    secret: CLIENT_SECRET
    scopes: [tasks]
    hosts: [127.0.0.1]
`,
});

/** Makes happen what the uses are about. @returns what the words in braces mean */
async function happen(program: Program, server: AuthorizationServer): Promise<Record<string, string>> {
  const emit = async (type: string, id: string, data: object): Promise<string> => {
    const { body } = await program.post("/api/emit", { type, id, data, subject: id });
    return body.runs[0];
  };
  const failed = await emit("order.created", "A1", { id: "A1", amount: 5_000 });
  const [first, second, third] = [
    await emit("pause", "P1", {}),
    await emit("pause", "P2", {}),
    await emit("pause", "P3", {}),
  ];
  const form = await ask(program, "R1");
  await until("the runs", () => program.api("runs?limit=100"), (runs: { id: string; state: string }[]) => {
    const stateOf = (id: string) => runs.find((run) => run.id === id)?.state;
    return stateOf(failed) === "failed" && [first, second, third].every((id) => stateOf(id) === "waiting");
  });
  await until("the device", () => program.api("devices"), ([device]) => device?.state === "reachable");
  const { body: { url } } = await program.post("/api/connections/asana/connect", {});
  assert.match(await (await fetch(await server.allow(url))).text(), /asana is connected/);
  await program.post("/api/hooks/open", { rule: "tasks", for: "10m" });
  const headers = { "x-hook-secret": "secret-of-a-webhook-0123" };
  assert.equal((await program.post("/hooks/asana", {}, headers)).status, 200);
  return { failed, first, second, third, form, small: '{"id":"A2","amount":5}' };
}

/** Compares answers of the program with its own description of them. */
async function compareAnswers(program: Program, { failed, first, form }: Record<string, string>): Promise<void> {
  const api = await openApi(await program.api("openapi.json"));
  const paths = [
    ...["/healthz", "/readyz", "/metrics", "/api/openapi.json", "/api/problems", "/api/replicas"],
    ...[
      "/api/rules",
      "/api/rules/hand/config",
      "/api/rules/hand/start",
      "/api/commands",
      "/api/commands/commands%2Fsh",
    ],
    ...[
      "/api/runs",
      "/api/runs?waiting=true",
      `/api/runs/${failed}`,
      `/api/runs/${first}`,
      "/api/events",
      "/api/forms",
    ],
    ...[`/api/forms/${form}`, "/api/connections", "/api/hooks", "/api/fleets", "/api/fleets/plant%2Fplc"],
    ...["/api/devices", "/api/device?fleet=plant/plc&name=press-1"],
  ];
  const posts: [path: string, body: object, status: number][] = [
    ["/api/emit", { type: "nothing" }, 200],
    ["/api/rules/hand/start", { inputs: { bits: 1 } }, 202],
    ["/api/rules/hand/start", { inputs: { bits: "many" } }, 422],
    ["/api/rules/hand/config", { set: { limit: 500 } }, 422],
    [`/api/runs/${failed}/cancel`, {}, 200],
    ["/api/runs/none/cancel", {}, 404],
  ];
  const expect = async (method: string, path: string, status: number, init: RequestInit = {}) => {
    const response = await program.fetch(path, { method, ...init });
    const text = await response.text();
    assert.equal(response.status, status, `${method} ${path}: ${text}`);
    const isJson = response.headers.get("content-type")?.includes("json");
    const body = isJson ? JSON.parse(text) : text;
    // An empty listing shows nothing.
    if (Array.isArray(body) && !/problems|replicas/.test(path)) assert.ok(body.length > 0, path);
    await compare(method, path.split("?")[0], { status, body, headers: response.headers }, api);
  };
  for (const path of paths) await expect("GET", path, 200);
  for (const [path, body, status] of posts) {
    const headers = { "content-type": "application/json" };
    await expect("POST", path, status, { headers, body: JSON.stringify(body) });
  }
}

/** Changes the rule of the waiting runs, so that they can be moved to the new version. */
async function changePause(folder: { write(name: string, text: string): Promise<void> }, program: Program) {
  const version = async () => {
    const rules = await program.api("rules");
    return rules.find(({ id }: { id: string }) => id === "pause").version;
  };
  const before = await version();
  await folder.write("pause.yaml", PAUSE.replace("1h", "2h"));
  await until("the new version", version, (now) => now !== before);
}

/** Paths in the string values of JSON that are numbers, or numbers with a unit. */
function numbersInText(value: unknown, path = ""): string[] {
  // Opaque texts, which may happen to have digits only.
  if (/\/(key|id|version)$/.test(path)) return [];
  if (typeof value === "string") {
    return /^-?\d+(\.\d+)? ?(ms|s|m|h|d|bytes|[kMG]i?B)?$/.test(value) ? [`${path}: ${value}`] : [];
  }
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => numbersInText(inner, `${path}/${key}`));
}

type Words = (line: string) => string[];

async function tryRight({ right: [line, prints], lists }: Uses, wordsOf: Words): Promise<void> {
  const { code, stdout, stderr } = await command(...wordsOf(line));
  assert.equal(code, 0, `${line}: ${stdout}${stderr}`);
  assert.match(stdout, prints, line);
  if (!lists) return;
  const json = await command(...wordsOf(line), "--json");
  assert.deepEqual(numbersInText(JSON.parse(json.stdout)), [], line);
}

async function tryWrong({ wrong: [line, prints] }: Uses, wordsOf: Words, expected: number): Promise<void> {
  const { code, stdout, stderr } = await command(...wordsOf(line));
  assert.equal(code, expected, `${line}: ${stdout}${stderr}`);
  assert.match(stdout + stderr, prints, line);
}

Deno.test("each command: a right use, and a wrong one with a sentence that helps; listings have numbers as numbers", async (t) => {
  await using server = await openAuthorizationServer(["http://127.0.0.1/connections/callback"]);
  await using database = HAS_POSTGRES ? await DatabaseServer.start() : undefined;
  await using folder = await rulesFolder(filesFor(server.issuer));
  const at = (name: string) => join(folder.rules, "..", name);
  for (const name of ["alone", "broken"]) await mkdir(at(name));
  await writeFile(join(at("alone"), "hand.yaml"), HAND);
  await writeFile(join(at("broken"), "broken.yaml"), "when: { crn: 5m }\nthen: []\n");
  await writeFile(at("oto.json"), JSON.stringify(OTO.slice(0, 1)));
  const env = { CLIENT_ID: CLIENT.id, CLIENT_SECRET: CLIENT.secret, WHENTHEN_KEY: newKey() };
  await using program = start(folder.rules, { data: folder.data, env });
  const meant: Record<string, string> = {
    ...await happen(program, server),
    ...Object.fromEntries(
      ["alone", "broken", "nowhere", "other", "packed", "new", "rules"].map((name) => [name, at(name)]),
    ),
    oto: at("oto.json"),
    made: at("made.yaml"),
    command: join(folder.rules, "commands/sh.yaml"),
    database: await database?.create() ?? "",
  };
  const wordsOf = (line: string) => {
    const words = line.split(" ").map((word) => word.replace(/^\{(\w+)\}$/, (_, name) => meant[name]));
    return line.includes(" --data {other}") || words[0] === "replicas" ? words : ["--data", folder.data, ...words];
  };

  await t.step(
    "answers are as the program's own /api/openapi.json describes them",
    () => compareAnswers(program, meant),
  );

  const { commands } = await describeProgram();
  const known = commands.flatMap((command) => [command, ...command.commands]).map(({ path }) => path.join(" "));
  assert.deepEqual(Object.keys(USES).sort(), known.sort(), "each command is in USES");
  const { stdout } = await command("help");
  const helped = [...stdout.split("Commands:\n")[1].matchAll(/^ {2}([\w-]+)/gm)].map(([, name]) => name);
  assert.deepEqual(helped.sort(), [...commands.map(({ path }) => path[0]), "help"].sort());

  await changePause(folder, program);
  for (const [name, uses] of Object.entries(USES)) {
    const isElsewhere = name === "pack" && !IS_BINARY || name === "move-data" && !HAS_POSTGRES;
    await t.step(name, async () => {
      await Promise.all([isElsewhere || tryRight(uses, wordsOf), tryWrong(uses, wordsOf, name === "check" ? 2 : 64)]);
    });
  }
  assert.equal(await program.stop(), 0, "the right use of run");
});
