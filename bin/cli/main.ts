import { Command, CommanderError } from "commander";
import { argv, exit, stderr, stdout } from "node:process";
import { type Ports, SYSTEM_PORTS } from "../../runtime/app/wire.ts";
import { UsageError } from "../../runtime/model/errors.ts";
import { DamagedError, ownFolder } from "../build/packed_folder.ts";
import { addCheck, addTest } from "./commands/check.ts";
import { addCommands } from "./commands/commands.ts";
import { addConfig, addOperations } from "./commands/operations.ts";
import { addConnections, addHooks } from "./commands/connections.ts";
import { addDevices } from "./commands/devices.ts";
import { addEmit, addStart } from "./commands/start.ts";
import { addForms } from "./commands/forms.ts";
import { addInit, addSchema } from "./commands/init.ts";
import { addListings } from "./commands/listings.ts";
import { addOnce, addRun } from "./commands/run.ts";
import { addPack } from "./commands/pack.ts";
import { addPeople } from "./commands/people.ts";
import { dataOption, ExitCode, Session } from "./session.ts";
import { describeVersion, RefusedError } from "./client.ts";
import { type CommandDescription, describeCommand } from "./describe_commands.ts";
import { standardOutput, type Terminal } from "./print/terminal.ts";
import { leaveSignals } from "./signals.ts";
import { masked } from "./start_log.ts";

/** Milliseconds for writing the last lines of the log. */
const LAST_LINES = 2_000;

/** Runs the command line of the process, and exits. @param ports the clock, disk and network of the program */
export async function main(ports: Ports = SYSTEM_PORTS): Promise<never> {
  // A reader that needs no more, such as `head`, closes the pipe.
  stdout.on("error", (error: Error & { code?: string }) => {
    if (error.code !== "EPIPE") throw error;
  });
  // The program continues if its log cannot be written, for example because a disk is full.
  stderr.on("error", () => {});
  const code = await runProgram(argv.slice(2), {
    terminal: standardOutput(),
    complain: (text) => stderr.write(text),
  }, ports);
  // An exit drops what is still in the pipes. On Bun only the end of a stream shows that all is written, not its last write.
  const end = (stream: { end(done: () => void): unknown }) => new Promise<void>((resolve) => stream.end(resolve));
  // The exit waits only so long for a log that nobody reads.
  await Promise.all([
    end(stdout),
    Promise.race([end(stderr), new Promise((resolve) => setTimeout(resolve, LAST_LINES))]),
  ]);
  exit(code);
}

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
    await createProgram(session, complain, isPacked).parseAsync(words, { from: "user" });
    return session.exitCode;
  } catch (error) {
    // Commander has already printed its message, or the requested help or version.
    if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.ok : ExitCode.usage;
    if (error instanceof UsageError) {
      complain(`${error.message}\n`);
      return ExitCode.usage;
    }
    const isExpected = error instanceof RefusedError || error instanceof DamagedError;
    complain(`${isExpected ? error.message : error instanceof Error ? error.stack : String(error)}\n`);
    return ExitCode.failed;
  }
}

/** All commands with their options, as `--help` shows them. */
export function describeProgram(): CommandDescription {
  return describeCommand(createProgram(new Session(standardOutput(), SYSTEM_PORTS), () => {}, false));
}

function createProgram(session: Session, complain: (text: string) => void, isPacked: boolean): Command {
  const program = new Command("whenthen")
    .description("When this happens, do that: runs a folder of rules")
    .version(describeVersion())
    .addOption(dataOption())
    .enablePositionalOptions()
    .showHelpAfterError("(whenthen --help lists the commands)")
    .exitOverride()
    .configureOutput({ writeOut: (text) => session.terminal.write(text), writeErr: complain });
  // `run` has a signal listener of its own.
  program.hook("preAction", (_program, command) => {
    if (command.name() !== "run") leaveSignals();
  });
  addRun(program, session, { isDefault: isPacked });
  addOnce(program, session);
  addCheck(program, session);
  addTest(program, session);
  addEmit(program, session);
  addStart(program, session);
  addListings(program, session);
  addConfig(program, session);
  addCommands(program, session);
  addOperations(program, session);
  addConnections(program, session);
  addDevices(program, session);
  addForms(program, session);
  addHooks(program, session);
  addPeople(program, session);
  addInit(program, session);
  addSchema(program, session);
  addPack(program, session);
  return program;
}
