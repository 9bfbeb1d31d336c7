import { settable } from "../../../runtime/commands/check_set.ts";
import { joined } from "../../../runtime/language/fields/relations.ts";
import type { Command, CommandInput } from "../../../runtime/model/rule.ts";
import type { CommandListing } from "../../../runtime/web/commands_api.ts";
import { paint, printTable, type Terminal, visible } from "./terminal.ts";

/** Prints commands as a table. */
export function printCommands(terminal: Terminal, commands: CommandListing[]): void {
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
export function printCommand(terminal: Terminal, command: Command): void {
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
