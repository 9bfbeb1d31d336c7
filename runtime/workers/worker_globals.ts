import { Console } from "node:console";
import process from "node:process";
import { Writable } from "node:stream";
import { protocol, PROTOCOL_KEY } from "../sdk/protocol.ts";
import type { LogLevel } from "./thread_messages.ts";

/**
 * Sets up the globals that rule code may use: `whenthen`, a `require` for bundled CommonJS, a console that writes to the
 * program's log, and a `process` that cannot end the program.
 */
export function installGlobals(log: (level: LogLevel, message: string) => void): void {
  Object.defineProperty(globalThis, Symbol.for(PROTOCOL_KEY), { value: Object.freeze({ ...protocol }) });
  Object.defineProperty(globalThis, "require", {
    // Made at its first use: loading `node:module` takes each process of rule code 10 ms on Deno.
    get() {
      const value = process.getBuiltinModule("node:module").createRequire(`${process.cwd()}/`);
      Object.defineProperty(globalThis, "require", { value, configurable: true });
      return value;
    },
    configurable: true,
  });
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
      throw new Error(
        `process.${name} is not for rule code: it would affect the whole program; step.stop ends the run`,
      );
    };
    Object.defineProperty(process, name, { value, configurable: true });
  }
}

/** Reports errors that no code awaits. Deno reports a rejection as a Web event, Bun and Node through `process`. */
export function watchForCrashes(report: (thrown: unknown) => void): void {
  process.on("uncaughtException", report);
  process.on("unhandledRejection", report);
  globalThis.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    report(event.reason);
  });
}

/**
 * Makes the code's own `fetch` wait until the destination has room: `limits` in `whenthen.yaml`.
 * @param admit resolves when the request may be sent
 */
export function limitFetch(admit: (url: string) => Promise<void>): void {
  const send = globalThis.fetch;
  const limited = async (input: RequestInfo | URL, init?: RequestInit) => {
    const url = input instanceof Request ? input.url : String(input);
    if (/^https?:/i.test(url)) await admit(url);
    return await send(input, init);
  };
  globalThis.fetch = Object.assign(limited, send);
}

/** The machine's own Date. */
const RealDate = Date;
let now: number | undefined;

/**
 * Makes `Date` return a fixed simulated time in all code of this worker, until the next call. With undefined it returns the
 * machine's time again.
 */
export function simulateDate(time: number | undefined): void {
  now = time;
  if (now !== undefined && globalThis.Date === RealDate) globalThis.Date = SimulatedDate;
}

/** Milliseconds since the epoch by that Date; rule code may have replaced its own. */
export function currentTime(): number {
  return now ?? RealDate.now();
}

const SimulatedDate = new Proxy(RealDate, {
  construct(target, args, newTarget) {
    return Reflect.construct(target, args.length === 0 && now !== undefined ? [now] : args, newTarget);
  },
  apply: (target) => (now === undefined ? new target() : new target(now)).toString(),
  get: (target, name) => name === "now" ? () => now ?? target.now() : Reflect.get(target, name),
});

/**
 * The secrets as rule code sees them. The name is reported before the value is handed out, so that the value is masked
 * wherever it appears. The values are kept outside the proxy's target, because `console.log(secrets)` shows the target.
 * @throws when an unset secret is read, so that `Bearer undefined` is never sent
 */
export function secretsView(values: Record<string, string>, tell: (name: string) => void): Record<string, string> {
  const reported = new Set<string>();
  const read = (name: string) => {
    if (!reported.has(name)) tell(name);
    reported.add(name);
    return values[name];
  };
  const isSet = (name: string | symbol): name is string => typeof name === "string" && Object.hasOwn(values, name);
  return new Proxy({}, {
    get(_target, name) {
      if (isSet(name)) return read(name);
      // `await` and JSON.stringify look these up on any object.
      if (typeof name === "symbol" || name === "then" || name === "toJSON") return undefined;
      throw new Error(`the secret ${JSON.stringify(name)} is not set`);
    },
    has: (_target, name) => isSet(name),
    ownKeys: () => Object.keys(values),
    getOwnPropertyDescriptor: (_target, name) =>
      isSet(name) ? { value: read(name), enumerable: true, configurable: true } : undefined,
    set: () => false,
    defineProperty: () => false,
    deleteProperty: () => false,
  });
}
