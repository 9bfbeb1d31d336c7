import { runProgram } from "../../bin/cli/main.ts";

/** Runs a command line in this process. */
export async function runCommand(...words: string[]) {
  let [out, complaints] = ["", ""];
  const code = await runProgram(words, {
    terminal: { write: (text) => out += text, width: Infinity, colours: false, now: Date.now() },
    complain: (text) => complaints += text,
  });
  return { code, out, complaints };
}
