import type { Argument, Command, Option } from "commander";
import { EventEmitter } from "node:events";

/** A command as it is defined, for what is generated from the definitions: completions and the man page. */
export interface CommandDescription {
  /** The words that call it, without the program's name: `["hooks", "open"]`; none for the program itself. */
  path: string[];
  description: string;
  arguments: ValueDescription[];
  /** Options that `--help` shows, with `--help` itself. */
  options: OptionDescription[];
  commands: CommandDescription[];
  /** What `--help` says below the options, such as the exit codes; empty if there is nothing. */
  notes: string;
}

/** An option of a command. */
export interface OptionDescription {
  /** As `--help` shows it: `-o, --output <file>`. */
  flags: string;
  /** The ways to write it: `-o`, `--output`. */
  names: string[];
  description: string;
  /** Absent if the option is only set or not. */
  value?: ValueDescription;
  /** The environment variable that sets it, too. */
  env?: string;
  /** The value that it has by default; absent if the description says it. */
  default?: string;
}

/** A value on the command line. */
export interface ValueDescription {
  /** The name that `--help` shows: `rule`. */
  name: string;
  /** Empty for the value of an option. */
  description: string;
  isRequired: boolean;
  /** Whether several values may follow each other. */
  isList: boolean;
  /** What the shell can complete it by. The names `dir`, `folder` and `file` tell paths apart from other values. */
  kind: "file" | "folder" | "choice" | "text";
  /** All that it can be, if it is a choice. */
  choices: string[];
}

/** Describes a command with all commands below it, except `help` and what is hidden. */
export function describeCommand(command: Command, path: string[] = []): CommandDescription {
  const help = command.createHelp();
  return {
    path,
    description: command.description(),
    arguments: command.registeredArguments.map(describeArgument),
    options: help.visibleOptions(command).map(describeOption),
    commands: command.commands.filter((below) => help.visibleCommands(command).includes(below))
      .map((below) => describeCommand(below, [...path, below.name()])),
    notes: notesOf(command),
  };
}

function describeArgument(argument: Argument): ValueDescription {
  return {
    name: argument.name(),
    description: argument.description,
    isRequired: argument.required,
    isList: argument.variadic,
    ...kindOf(argument.name(), argument.argChoices),
  };
}

function describeOption(option: Option): OptionDescription {
  const name = /[<[]([^>\].]+)/.exec(option.flags)?.[1];
  const { required, variadic, argChoices } = option;
  const hasDefault = option.defaultValue !== undefined && name !== undefined;
  return {
    flags: option.flags,
    names: [option.short, option.long].filter((flag) => flag != null),
    description: option.description,
    ...name !== undefined && {
      value: { name, description: "", isRequired: required, isList: variadic, ...kindOf(name, argChoices) },
    },
    ...option.envVar !== undefined && { env: option.envVar },
    ...hasDefault && { default: String(option.defaultValue) },
  };
}

function kindOf(name: string, choices: readonly string[] = []): Pick<ValueDescription, "kind" | "choices"> {
  const isFolder = name === "dir" || name === "folder";
  const kind = choices.length > 0 ? "choice" : isFolder ? "folder" : name === "file" ? "file" : "text";
  return { kind, choices: [...choices] };
}

/** The texts of `addHelpText("after", …)`, which Commander keeps as listeners of an event. */
function notesOf(command: Command): string {
  let notes = "";
  const write = (text: string) => notes += text;
  if (command instanceof EventEmitter) command.emit("afterHelp", { error: false, command, write });
  return notes.trim();
}
