import type { Command } from "commander";
import { access, constants, mkdir, stat, writeFile } from "node:fs/promises";
import { dirname, join, normalize, resolve } from "node:path";
import { commandTestSchema } from "../../../runtime/commands/command_tests.ts";
import { inputSchema } from "../../../runtime/commands/command_inputs.ts";
import { fleetKind, taskKind } from "../../../runtime/folder/fleet_file.ts";
import { COMMAND_SCHEMAS } from "../../../runtime/commands/read_command.ts";
import { stepKinds } from "../../../runtime/engine/steps/index.ts";
import { ruleJsonSchema } from "../../../runtime/language/checker/json_schema.ts";
import { codeOf, messageOf, UsageError } from "../../../runtime/model/errors.ts";
import { triggerKinds } from "../../../runtime/triggers/index.ts";
import { editorTypes } from "../../build/editor_types.ts";
import { licenses } from "../../build/licenses.ts";
import { type CommonOptions, jsonOption, print, type Session } from "../session.ts";
import { commandName } from "./run.ts";

/** The folder of the files that editors read. Rules are never loaded from hidden folders. */
const EDITOR = ".editor";

const YAML_RULE = `# yaml-language-server: $schema=./${EDITOR}/rule.schema.json
name: Say hello
when:
  webhook: /hello
  auth: none # anybody may send; see "auth" for signatures and tokens
config:
  greeting: Hello
then:
  - emit: hello.said
    data: { text: "\${{ config.greeting }}, \${{ default(event.data.name, 'world') }}" }
  - reply: 200
    json: "\${{ steps.emit.data }}"
`;

const TYPESCRIPT_RULE = `import { event, rule, type } from "whenthen";

export default rule({
  name: "Count the words",
  when: event("hello.said", type<{ text: string }>()),
  then: async ({ event, step }) => {
    const words = await step.do("count", () => event.data.text.split(" ").length);
    await step.log("tell", \`"\${event.data.text}" has \${words} words\`);
  },
});
`;

const TSCONFIG = {
  compilerOptions: {
    target: "ES2024",
    module: "ESNext",
    moduleResolution: "bundler",
    strict: true,
    noEmit: true,
    allowImportingTsExtensions: true,
    skipLibCheck: true,
    paths: { whenthen: [`./${EDITOR}/whenthen/sdk/mod.ts`] },
  },
};

/** The same for Deno's own checker and editor extension. */
const DENO = {
  imports: { whenthen: `./${EDITOR}/whenthen/sdk/mod.ts` },
  exclude: [EDITOR],
};

const VSCODE = {
  "yaml.schemas": { [`./${EDITOR}/rule.schema.json`]: ["*.yaml", "*.yml", "!config*.yaml", "!whenthen.yaml"] },
  "search.exclude": { [EDITOR]: true },
};

const GITIGNORE = `.env
# The state of "whenthen run" is beside this folder, in ../.whenthen: a repository that begins above ignores it there.
.whenthen/
node_modules/
`;

const ENV_EXAMPLE = `# The secrets of the rules. Copy this file to .env, which belongs in no repository:
#   cp .env.example .env && chmod 600 .env
# A rule names a secret as \${{ secrets.SHOP_TOKEN }}.
#SHOP_TOKEN=
`;

/** `init`: creates a folder with two rules, and the files that editors need to complete and check them. */
export function addInit(program: Command, session: Session): void {
  program.command("init").description("make a folder with two rules, and what editors need")
    .argument("[folder]", "where", "rules")
    .action(async (folder: string) => {
      const files = new Map([
        ["hello.yaml", YAML_RULE],
        ["count.ts", TYPESCRIPT_RULE],
        ["tsconfig.json", asJson(TSCONFIG)],
        ["deno.json", asJson(DENO)],
        [".vscode/settings.json", asJson(VSCODE)],
        [".gitignore", GITIGNORE],
        [".env.example", ENV_EXAMPLE],
        [`${EDITOR}/rule.schema.json`, schemaText()],
      ]);
      for (const [path, source] of await editorTypes()) files.set(`${EDITOR}/whenthen/${path}`, source);
      for (const path of files.keys()) await checkWritable(resolve(folder, path));
      const kept: string[] = [];
      for (const [path, content] of files) if (!await writeNew(folder, path, content)) kept.push(path);
      session.terminal.write(sayMade(normalize(folder), kept));
    });
}

function sayMade(folder: string, kept: string[]): string {
  const whenthen = commandName();
  const made = ["hello.yaml", "count.ts"].filter((name) => !kept.includes(name)).map((name) => `${folder}/${name}`);
  return (made.length > 0
    ? `Made ${made.join(" and ")}. Try:\n`
    : `${folder}/${EDITOR} is that of this version. Try:\n`) +
    `  ${whenthen} run ${folder}\n` +
    `  curl -d '{"name":"Ada"}' http://127.0.0.1:8080/hooks/hello\n` +
    `  ${whenthen} runs\n` +
    (kept.length > 0 ? `These were here before and stay as they are: ${kept.join(", ")}\n` : "");
}

/**
 * Makes sure, before anything is written, that a file is there or can be made.
 * @throws UsageError if something else has its name or that of a folder above, or if the user may not write there
 */
async function checkWritable(path: string): Promise<void> {
  for (let at = path;; at = dirname(at)) {
    const found = await stat(at).catch((error) => {
      if (["ENOENT", "ENOTDIR"].includes(codeOf(error) ?? "")) return undefined;
      throw new UsageError(`Cannot make ${path}: ${messageOf(error)}; name another folder: whenthen init FOLDER`);
    });
    if (found === undefined) continue;
    const isFile = at === path;
    if (isFile ? !found.isFile() : !found.isDirectory()) {
      const wrong = `${at} is there, and is no ${isFile ? "file" : "folder"}`;
      throw new UsageError(`Cannot make ${path}: ${wrong}; name another folder: whenthen init FOLDER`);
    }
    if (isFile && !path.includes(`/${EDITOR}/`)) return;
    await access(at, constants.W_OK).catch(() => {
      throw new UsageError(
        `Cannot make ${path}: you may not write to ${at}; name another folder: whenthen init FOLDER`,
      );
    });
    return;
  }
}

/**
 * Writes a file that does not exist yet; files for editors are always replaced, so that they match this version.
 * @returns false if it exists and stays
 */
async function writeNew(folder: string, name: string, content: string): Promise<boolean> {
  const path = join(folder, name);
  await mkdir(dirname(path), { recursive: true });
  try {
    await writeFile(path, content, { flag: name.startsWith(EDITOR) ? "w" : "wx" });
    return true;
  } catch (error) {
    if (codeOf(error) === "EEXIST") return false;
    throw error;
  }
}

function asJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/** `schema`: the JSON Schema of rule files. */
export function addSchema(program: Command, session: Session): void {
  program.command("schema").description("print the JSON Schema of rule files, for editors")
    .action(() => session.terminal.write(schemaText()));
}

/** `licenses`: the notices of all that is in the program. */
export function addLicenses(program: Command, session: Session): void {
  program.command("licenses").description("print the licenses of all that is in this program, with their texts")
    .addOption(jsonOption())
    .action(async (options: Pick<CommonOptions, "json">) => {
      print(session, options, await licenses(), ({ write }, notices) => {
        for (const { name, version, license, text } of notices) {
          const head = `${name} ${version}, ${license}`;
          write(`${head}\n${"=".repeat(head.length)}\n\n${text.trim()}\n\n`);
        }
      });
    });
}

/** The schema as the text of a file. */
function schemaText(): string {
  const command = { keys: COMMAND_SCHEMAS, input: inputSchema, test: commandTestSchema };
  const fleet = { file: fleetKind, task: taskKind };
  return asJson(ruleJsonSchema({ triggers: triggerKinds, steps: stepKinds }, command, fleet));
}
