import process from "node:process";
import { isMainThread, parentPort, workerData } from "node:worker_threads";
import { readExactJson, writeRecordJson } from "../formats/exact_json.ts";

/** The end of a code worker's channel on the side of the rule code. */
interface CodeWorkerPort {
  /** The data that it was started with. */
  data: unknown;
  post(message: unknown): void;
  onMessage(receive: (message: unknown) => void): void;
  /** Notes a number for the call that begins, so that the program knows it if the call never returns. */
  mark(what: number): void;
}

/** Signals that a terminal or a service manager sends to all processes of the program: only the program handles them. */
const HANDLED_ELSEWHERE = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

interface Setup {
  data: unknown;
  env: Record<string, string>;
  /** The file of the mark. */
  marks: string;
}

/** Opens the channel to the program, in the thread or process that `startCodeWorker` started. */
export async function openCodeWorkerPort(): Promise<CodeWorkerPort> {
  if (!isMainThread) {
    const port = parentPort!;
    const { data, marks }: { data: unknown; marks: SharedArrayBuffer } = workerData;
    const mark = new Int32Array(marks);
    return {
      data,
      mark: (what) => void Atomics.store(mark, 0, what),
      post: (message) => port.postMessage(writeRecordJson(message)),
      onMessage: (receive) => port.on("message", (text) => receive(readExactJson(text))),
    };
  }
  new Worker(new URL("./code_worker_guard.ts", import.meta.url), { type: "module" });
  for (const signal of HANDLED_ELSEWHERE) process.on(signal, () => {});
  const send = process.send!.bind(process);
  const { data, env, marks } = await new Promise<Setup>((resolve) =>
    process.once("message", (text) => resolve(readExactJson(String(text)) as Setup))
  );
  // A separate object, as in a thread. Deno's object is a view of `Deno.env`, with folders of Deno itself in the PATH.
  Object.defineProperty(process, "env", { value: { ...env }, configurable: true, writable: true });
  return {
    data,
    mark: markIn(marks),
    post: (message) => void send(writeRecordJson(message)),
    onMessage: (receive) => process.on("message", (text) => receive(readExactJson(String(text)))),
  };
}

function markIn(file: string): (what: number) => void {
  // Not by `import`: Bun (1.4) keeps the names of a module that was imported before `sealWorker` as they were.
  const { openSync, writeSync } = process.getBuiltinModule("node:module").createRequire(file)(
    "node:fs",
  ) as typeof import("node:fs");
  const fd = openSync(file, "r+");
  const value = new Int32Array(1);
  const bytes = new Uint8Array(value.buffer);
  return (what) => {
    value[0] = what;
    writeSync(fd, bytes, 0, 4, 0);
  };
}

/** The members of Deno's namespace that are replaced for rule code. */
interface Offered {
  env: unknown;
  exit: unknown;
  kill: unknown;
  chdir: unknown;
}

/**
 * Gives a worker the `Deno` namespace that code written for Deno expects, on every host: files, directories, process information
 * and so on. `Deno.env` is the worker's own environment, without secrets. Functions that affect the whole program are refused,
 * like those of `process`.
 */
export async function offerDeno(): Promise<void> {
  if (!("Deno" in globalThis)) {
    const shim = await import("@deno/shim-deno");
    Object.defineProperty(globalThis, "Deno", { value: { ...shim.Deno }, configurable: true, writable: true });
  }
  const own: Offered = { env: ownEnvironment(), exit: process.exit, kill: process.kill, chdir: process.chdir };
  for (const [name, value] of Object.entries(own)) {
    Object.defineProperty(Deno, name, { value, configurable: true, enumerable: true });
  }
}

function ownEnvironment() {
  const { env } = process;
  return {
    get: (name: string) => env[name],
    has: (name: string) => name in env,
    set: (name: string, value: string) => void (env[name] = value),
    delete: (name: string) => void delete env[name],
    toObject: () => ({ ...env }),
  };
}
