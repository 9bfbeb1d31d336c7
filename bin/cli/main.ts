import { argv, exit, stderr, stdout } from "node:process";
import { type Ports, SYSTEM_PORTS } from "../../runtime/app/ports.ts";
import { standardOutput } from "./print/terminal.ts";
import { runProgram } from "./program.ts";

/** Milliseconds that the last lines of the log have. */
const LAST_LINES = 2_000;

/** Follows the command line of the process, and exits. @param ports what the program reaches of the machine */
export async function main(ports: Ports = SYSTEM_PORTS): Promise<never> {
  // A reader that has seen enough, such as `head`, closes the pipe: nobody misses the rest.
  stdout.on("error", (error: Error & { code?: string }) => {
    if (error.code !== "EPIPE") throw error;
  });
  // A log that cannot be written, be it that its disk is full, stops nothing.
  stderr.on("error", () => {});
  const code = await runProgram(argv.slice(2), {
    terminal: standardOutput(),
    complain: (text) => stderr.write(text),
  }, ports);
  // What is still in the pipes is written before the exit cuts them. On Bun only their end says that it is, not a last write.
  const end = (stream: { end(done: () => void): unknown }) => new Promise<void>((resolve) => stream.end(resolve));
  // A log that nobody reads any more does not hold the exit.
  await Promise.all([
    end(stdout),
    Promise.race([end(stderr), new Promise((resolve) => setTimeout(resolve, LAST_LINES))]),
  ]);
  exit(code);
}
