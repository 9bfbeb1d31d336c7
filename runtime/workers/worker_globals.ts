import { Console } from "node:console";
import { createRequire } from "node:module";
import process from "node:process";
import { Writable } from "node:stream";
import { protocol, PROTOCOL_KEY } from "../sdk/protocol.ts";
import type { LogLevel } from "./messages.ts";

/**
 * Sets up the globals that rule code may use: `whenthen`, a `require` for bundled CommonJS, a console that writes to the
 * program's log, and a `process` that cannot end the program.
 */
export function installGlobals(log: (level: LogLevel, message: string) => void): void {
  Object.defineProperty(globalThis, Symbol.for(PROTOCOL_KEY), { value: Object.freeze({ ...protocol }) });
  Object.defineProperty(globalThis, "require", { value: createRequire(`${process.cwd()}/`), configurable: true });
  installConsole(log);
  guardProcess();
}

function installConsole(log: (level: LogLevel, message: string) => void): void {
  const info = sink((text) => log("info", text));
  const error = sink((text) => log("error", text));
  const debug = new Console(sink((text) => log("debug", text)));
  const warn = new Console(sink((text) => log("warn", text)));
  const own = {
    debug: (...values: unknown[]) => debug.log(...values),
    trace: (...values: unknown[]) => debug.log(...values),
    warn: (...values: unknown[]) => warn.log(...values),
  };
  globalThis.console = Object.assign(new Console(info, error), own);
  process.stdout.write = toSink(info) as typeof process.stdout.write;
  process.stderr.write = toSink(error) as typeof process.stderr.write;
}

function sink(write: (text: string) => void): Writable {
  return new Writable({
    decodeStrings: false,
    write(chunk, _encoding, done) {
      write(String(chunk).replace(/\n$/, ""));
      done();
    },
  });
}

function toSink(target: Writable) {
  return (chunk: string | Uint8Array) =>
    target.write(typeof chunk === "string" ? chunk : new TextDecoder().decode(chunk));
}

function guardProcess(): void {
  for (const name of ["exit", "reallyExit", "abort", "kill", "chdir"]) {
    const value = () => {
      throw new Error(`process.${name} is not for rule code: it would reach the whole program; step.stop ends the run`);
    };
    Object.defineProperty(process, name, { value, configurable: true });
  }
}
