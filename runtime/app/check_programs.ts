import { env } from "node:process";
import { faultOfProgram, programOf } from "../actions/command.ts";
import type { Problem } from "../model/problem.ts";
import type { Command } from "../model/rule.ts";

/**
 * Starts the program of each command to ask for its version, and returns what is wrong: it is not there, or has another version than
 * the command says.
 * @param folder the rules folder, absolute
 */
export async function checkPrograms(commands: ReadonlyMap<string, Command>, folder: string): Promise<Problem[]> {
  const inherited = Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined);
  const environment = Object.fromEntries(inherited);
  const problems: Problem[] = [];
  for (const command of commands.values()) {
    const { file, at } = command;
    const message = await faultOfProgram(command, programOf(command, folder), { cwd: folder, env: environment });
    if (message !== undefined) {
      problems.push({ severity: "error", file, at, message, hint: "install it, or change version:" });
    }
  }
  return problems;
}
