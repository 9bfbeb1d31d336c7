#!/usr/bin/env -S deno run -A
import { argv, exit, stderr, stdout } from "node:process";
import { startEngine } from "../runtime/store/sqlite/engine.ts";
import { standardOutput } from "./print/terminal.ts";

// SQLite is compiled on a thread of its own while all the other modules are evaluated. Who needs it hears of a failure.
startEngine().catch(() => {});
// A reader that has seen enough, such as `head`, closes the pipe: nobody misses the rest.
for (const stream of [stdout, stderr]) {
  stream.on("error", (error: Error & { code?: string }) => {
    if (error.code !== "EPIPE") throw error;
  });
}
const { runProgram } = await import("./program.ts");

const code = await runProgram(argv.slice(2), {
  terminal: standardOutput(),
  complain: (text) => stderr.write(text),
});
// What is still in the pipes is written before the exit cuts them.
await Promise.all([stdout, stderr].map((stream) => new Promise((resolve) => stream.write("", resolve))));
exit(code);
