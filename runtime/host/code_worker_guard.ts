/**
 * A thread beside rule code in a process of its own. Its standard input is a pipe that the program holds and never writes
 * to: when that ends, the program is gone, however it went, and with it goes the process, also in the middle of a loop.
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
