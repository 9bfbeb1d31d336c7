import { Argument, type Command } from "commander";
import { type CommandDescription, describeCommand, type ValueDescription } from "../describe_commands.ts";
import type { Session } from "../session.ts";

/** `completion`: a script for a shell, made from the definitions of the commands themselves. */
export function addCompletion(program: Command, session: Session): void {
  program.command("completion").description("print a script that completes commands and options in a shell")
    .addArgument(new Argument("<shell>", "the shell").choices(["bash", "zsh", "fish"]))
    .addHelpText(
      "after",
      "\nbash: source <(whenthen completion bash)" +
        '\nzsh:  whenthen completion zsh > "${fpath[1]}/_whenthen"' +
        "\nfish: whenthen completion fish > ~/.config/fish/completions/whenthen.fish",
    )
    .action((shell: Shell) => session.terminal.write(completionScript(shell, describeCommand(program))));
}

type Shell = keyof typeof SCRIPTS;

/** The script that completes the command line of a program. */
export function completionScript(shell: Shell, program: CommandDescription): string {
  return SCRIPTS[shell](allOf(program));
}

const SCRIPTS = { bash, zsh, fish };

function allOf(command: CommandDescription): CommandDescription[] {
  return [command, ...command.commands.flatMap(allOf)];
}

/** `hooks open` as the shells keep it while they look for the command: ` hooks open`. */
function pathOf({ path }: CommandDescription): string {
  return path.map((word) => ` ${word}`).join("");
}

function bash(commands: CommandDescription[]): string {
  const cases = (entries: [keys: string[], action: string][]) =>
    entries.filter(([keys]) => keys.length > 0).map(([keys, action]) => `    ${keys.join("|")}) ${action} ;;\n`).join(
      "",
    );
  const words = (texts: string[]) => `_whenthen_words "$cur" "${texts.join(" ")}"`;
  const complete = (values: ValueDescription[]) => {
    const kinds = values.map(({ kind }) => kind);
    if (kinds.includes("file")) return '_whenthen_paths "$cur" -f';
    if (kinds.includes("folder")) return '_whenthen_paths "$cur" -d';
    return words(values.flatMap(({ choices }) => choices));
  };
  const values = commands.flatMap((command) =>
    command.options.filter(({ value }) => value !== undefined).map(({ names, value }): [string[], string] => [
      names.map((name) => `"${pathOf(command)}:${name}"`),
      complete([value!]),
    ])
  );
  const options = commands.map((command): [string[], string] => [
    [`"${pathOf(command)}"`],
    words(command.options.flatMap(({ names }) => names)),
  ]);
  const others = commands.map((command): [string[], string] => [
    [`"${pathOf(command)}"`],
    command.commands.length > 0 ? words(command.commands.map(({ path }) => path.at(-1)!)) : complete(command.arguments),
  ]);
  return `# Completes whenthen in bash. Made by: whenthen completion bash
_whenthen_words() {
  COMPREPLY=($(compgen -W "$2" -- "$1"))
}

_whenthen_paths() {
  local IFS=$'\\n'
  compopt -o filenames 2>/dev/null
  COMPREPLY=($(compgen "$2" -- "$1"))
}

_whenthen() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} path="" word
  COMPREPLY=()
  # bash splits --option=value at the "=".
  if [[ $cur == "=" ]]; then cur=""; elif [[ $prev == "=" ]]; then prev=\${COMP_WORDS[COMP_CWORD-2]}; fi
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$path $word" in
      ${commands.slice(1).map((command) => `"${pathOf(command)}"`).join("|")}) path="$path $word" ;;
    esac
  done
  case "$path:$prev" in
${cases(values).replaceAll(/ ;;$/gm, "; return ;;")}  esac
  if [[ $cur == -* ]]; then
    case "$path" in
${cases(options)}    esac
    return
  fi
  case "$path" in
${cases(others)}  esac
}
complete -F _whenthen whenthen
`;
}

function zsh(commands: CommandDescription[]): string {
  const quote = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;
  const plain = (text: string) => text.replaceAll(/[[\]:\\]/g, (character) => `\\${character}`);
  const nameOf = ({ path }: CommandDescription) => ["_whenthen", ...path].join("_");
  const valueOf = ({ name, kind, choices }: ValueDescription) => {
    const action = { file: "_files", folder: "_files -/", choice: `(${choices.join(" ")})`, text: " " }[kind];
    return `${plain(name)}:${action}`;
  };
  const functions = commands.map((command) => {
    const options = command.options.flatMap(({ names, description, value }) =>
      names.map((name) => {
        const takes = value === undefined ? "" : `:${valueOf(value)}`;
        return quote(`*${name}${takes === "" || name.length === 2 ? "" : "="}[${plain(description)}]${takes}`);
      })
    );
    const names = command.commands.map(({ path, description }) => quote(`${path.at(-1)}:${plain(description)}`));
    const specs = names.length > 0
      ? [...options, quote("1: :->command"), quote("*:: :->rest")]
      : [...options, ...command.arguments.map((value) => quote(`${value.isList ? "*" : ""}:${valueOf(value)}`))];
    const below = command.commands.map((below) => `        ${below.path.at(-1)}) ${nameOf(below)} ;;\n`).join("");
    const states = names.length === 0 ? "" : `  case $state in
    command)
      local -a names=(${names.join(" ")})
      _describe command names ;;
    rest)
      case $words[1] in
${below}      esac ;;
  esac
`;
    return `${nameOf(command)}() {
  local curcontext=$curcontext state line
  _arguments -C -s ${specs.join(" \\\n    ")}
${states}}
`;
  });
  return `#compdef whenthen
# Completes whenthen in zsh. Made by: whenthen completion zsh
${functions.join("\n")}
# As a file in $fpath it is the function itself; by "source" it defines it.
if [[ $funcstack[1] == _whenthen ]]; then _whenthen "$@"; else compdef _whenthen whenthen; fi
`;
}

function fish(commands: CommandDescription[]): string {
  const quote = (text: string) => `'${text.replaceAll(/['\\]/g, (character) => `\\${character}`)}'`;
  const takes = ({ kind, choices }: ValueDescription) => {
    const choice = ` -a ${quote(choices.join(" "))}`;
    return { file: " -F", folder: " -a '(__fish_complete_directories)'", choice, text: "" }[kind];
  };
  const lines = commands.flatMap((command) => {
    const start = `complete -c whenthen -n ${quote(`__whenthen_is ${quote(pathOf(command))}`)}`;
    const options = command.options.map(({ names, description, value }) => {
      const flags = names.map((name) => name.startsWith("--") ? ` -l ${name.slice(2)}` : ` -s ${name.slice(1)}`);
      return `${start}${flags.join("")}${
        value === undefined ? "" : `${value.kind === "file" ? " -r" : " -x"}${takes(value)}`
      } -d ${quote(description)}`;
    });
    const below = command.commands.map(({ path, description }) =>
      `${start} -a ${path.at(-1)} -d ${quote(description)}`
    );
    const values = command.arguments.map(takes).filter((text) => text !== "").map((text) => `${start}${text}`);
    return [...options, ...below, ...values];
  });
  return `# Completes whenthen in fish. Made by: whenthen completion fish
function __whenthen_is
    set -l path ''
    set -l words (commandline -opc)
    for word in $words[2..-1]
        if contains -- "$path $word" ${commands.slice(1).map((command) => quote(pathOf(command))).join(" ")}
            set path "$path $word"
        end
    end
    test "$path" = "$argv[1]"
end

complete -c whenthen -f
${lines.join("\n")}
`;
}
