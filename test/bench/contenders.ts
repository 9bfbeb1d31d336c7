import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { findBinary, findSource, type Installed, installNodeRed, installWebhook } from "./install.ts";
import { type FlowNode, nodeRedFlow } from "./node_red.ts";

/** What the rules of a case are written in. Each rule is a webhook that answers. */
export interface Case {
  title: string;
  rules: number;
  language: "yaml" | "typescript";
  /** Without caches from an earlier start. */
  cold: boolean;
}

/** A program that is started over and over. */
export interface Contender {
  name: string;
  version: string;
  /** False for a case that cannot be compared. */
  takes(it: Case): boolean;
  /** Writes the rules into a folder. */
  prepare(folder: string, it: Case): Promise<void>;
  /** Removes the caches of a start. */
  forget(folder: string): Promise<void>;
  command(folder: string, port: number): string[];
  /** Answers 200 once all rules are served. */
  readyPath(it: Case): string;
}

/** All contenders available on this machine, and the missing ones. */
export function contenders(scratch: string): { found: Contender[]; missing: string[] } {
  const missing: string[] = [];
  const all: (() => Contender)[] = [
    () => whenthen("whenthen, binary", findBinary()),
    () => whenthen("whenthen, deno run", findSource()),
    () => webhook(installWebhook(scratch)),
    () => nodeRed(installNodeRed(scratch)),
  ];
  const found = all.flatMap((make) => {
    try {
      return [make()];
    } catch (error) {
      missing.push((error as Error).message);
      return [];
    }
  });
  return { found, missing };
}

function whenthen(name: string, { version, command }: Installed): Contender {
  const data = (folder: string) => join(folder, "data");
  return {
    name,
    version,
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

function webhook({ version, command }: Installed): Contender {
  return {
    name: "webhook",
    version,
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
    ) => [...command, "-hooks", join(folder, "hooks.json"), "-ip", "127.0.0.1", "-port", String(port)],
    readyPath: () => "/",
  };
}

/** Without its editor, as on a server. */
function nodeRed({ version, command }: Installed): Contender {
  return {
    name: "Node-RED",
    version,
    takes: () => true,
    async prepare(folder, { rules, language }) {
      const files = nodeRedFlow(Array.from({ length: rules }, (_, i) => flow(i, language)).flat());
      for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
    },
    forget: () => Promise.resolve(),
    command: (folder, port) => [
      ...command,
      ...["-u", folder, "-s", join(folder, "settings.js"), "-p", String(port)],
    ],
    readyPath: ({ rules }) => `/hook${rules - 1}`,
  };
}

/** An endpoint that answers; its condition is a switch, its code a function node. */
function flow(i: number, language: Case["language"]): FlowNode[] {
  const wires = [[`out${i}`]];
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
    { id: `in${i}`, type: "http in", url: `/hook${i}`, method: "get", wires: [[`middle${i}`]] },
    { id: `middle${i}`, ...middle, wires },
    { id: `out${i}`, type: "http response", statusCode: "200", wires: [] },
  ];
}
