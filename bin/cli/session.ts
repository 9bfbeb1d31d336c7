import { Command } from "commander";
import { type Client, openClient } from "./client.ts";
import { ExitCode } from "./exit_codes.ts";
import { foldersInUse } from "./folders.ts";
import { startLog } from "./start_log.ts";
import { type CommonOptions, dataOption, envOption, jsonOption, logOption } from "./options.ts";
import type { Terminal } from "./print/terminal.ts";
import type { Ports } from "../../runtime/app/ports.ts";
import { writeExactJson } from "../../runtime/formats/exact_json.ts";

/** One call of the program: where it prints, and with what it will exit. */
export class Session {
  exitCode: ExitCode = ExitCode.ok;

  constructor(readonly terminal: Terminal, readonly ports: Ports) {}
}

/** A new command with the options that all commands share. */
export function addCommand(program: Command, name: string, description: string): Command {
  return program.command(name).description(description)
    .addOption(dataOption()).addOption(envOption()).addOption(logOption()).addOption(jsonOption());
}

/** Asks the program that runs on the data folder, or one opened for the purpose, and closes what was opened. */
export async function ask(
  session: Session,
  options: CommonOptions,
  question: (client: Client) => Promise<void>,
): Promise<void> {
  const folders = await foldersInUse(options.data);
  await startLog(options.log, "warning");
  const client = await openClient(folders, options.env, session.ports);
  try {
    await question(client);
  } finally {
    await client.close();
  }
}

/** Prints for people, or as JSON where that was asked for. */
export function print<T>(
  session: Session,
  options: Pick<CommonOptions, "json">,
  value: T,
  forPeople: (terminal: Terminal, value: T) => void,
): void {
  if (options.json) session.terminal.write(writeExactJson(value, 2) + "\n");
  else forPeople(session.terminal, value);
}
