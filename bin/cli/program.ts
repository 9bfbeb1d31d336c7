import { Command, CommanderError } from "commander";
import { type Ports, SYSTEM_PORTS } from "../../runtime/app/ports.ts";
import { UsageError } from "../../runtime/model/errors.ts";
import { RefusedError } from "./client.ts";
import { addCheck } from "./commands/check.ts";
import { addEmit } from "./commands/emit.ts";
import { addForms } from "./commands/forms.ts";
import { addInit } from "./commands/init.ts";
import { addListings } from "./commands/listings.ts";
import { addOnce } from "./commands/once.ts";
import { addOperations } from "./commands/operations.ts";
import { addPack } from "./commands/pack.ts";
import { addPeople } from "./commands/people.ts";
import { addRun } from "./commands/run.ts";
import { addSchema } from "./commands/schema.ts";
import { addTest } from "./commands/test.ts";
import { leaveSignals } from "./early_signals.ts";
import { ExitCode } from "./exit_codes.ts";
import { masked } from "./start_log.ts";
import { dataOption } from "./options.ts";
import { ownFolder } from "../build/pack/packed_folder.ts";
import { DamagedError } from "../build/pack/payload.ts";
import type { Terminal } from "./print/terminal.ts";
import { Session } from "./session.ts";
import { describeVersion } from "./version.ts";

/** The output streams of the program. */
export interface Output {
  terminal: Terminal;
  /** Writes error messages. */
  complain(text: string): void;
}

/**
 * Executes a command line.
 * @param words without the program's own name
 * @param ports what the program reaches of the machine
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
    const expected = error instanceof RefusedError || error instanceof DamagedError;
    complain(`${expected || !(error instanceof Error) ? expected ? error.message : String(error) : error.stack}\n`);
    return ExitCode.failed;
  }
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
  addListings(program, session);
  addOperations(program, session);
  addForms(program, session);
  addPeople(program, session);
  addInit(program, session);
  addSchema(program, session);
  addPack(program, session);
  return program;
}
