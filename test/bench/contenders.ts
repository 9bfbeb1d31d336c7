import { execFileSync, spawnSync } from "node:child_process";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";

const ROOT = new URL("../..", import.meta.url).pathname;
const NODE_RED = "4.1.15";

/** What the rules of a case are written in. Each rule is a webhook that answers. */
export interface Case {
  title: string;
  rules: number;
  language: "yaml" | "typescript";
  /** With nothing kept from an earlier start. */
  cold: boolean;
}

/** A program that is started over and over. */
export interface Contender {
  name: string;
  version: string;
  /** False for a case that it cannot be compared in. */
  takes(it: Case): boolean;
  /** Writes the rules into a folder. */
  prepare(folder: string, it: Case): Promise<void>;
  /** Forgets what a start has kept. */
  forget(folder: string): Promise<void>;
  command(folder: string, port: number): string[];
  /** Answers 200 once all rules are served. */
  readyPath(it: Case): string;
}

/** All that are on this machine, and what is missing. */
export async function contenders(scratch: string): Promise<{ found: Contender[]; missing: string[] }> {
  const binary = whenthen("binary", [join(ROOT, "bin/whenthen")]);
  const source = whenthen("deno run", [
    process.execPath,
    "run",
    "-A",
    "--config",
    join(ROOT, "deno.json"),
    join(ROOT, "bin/whenthen.ts"),
  ]);
  const missing: string[] = [];
  const all = [() => binary, () => source, webhook, () => nodeRed(scratch)];
  const found = await Promise.all(all.map(async (make) => {
    try {
      return await make();
    } catch (error) {
      missing.push((error as Error).message);
    }
  }));
  return { found: found.filter((one) => one !== undefined), missing };
}

function whenthen(name: string, command: string[]): Contender {
  const { status, stdout } = spawnSync(command[0], [...command.slice(1), "--version"], { encoding: "utf8" });
  if (status !== 0) throw new Error(`whenthen as ${name}: make the binary by: deno task compile`);
  const data = (folder: string) => join(folder, "data");
  return {
    name: `whenthen, ${name}`,
    version: stdout.trim(),
    takes: () => true,
    async prepare(folder, { rules, language }) {
      await mkdir(join(folder, "rules"));
      for (let i = 0; i < rules; i++) {
        const [extension, text] = language === "yaml" ? ["yaml", YAML(i)] : ["ts", TYPESCRIPT(i)];
        await writeFile(join(folder, "rules", `rule${i}.${extension}`), text);
      }
    },
    forget: (folder) => rm(data(folder), { recursive: true, force: true }),
    command: (
      folder,
      port,
    ) => [...command, "run", join(folder, "rules"), "--data", data(folder), "--port", String(port), "--log", "json"],
    readyPath: () => "/readyz",
  };
}

const YAML = (i: number) =>
  `name: Rule ${i}
when:
  webhook: /hook${i}
  auth: none
if: event.data.amount > ${i}
then:
  - reply: 200
    json: { text: "\${{ event.data.name }}" }
`;

const TYPESCRIPT = (i: number) =>
  `import { rule, webhook } from "whenthen";

export default rule({
  name: "Rule ${i}",
  when: webhook("/hook${i}", { auth: "none" }),
  then: async ({ event, step }) => {
    const { name } = event.data as { name: string };
    await step.reply("answer", 200, { json: { text: name.repeat(${i}) } });
  },
});
`;

function webhook(): Contender {
  const { status, stdout } = spawnSync("webhook", ["-version"], { encoding: "utf8" });
  if (status !== 0) throw new Error("webhook: install it by: apt-get install webhook");
  return {
    name: "webhook",
    version: stdout.trim(),
    takes: ({ language }) => language === "yaml",
    prepare(folder, { rules }) {
      const hooks = Array.from({ length: rules }, (_, i) => ({
        "id": `hook${i}`,
        "execute-command": "/bin/true",
        "response-message": "done",
        "trigger-rule": { match: { type: "value", value: "Ada", parameter: { source: "payload", name: "name" } } },
      }));
      return writeFile(join(folder, "hooks.json"), JSON.stringify(hooks));
    },
    forget: () => Promise.resolve(),
    command: (
      folder,
      port,
    ) => ["webhook", "-hooks", join(folder, "hooks.json"), "-ip", "127.0.0.1", "-port", String(port)],
    readyPath: () => "/",
  };
}

/** Installed from npm into the scratch folder; without its editor, as on a server. */
function nodeRed(scratch: string): Contender {
  const install = ["install", "--no-audit", "--no-fund", "--prefix", scratch, `node-red@${NODE_RED}`];
  try {
    execFileSync("npm", install, { stdio: "ignore" });
  } catch (error) {
    throw new Error("Node-RED: npm cannot install it", { cause: error });
  }
  return {
    name: "Node-RED",
    version: NODE_RED,
    takes: () => true,
    async prepare(folder, { rules, language }) {
      const settings = {
        uiHost: "127.0.0.1",
        flowFile: "flows.json",
        disableEditor: true,
        httpAdminRoot: false,
        credentialSecret: false,
      };
      await writeFile(join(folder, "settings.js"), `module.exports = ${JSON.stringify(settings)};`);
      const nodes = Array.from({ length: rules }, (_, i) => flow(i, language));
      await writeFile(
        join(folder, "flows.json"),
        JSON.stringify([{ id: "tab", type: "tab", label: "bench" }, ...nodes.flat()]),
      );
    },
    forget: () => Promise.resolve(),
    command: (folder, port) => [
      "node",
      join(scratch, "node_modules/node-red/red.js"),
      ...["-u", folder, "-s", join(folder, "settings.js"), "-p", String(port)],
    ],
    readyPath: ({ rules }) => `/hook${rules - 1}`,
  };
}

/** An endpoint that answers; its condition is a switch, its code a function node. */
function flow(i: number, language: Case["language"]) {
  const common = { z: "tab", x: 0, y: 0 };
  const middle = language === "yaml"
    ? {
      type: "switch",
      property: "payload.amount",
      propertyType: "msg",
      rules: [{ t: "else" }],
      checkall: "true",
      outputs: 1,
    }
    : { type: "function", func: "msg.payload = { text: String(msg.payload.name) };\nreturn msg;", outputs: 1 };
  return [
    { ...common, id: `in${i}`, type: "http in", url: `/hook${i}`, method: "get", wires: [[`middle${i}`]] },
    { ...common, id: `middle${i}`, ...middle, wires: [[`out${i}`]] },
    { ...common, id: `out${i}`, type: "http response", statusCode: "200", wires: [] },
  ];
}
