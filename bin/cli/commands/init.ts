import type { Command } from "commander";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join, normalize } from "node:path";
import { commandTestSchema } from "../../../runtime/commands/command_tests.ts";
import { inputSchema } from "../../../runtime/commands/command_inputs.ts";
import { fleetKind, taskKind } from "../../../runtime/folder/fleet_file.ts";
import { COMMAND_SCHEMAS } from "../../../runtime/commands/read_command.ts";
import { stepKinds } from "../../../runtime/engine/steps/index.ts";
import { ruleJsonSchema } from "../../../runtime/language/checker/json_schema.ts";
import { codeOf, UsageError } from "../../../runtime/model/errors.ts";
import { triggerKinds } from "../../../runtime/triggers/index.ts";
import { editorTypes } from "../../build/editor_types.ts";
import type { Session } from "../session.ts";

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

/** `init`: creates a folder with two rules, and the files that editors need to complete and check them. */
export function addInit(program: Command, session: Session): void {
  program.command("init").description("make a folder with two rules, types and the editor schema")
    .argument("[folder]", "where", "rules")
    .action(async (folder: string) => {
      const files = new Map([
        ["hello.yaml", YAML_RULE],
        ["count.ts", TYPESCRIPT_RULE],
        ["tsconfig.json", JSON.stringify(TSCONFIG, null, 2) + "\n"],
        [`${EDITOR}/rule.schema.json`, schemaText()],
      ]);
      for (const [path, source] of await editorTypes()) files.set(`${EDITOR}/whenthen/${path}`, source);
      for (const [path, content] of files) await writeNew(join(folder, path), content, path.startsWith(EDITOR));
      const shown = normalize(folder);
      session.terminal.write(
        `Made ${shown}/hello.yaml and ${shown}/count.ts. Try them:\n` +
          `  whenthen run ${shown}\n` +
          `  curl -d '{"name":"Ada"}' http://127.0.0.1:8080/hooks/hello\n` +
          `  whenthen runs\n`,
      );
    });
}

/** Writes a file. Only a file for editors may exist: it is replaced, so that it matches this version. */
async function writeNew(path: string, content: string, replace: boolean): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  try {
    await writeFile(path, content, { flag: replace ? "w" : "wx" });
  } catch (error) {
    if (codeOf(error) !== "EEXIST") throw error;
    throw new UsageError(`Cannot write ${path}: it exists already; name another folder: whenthen init FOLDER`);
  }
}

/** `schema`: the JSON Schema of rule files. */
export function addSchema(program: Command, session: Session): void {
  program.command("schema").description("print the JSON Schema of rule files, for editors")
    .action(() => session.terminal.write(schemaText()));
}

/** The schema as the text of a file. */
function schemaText(): string {
  const command = { keys: COMMAND_SCHEMAS, input: inputSchema, test: commandTestSchema };
  const fleet = { file: fleetKind, task: taskKind };
  return JSON.stringify(ruleJsonSchema({ triggers: triggerKinds, steps: stepKinds }, command, fleet), null, 2) + "\n";
}
