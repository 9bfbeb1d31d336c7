import process from "node:process";
import { type Finished, whenthen } from "./program.ts";

/** Loaded before the tests begin: loading blocks this thread, and with it servers of the tests. */
const inProcess = process.env.WHENTHEN_COMMAND === undefined
  ? (await Promise.all([import("../bin/run_command.ts"), import("../../bin/cli/commands/others.ts")]))[0].runCommand
  : undefined;

/** The end of the last command in this process: they share its log, so they run one after the other. */
let before: Promise<unknown> = Promise.resolve();

/**
 * Runs one command to its end: by the binary if that is tested, else in this process, because each start of Deno takes a second.
 * In this process, its output does not have what it writes to the log.
 */
export async function command(...words: string[]): Promise<Finished> {
  if (inProcess === undefined) return await whenthen(words);
  const run = before.then(() => inProcess(...words));
  before = run;
  const { code, out, complaints } = await run;
  return { code, stdout: out, stderr: complaints };
}
