import { type ChildProcess, fork } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { readExactJson, writeRecordJson } from "../formats/exact_json.ts";

/**
 * A worker for rule code, outside the program's own thread. Messages in both directions are plain JSON and keep their order. They are
 * sent as text: the host's JSON has no BigInt, and copying objects takes Bun (1.4) four times as long as their text.
 */
export interface CodeWorker {
  post(message: unknown): void;
  /** The number that its code last passed to `mark` of its port, also while it computes; 0 if none. */
  mark(): number;
  /**
   * Ends it at once, even during a loop. Resolves when it has ended. A thread in a native call, such as `pbkdf2Sync`, ends only
   * when that call returns; the exit of the program does not wait for it.
   */
  terminate(): Promise<void>;
  /** Bytes of memory that it uses in addition to those of the program; 0 if it is a thread of the program. */
  memory(): number;
}

/** Options of `startCodeWorker`. */
export interface CodeWorkerOptions {
  /** The `data` of its port, see `code_worker_port.ts`. */
  data: unknown;
  env: Record<string, string>;
  /** Maximum bytes of its heap, if the host can limit that. */
  heapLimit: number;
  onMessage(message: unknown): void;
  /** In the binary: a smaller heap, which is collected more often. For workers of which there may be dozens. */
  isSmall?: boolean;
  /** Called when it ends without {@link CodeWorker.terminate}. */
  onEnd(end: { kind: "memory" } | { kind: "error"; error: Error }): void;
}

/**
 * Starts a worker with the module at `url`. On Bun it is a thread. Deno does not stop a thread that computes (2.9:
 * `terminate()` resolves, the loop continues and keeps a core busy; https://github.com/denoland/deno/pull/35657), so there it is a
 * process, which the operating system ends.
 */
export function startCodeWorker(url: URL, options: CodeWorkerOptions): CodeWorker {
  return "Deno" in globalThis ? startProcess(url, options) : startThread(url, options);
}

function startThread(
  url: URL,
  { data, env, heapLimit, isSmall, onMessage, onEnd }: CodeWorkerOptions,
): CodeWorker {
  const shared = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(url, {
    workerData: { data, marks: shared.buffer },
    env,
    resourceLimits: { maxOldGenerationSizeMb: megabytes(heapLimit) },
    // An option of Bun.
    ...isSmall && { smol: true },
  });
  worker.on("message", (text) => onMessage(readExactJson(text)));
  worker.on("error", (error: Error & { code?: string }) => {
    onEnd(error.code === "ERR_WORKER_OUT_OF_MEMORY" ? { kind: "memory" } : { kind: "error", error });
  });
  const gone = new Promise<void>((resolve) => worker.once("exit", () => resolve()));
  worker.on("exit", (code) => onEnd({ kind: "error", error: new Error(`it ended by itself with code ${code}`) }));
  return {
    post: (message) => worker.postMessage(writeRecordJson(message)),
    mark: () => Atomics.load(shared, 0),
    async terminate() {
      await Promise.race([worker.terminate(), gone]);
    },
    memory: () => 0,
  };
}

/**
 * The options with which Deno's `fork` starts a process, but `node_modules` is not set up again: the program's start has done that, and
 * it would take 25 ms more, one process after the other.
 */
const OF_DENO = ["run", "-A", "--unstable-bare-node-builtins", "--unstable-detect-cjs", "--node-modules-dir=manual"];

function startProcess(url: URL, { data, env, heapLimit, onMessage, onEnd }: CodeWorkerOptions): CodeWorker {
  // Processes share no memory in Deno; a small file stays in the page cache.
  const mark = new MarkFile();
  const child = fork(fileURLToPath(url), [], {
    execArgv: [...OF_DENO, `--v8-flags=--max-old-space-size=${megabytes(heapLimit)}`],
    env,
    stdio: ["pipe", "ignore", "ignore", "ipc"],
  });
  const ended = new Promise<void>((resolve) => {
    child.on("exit", (code, signal) => {
      resolve();
      mark.close();
      // V8 ends with a trap or an abort when its heap is full.
      if (signal === "SIGTRAP" || signal === "SIGABRT") onEnd({ kind: "memory" });
      else onEnd({ kind: "error", error: new Error(`it ended by itself with ${signal ?? `code ${code}`}`) });
    });
  });
  child.on("message", (text) => {
    // It has the file open.
    mark.remove();
    onMessage(readExactJson(String(text)));
  });
  child.on("error", (error) => {
    mark.close();
    onEnd({ kind: "error", error });
  });
  post(child, { data, env, marks: mark.path });
  return {
    post: (message) => post(child, message),
    mark: () => mark.read(),
    async terminate() {
      child.kill("SIGKILL");
      await ended;
    },
    memory: () => residentBytes(child),
  };
}

/** Bytes of memory of the program, if workers are its threads and so share it; 0 if they are processes. */
export function sharedMemory(): number {
  return "Deno" in globalThis ? 0 : process.memoryUsage.rss();
}

/** A file in which a process marks its calls. It has a name only until the process has opened it, so that no file is left behind. */
class MarkFile {
  readonly path = join(mkdtempSync(join(tmpdir(), "whenthen-marks-")), "mark");
  readonly #value = new Int32Array(1);
  #file: number | undefined;
  #isNamed = true;

  constructor() {
    this.#file = openSync(this.path, "w+");
    writeSync(this.#file, new Uint8Array(4));
  }

  read(): number {
    if (this.#file !== undefined) readSync(this.#file, new Uint8Array(this.#value.buffer), 0, 4, 0);
    return this.#value[0];
  }

  /** Removes its name. */
  remove(): void {
    if (this.#isNamed) rmSync(dirname(this.path), { recursive: true, force: true });
    this.#isNamed = false;
  }

  /** Keeps what was marked last. */
  close(): void {
    this.remove();
    this.read();
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }
}

/** A message to a process that has just ended is dropped. */
function post(child: ChildProcess, message: unknown): void {
  if (child.connected) child.send(writeRecordJson(message), () => {});
}

/** The memory of a process without pages of files, such as the executable, which it shares with the program. */
function residentBytes({ pid }: ChildProcess): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const kilobytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? 0);
    return (kilobytes("VmRSS") - kilobytes("RssFile")) * 1024;
  } catch {
    // It has ended, or this is not Linux: then only its heap is limited.
    return 0;
  }
}

function megabytes(bytes: number): number {
  return Math.max(64, Math.floor(bytes / 2 ** 20));
}
