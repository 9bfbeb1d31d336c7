/**
 * Runs command lines of the program one after the other in one process, because each start of Deno takes half a second: for each
 * line of standard input, a list of words as JSON, one line of standard output with the exit code and what was printed.
 *
 * @module
 */
import { createInterface } from "node:readline";
import process from "node:process";
import { runCommand } from "./bin/run_command.ts";

for await (const line of createInterface({ input: process.stdin })) {
  const { code, out, complaints } = await runCommand(...JSON.parse(line));
  process.stdout.write(`${JSON.stringify({ code, output: out + complaints })}\n`);
}
