import { Command, CommanderError } from "commander";
import { argv, exit, stderr } from "node:process";
import { type Ports, SYSTEM_PORTS } from "../../runtime/app/wire.ts";
import { writeExactJson } from "../../runtime/formats/exact_json.ts";
import { endReluctance } from "../../runtime/host/large_work.ts";
import { messageOf, UsageError } from "../../runtime/model/errors.ts";
import { DamagedError, ownFolder } from "../build/packed_folder.ts";
import { addRun } from "./commands/run.ts";
import { dataOption, ExitCode, Session } from "./session.ts";
import { describeVersion, RefusedError } from "./client.ts";
import { type CommandDescription, describeCommand } from "./describe_commands.ts";
import { progress } from "./print/progress.ts";
import { StandardOutput, type Terminal } from "./print/terminal.ts";
import { leaveSignals } from "./signals.ts";
import { endLog, masked } from "./start_log.ts";

/** Milliseconds for writing the last lines of the log. */
const LAST_LINES = 2_000;

/** Runs the command line of the process, and exits. @param ports the clock, disk and network of the program */
export async function main(ports: Ports = SYSTEM_PORTS): Promise<never> {
  // The program continues if its log cannot be written, for example because a disk is full.
  stderr.on("error", () => {});
  const terminal = new StandardOutput();
  const words = argv.slice(2);
  const complain = (text: string) => {
    try {
      stderr.write(text);
    } catch {
      // There is nowhere to say that it cannot be written, on Deno.
    }
  };
  const written: Terminal = { ...terminal, write: (text) => progress.above(() => terminal.write(text)) };
  let code = await runProgram(words, { terminal: written, complain }, ports);
  const failure = await terminal.end();
  if (failure !== undefined) {
    complain(formatFailure(words, new UnwrittenError(`Cannot write to standard output: ${failure.message}`)));
    if (code === ExitCode.ok) code = ExitCode.failed;
  }
  await endLog();
  // An exit drops what is still in the pipe. The exit waits only so long for a log that nobody reads.
  await Promise.race([
    new Promise<void>((resolve) => stderr.end(resolve)),
    new Promise((resolve) => setTimeout(resolve, LAST_LINES)),
  ]);
  exit(code);
}

/** The output of a command is lost, for example because the disk is full. */
class UnwrittenError extends Error {}

/** The output streams of the program. */
export interface Output {
  terminal: Terminal;
  /** Writes error messages. */
  complain(text: string): void;
}

/**
 * Runs a command line.
 * @param words without the program's own name
 * @param ports the clock, disk and network of the program
 * @returns the code to exit with
 */
export async function runProgram(
  words: string[],
  { terminal, ...output }: Output,
  ports: Ports = SYSTEM_PORTS,
): Promise<ExitCode> {
  const session = new Session(terminal, ports);
  const complain = (text: string) => output.complain(masked(text));
  try {
    const isPacked = await ownFolder() !== undefined;
    // With --json, an error of Commander is printed below, and without the help.
    const program = await createProgram(session, wantsJson(words) ? () => {} : complain, isPacked, words[0]);
    await program.parseAsync(words, { from: "user" });
    return session.exitCode;
  } catch (error) {
    const isCommander = error instanceof CommanderError;
    if (isCommander && error.exitCode === 0) return ExitCode.ok;
    // Commander has already printed its message.
    if (!isCommander || wantsJson(words)) complain(formatFailure(words, error));
    return exitCodeOf(error);
  }
}

function exitCodeOf(error: unknown): ExitCode {
  return error instanceof CommanderError || error instanceof UsageError ? ExitCode.usage : ExitCode.failed;
}

/**
 * The message of a command that failed, as a line; as a line of JSON if the command line asks for that, in the form in which
 * the API answers: `{"error": …}`, with what else it said, and the exit code. An error that nobody expects has its stack.
 */
function formatFailure(words: string[], error: unknown): string {
  const isExpected = [CommanderError, UsageError, RefusedError, DamagedError, UnwrittenError]
    .some((kind) => error instanceof kind);
  const stack = error instanceof Error && !isExpected ? error.stack : undefined;
  const message = error instanceof CommanderError ? messageOfCommander(error) : messageOf(error);
  if (!wantsJson(words)) return `${stack ?? message}\n`;
  const answer = error instanceof RefusedError ? error.answer : {};
  return writeExactJson({ ...answer, error: message, ...stack && { stack }, exitCode: exitCodeOf(error) }) + "\n";
}

function messageOfCommander({ code, message }: CommanderError): string {
  // It would print the help.
  if (code === "commander.help") return "Cannot tell what to do: name a command; whenthen --help lists them";
  return message.replace(/^error: /, "");
}

/** Whether the command line asks for JSON, also if the rest of it cannot be parsed. */
function wantsJson(words: string[]): boolean {
  const end = words.indexOf("--");
  return words.slice(0, end === -1 ? words.length : end).includes("--json");
}

/** All commands with their options, as `--help` shows them. */
export async function describeProgram(): Promise<CommandDescription> {
  const terminal: Terminal = { write() {}, width: Infinity, colours: false, now: 0 };
  return describeCommand(await createProgram(new Session(terminal, SYSTEM_PORTS), () => {}, false));
}

/** @param command the command to run, if it is known already */
async function createProgram(
  session: Session,
  complain: (text: string) => void,
  isPacked: boolean,
  command?: string,
): Promise<Command> {
  const program = new Command("whenthen")
    .description("When this happens, do that: runs a folder of rules")
    .version(describeVersion())
    .addOption(dataOption())
    .enablePositionalOptions()
    .showHelpAfterError("(whenthen --help lists the commands)")
    .exitOverride()
    .configureOutput({ writeOut: (text) => session.terminal.write(text), writeErr: complain });
  // `run` has a signal listener of its own.
  program.hook("preAction", (_program, action) => {
    if (action.name() !== "run") leaveSignals();
  });
  addRun(program, session, { isDefault: isPacked });
  // A service starts faster without the others.
  if (command === "run") return program;
  endReluctance();
  (await import("./commands/others.ts")).addOthers(program, session);
  return program;
}
