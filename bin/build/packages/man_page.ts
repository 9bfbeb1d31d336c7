import type { CommandDescription, OptionDescription, ValueDescription } from "../../cli/describe_commands.ts";
import type { ExitCode } from "../../cli/session.ts";

/** Options of at least this share of the commands are described once, for all of them. */
const COMMON = 0.4;

const EXIT_CODES: Record<keyof typeof ExitCode, [code: number, meaning: string]> = {
  ok: [0, "success"],
  failed: [1, "something failed, for example a run, a poll or a test"],
  broken: [2, "a rule does not load"],
  newStore: [3, "once --require-state found a new data folder"],
  usage: [64, "the command line is invalid"],
};

/** Variables that no option mentions. */
const ENVIRONMENT: [name: string, meaning: string][] = [
  ["WHENTHEN_TOKEN", "the token that the API, the console and /metrics ask for; needed on any address but loopback"],
  ["WHENTHEN_KEY", "the key by which the tokens of connections are encrypted"],
  ["XDG_CACHE_HOME", "where esbuild is unpacked, for rules in TypeScript; else into the data folder"],
  ["NO_COLOR", "no colours in what is printed"],
];

const FILES: [name: string, meaning: string][] = [
  ["rules/", "the rules folder, unless a command names another"],
  ["rules/config.yaml", "values of the rules' config"],
  ["rules/whenthen.yaml", "settings of the program"],
  ["rules/.env", "secrets"],
  [".whenthen/", "all state, beside the rules folder"],
  ["/etc/whenthen/rules/", "the rules of whenthen.service, which the Debian package brings; off until it is enabled"],
  ["/etc/whenthen/secrets.env", "variables of that service, one NAME=value on each line"],
  ["/var/lib/whenthen/", "the state of that service"],
];

const EXAMPLES: [command: string, meaning: string][] = [
  ["whenthen init rules", "makes a folder with two rules."],
  ["whenthen run rules", "runs them until it is stopped."],
  [`curl -d '{"name":"Ada"}' http://127.0.0.1:8080/hooks/hello`, "sends something to the first rule."],
  ["whenthen runs", "lists what ran."],
];

/**
 * The manual page of the program, in the language of man(7).
 * @param version with its date, as `yyyy-MM-dd`
 */
export function manPage(program: CommandDescription, { version, date }: { version: string; date: string }): string {
  const commands = callable(program);
  const common = commonOptions(program, commands);
  const env = [program, ...commands].flatMap(({ options }) => options)
    .flatMap(({ env, description }): [string, string][] => env === undefined ? [] : [[env, description]]);
  const lines = [
    `.TH WHENTHEN 1 ${quoted(date)} ${quoted(`whenthen ${version}`)} "User Commands"`,
    ".SH NAME",
    text("whenthen - runs a folder of when/then rules"),
    ".SH SYNOPSIS",
    `.B whenthen`,
    `\\fIcommand\\fR [\\fIoptions\\fR] [\\fIarguments\\fR]`,
    ".SH DESCRIPTION",
    text(`${program.description}.`),
    text("One program watches a folder of small rule files, in YAML or TypeScript. It listens to webhooks, polls, "),
    text("watches files and keeps time, runs what the rules say, and resumes after a crash."),
    ".PP",
    text("Commands ask the running program, or open the data folder themselves if none runs."),
    ".SH COMMANDS",
    ...commands.flatMap((command) => commandSection(command, common)),
    ".SH OPTIONS",
    text("Those of many commands; each command says which of them it has."),
    ...common.flatMap(optionEntry),
    ...program.options.filter((option) => !isAmong(common, option)).flatMap(optionEntry),
    ".SH EXIT STATUS",
    ...Object.values(EXIT_CODES).flatMap(([code, meaning]) => entry(bold(String(code)), meaning)),
    ".SH ENVIRONMENT",
    ...[...new Map([...env, ...ENVIRONMENT])].flatMap(([name, meaning]) => entry(bold(name), meaning)),
    ".SH FILES",
    ...FILES.flatMap(([name, meaning]) => entry(italic(name), meaning)),
    ".SH EXAMPLES",
    ...EXAMPLES.flatMap(([command, meaning]) => entry(bold(command), meaning)),
    ".SH SEE ALSO",
    `${bold("whenthen")} \\fIcommand\\fR ${bold("--help")} prints the same for one command.`,
  ];
  return lines.join("\n") + "\n";
}

/** All commands that do something themselves, with those below others. */
function callable({ commands }: CommandDescription): CommandDescription[] {
  return commands.flatMap((command) => [command, ...callable(command)]);
}

/** The options that most commands share: one with other words in some commands is not among them. */
function commonOptions(program: CommandDescription, commands: CommandDescription[]): OptionDescription[] {
  const all = [program, ...commands].flatMap(({ options }) => options);
  const counts = new Map<string, { option: OptionDescription; count: number }>();
  for (const option of all) {
    const key = keyOf(option);
    counts.set(key, { option, count: (counts.get(key)?.count ?? 0) + 1 });
  }
  return [...counts.values()].filter(({ count }) => count >= COMMON * commands.length).map(({ option }) => option);
}

function isAmong(options: OptionDescription[], option: OptionDescription): boolean {
  return options.some((other) => keyOf(other) === keyOf(option));
}

function keyOf({ flags, description }: OptionDescription): string {
  return `${flags} ${description}`;
}

function commandSection(command: CommandDescription, common: OptionDescription[]): string[] {
  const shared = command.options.filter((option) => isAmong(common, option)).map(({ names }) => bold(names.at(-1)!));
  return [
    `.SS ${quoted(["whenthen", ...command.path, ...command.arguments.map(placeOf)].join(" "))}`,
    text(`${capital(command.description)}.`),
    ...command.arguments.filter(({ description }) => description !== "")
      .flatMap((argument) => entry(italic(argument.name), withChoices(argument.description, argument))),
    ...command.options.filter((option) => !isAmong(common, option)).flatMap(optionEntry),
    ...command.notes === "" ? [] : [".PP", ...command.notes.split("\n").flatMap((line) => [text(line), ".br"])],
    ...shared.length > 0 ? [".PP", `Also: ${shared.join(", ")}`] : [],
  ];
}

/** An argument as usage lines show it: `<rule>`, `[step]`, `<file...>`. */
function placeOf({ name, isRequired, isList }: ValueDescription): string {
  const inside = isList ? `${name}...` : name;
  return isRequired ? `<${inside}>` : `[${inside}]`;
}

function optionEntry({ flags, description, value, env, default: usual }: OptionDescription): string[] {
  const more = [env && `environment: ${env}`, usual && `default: ${usual}`].filter((part) => part);
  const meaning = value === undefined ? description : withChoices(description, value);
  return entry(bold(flags), more.length > 0 ? `${meaning} (${more.join(", ")})` : meaning);
}

function withChoices(description: string, { choices }: ValueDescription): string {
  return choices.length > 0 ? `${description}: ${choices.join(", ")}` : description;
}

/** A term with its explanation. */
function entry(term: string, meaning: string): string[] {
  return [".TP", term, text(meaning)];
}

function bold(words: string): string {
  return `\\fB${escaped(words)}\\fR`;
}

function italic(words: string): string {
  return `\\fI${escaped(words)}\\fR`;
}

/** One argument of a macro. */
function quoted(words: string): string {
  return `"${escaped(words)}"`;
}

/** A line of text; a dot at its beginning would make it a request. */
function text(line: string): string {
  const plain = escaped(line.trim());
  return plain.startsWith(".") ? `\\&${plain}` : plain;
}

/** What roff reads as its own, or prints as another character than the one on the keyboard. */
const ESCAPES: Record<string, string> = {
  "\\": "\\(rs",
  "-": "\\-",
  "'": "\\(aq",
  '"': "\\(dq",
  "`": "\\(ga",
  "^": "\\(ha",
  "~": "\\(ti",
};

function escaped(words: string): string {
  return words.replace(/[\\\-'"`^~]/g, (character) => ESCAPES[character])
    .replace(
      /[^\n\x20-\x7e]/gu,
      (character) => `\\[u${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}]`,
    );
}

function capital(words: string): string {
  return words.charAt(0).toUpperCase() + words.slice(1);
}
