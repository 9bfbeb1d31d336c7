import type { Command } from "commander";
import { readFile, writeFile } from "node:fs/promises";
import { stderr } from "node:process";
import { stringify } from "yaml";
import { settable } from "../../../runtime/commands/check_set.ts";
import { commandAsDot } from "../../../runtime/commands/command_inputs.ts";
import { exportOto, importOto } from "../../../runtime/commands/oto.ts";
import { readCommandFile } from "../../../runtime/folder/command_files.ts";
import { readExactJson, writeExactJson } from "../../../runtime/formats/exact_json.ts";
import { joined } from "../../../runtime/language/fields/relations.ts";
import { messageOf, UsageError } from "../../../runtime/model/errors.ts";
import { escapeControls } from "../../../runtime/model/problem.ts";
import type { Command as RuleCommand, CommandInput } from "../../../runtime/model/rule.ts";
import type { CommandListing } from "../../../runtime/web/commands_api.ts";
import { pathOf } from "../client.ts";
import { printProblems } from "../print/checks.ts";
import { paint, printTable, type Terminal, visible } from "../print/terminal.ts";
import { addCommand, type CommonOptions, ExitCode, type Session, show } from "../session.ts";

/** `commands`, `import` and `export`: the command files, and how they come from OTO and go there. */
export function addCommands(program: Command, session: Session): void {
  addCommand(program, "commands", "the command files, or the inputs of one")
    .argument("[command]", "id of a command, such as commands/curl")
    .action((id: string | undefined, _options, command: Command) => {
      const options = command.optsWithGlobals<CommonOptions>();
      return id === undefined
        ? show(session, options, "/api/commands", printCommands)
        : show(session, options, `/api/commands/${pathOf(id)}`, printCommand);
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

/** Prints commands as a table. */
function printCommands(terminal: Terminal, commands: CommandListing[]): void {
  if (commands.length === 0) {
    return terminal.write("No commands; add one as a file with command: and inputs:\n");
  }
  const rows = commands.map(({ id, name = "", program, root, inputs, help = "" }) => [
    id,
    name,
    root ? `${program} (root)` : program,
    String(inputs.length),
    help,
  ]);
  printTable(terminal, ["COMMAND", "NAME", "PROGRAM", "INPUTS", "WHAT IT DOES"], rows);
}

/** Prints one command: what callers may set, with what each requires and excludes. */
function printCommand(terminal: Terminal, command: RuleCommand): void {
  const { id, name, help, program, version, fixed, root } = command;
  const say = (text: string) => terminal.write(`${visible(text)}\n`);
  terminal.write(`${paint(terminal, "bold", visible(name === undefined ? id : `${id}: ${name}`))}\n`);
  if (help !== undefined) say(help);
  say(`Runs ${program}${root ? " as root" : ""}${version === undefined ? "" : `, version ${version.is}`}`);
  if (fixed.length > 0) say(`Always: ${fixed.map(([key, value]) => `${key} ${JSON.stringify(value)}`).join(", ")}`);
  const names = settable(command);
  if (names.length === 0) return;
  terminal.write("\n");
  const rows = names.map((key) => [key, typeOf(command.inputs[key]), noteOf(command.inputs[key])]);
  printTable(terminal, ["INPUT", "TYPE", "WHAT IT IS"], rows);
}

function typeOf({ type, of, required, value }: CommandInput): string {
  const whole = of === undefined ? type : `${type} of ${of.type}`;
  return `${whole}${required ? ", required" : ""}${value === undefined ? "" : ", value optional"}`;
}

function noteOf(
  { help, title, choices, default: standard, requires = [], conflicts = [], oneOf = [], root }: CommandInput,
): string {
  const needed = requires.map((each) => typeof each === "string" ? each : joined(each.any, "or"));
  return [
    help ?? title,
    choices && `one of ${choices.join(", ")}`,
    standard !== undefined && `default ${JSON.stringify(standard)}`,
    needed.length > 0 && `requires ${joined(needed)}`,
    conflicts.length > 0 && `conflicts with ${joined(conflicts)}`,
    ...oneOf.map((group) => `exactly one of ${group.join(", ")}`),
    root && "needs root",
  ].filter((part) => typeof part === "string").join("; ");
}
