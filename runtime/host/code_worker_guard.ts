/**
 * A thread next to rule code that runs in a separate process. Its standard input is a pipe that the program holds and never
 * writes to. When the pipe ends, the program has ended in some way, and this thread ends the process, even during a loop.
 *
 * @module
 */
import { readSync } from "node:fs";
import process from "node:process";

try {
  readSync(0, new Uint8Array(1));
} finally {
  process.kill(process.pid, "SIGKILL");
}
