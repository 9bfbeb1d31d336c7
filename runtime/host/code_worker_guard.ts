/**
 * A thread next to rule code that runs in a separate process, on Deno only. Its standard input is a pipe that the program
 * holds and never writes to. When the pipe ends, the program has ended in some way, and this thread ends the process, even
 * during a loop. It is a Web worker without Node's modules: each process of rule code starts one, and Node's cost it 50 ms.
 *
 * @module
 */

try {
  Deno.stdin.readSync(new Uint8Array(1));
} finally {
  Deno.kill(Deno.pid, "SIGKILL");
}
