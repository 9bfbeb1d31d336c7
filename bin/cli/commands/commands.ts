import type { Command } from "commander";
import { readFile, writeFile } from "node:fs/promises";
import { stderr } from "node:process";
import { stringify } from "yaml";
import { commandAsDot } from "../../../runtime/commands/dot.ts";
import { exportOto, importOto } from "../../../runtime/commands/oto.ts";
import { readCommandFile } from "../../../runtime/folder/command_file.ts";
import { readExactJson, writeExactJson } from "../../../runtime/formats/exact_json.ts";
import { messageOf, UsageError } from "../../../runtime/model/errors.ts";
import { escapeControls } from "../../../runtime/model/problem.ts";
import type { Command as CommandOfRules } from "../../../runtime/model/rule.ts";
import type { CommandListing } from "../../../runtime/web/commands_api.ts";
import { ExitCode } from "../exit_codes.ts";
import { printProblems } from "../print/checked.ts";
import { printCommand, printCommands } from "../print/commands.ts";
import { addCommand, ask, type CommonOptions, print, type Session } from "../session.ts";

/** `commands`, `import` and `export`: the command files, and how they come from OTO and go there. */
export function addCommands(program: Command, session: Session): void {
  addCommand(program, "commands", "the command files, or the inputs of one")
    .argument("[command]", "id of a command, such as commands/curl")
    .action((id: string | undefined, _options, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions>();
      return ask(session, options, async (client) => {
        if (id === undefined) {
          print(session, options, await client.get<CommandListing[]>("/api/commands"), printCommands);
          return;
        }
        const path = id.split("/").map(encodeURIComponent).join("/");
        print(session, options, await client.get<CommandOfRules>(`/api/commands/${path}`), printCommand);
      });
    });

  program.command("import").description("make a command file of OTO's export of one executable")
    .argument("<file>", "the export, as JSON")
    .requiredOption("-o, --out <file>", "the command file, such as commands/nmap.yaml; it is replaced")
    .action(async (file: string, { out }: { out: string }) => {
      const found = importOto(await readJson(file));
      if ("problem" in found) throw new UsageError(`Cannot import ${file}: ${found.problem}; ${found.hint}`);
      const { tag, program, inputs, dangling } = found;
      const kept = tag === program ? {} : { "x-oto": { tag } };
      await writeFile(out, stringify({ command: program, ...kept, inputs }, { lineWidth: 0 }));
      for (const each of dangling) complain(each);
      session.terminal.write(`Made ${out}: ${program} with ${Object.keys(inputs).length} inputs\n`);
    });

  program.command("export").description("print a command file as OTO's JSON, or as a graph")
    .argument("<file>", "the command file")
    .option("--dot", "what requires and excludes what, for Graphviz")
    .addHelpText("after", "\nWhat OTO's JSON cannot hold is named on standard error")
    .action(async (file: string, { dot }: { dot?: true }) => {
      const { command, tag, problems } = await readCommandFile(file);
      printProblems({ ...session.terminal, write: (text) => void stderr.write(text) }, problems);
      if (command === undefined) session.exitCode = ExitCode.broken;
      else if (dot) session.terminal.write(commandAsDot(command));
      else {
        const { parameters, lost } = exportOto(command, tag ?? command.program);
        for (const each of lost) complain(each);
        session.terminal.write(writeExactJson(parameters, 2) + "\n");
      }
    });
}

function complain(text: string): void {
  stderr.write(`${escapeControls(text)}\n`);
}

async function readJson(file: string): Promise<unknown> {
  try {
    return readExactJson(await readFile(file, "utf8"));
  } catch (error) {
    throw new UsageError(`Cannot read ${file} as JSON: ${messageOf(error)}`);
  }
}
