import { type ChildProcess, spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createServer } from "node:net";
import process from "node:process";

/** What a program is started with. */
export interface ServerOptions {
  command(port: number): string[];
  /** Answers 200 once the program is ready. */
  readyPath: string;
  cwd: string;
  env?: Record<string, string>;
  /** @default a free one */
  port?: number;
}

const TIMEOUT = 120_000;

/** A program that listens on loopback, started by a benchmark and ended by it. */
export class Server implements AsyncDisposable {
  readonly #ended: Promise<void>;

  private constructor(
    private readonly child: ChildProcess,
    readonly port: number,
    /** Milliseconds from starting the process to the first answer. */
    readonly ready: number,
  ) {
    this.#ended = ended(child);
  }

  /** Starts a program and waits until it answers. */
  static async start({ command, readyPath, cwd, env, port: wanted }: ServerOptions): Promise<Server> {
    const port = wanted ?? await freePort();
    const [program, ...args] = command(port);
    const begun = performance.now();
    const child = spawn(program, args, {
      cwd,
      stdio: "ignore",
      env: { ...process.env, PORT: "", WHENTHEN_TOKEN: "", ...env },
    });
    try {
      await answers(`http://127.0.0.1:${port}${readyPath}`, child, begun);
      return new Server(child, port, performance.now() - begun);
    } catch (error) {
      child.kill("SIGKILL");
      throw error;
    }
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Milliseconds of processor time until now, of the process itself. */
  async processorTime(): Promise<number> {
    // `utime` and `stime` of proc(5), in ticks of 10 ms.
    const fields = (await readFile(`/proc/${this.child.pid}/stat`, "utf8")).replace(/^.*\) /, "").split(" ");
    return (Number(fields[11]) + Number(fields[12])) * 10;
  }

  /** Resident memory of the process and its children, in MB. */
  memory(): Promise<number> {
    return residentMemory(this.child.pid!);
  }

  get pid(): number {
    return this.child.pid!;
  }

  /** Sends it a signal that ends it; resolves when it has ended. */
  async end(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    this.child.kill(signal);
    await this.#ended;
  }

  /** Ends it; one that does not listen is killed. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill("SIGTERM");
    const killer = setTimeout(() => this.child.kill("SIGKILL"), 30_000);
    await this.#ended;
    clearTimeout(killer);
  }
}

/** A port that nobody listens on. */
export function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => child.on("close", () => resolve()));
}

async function answers(url: string, child: ChildProcess, begun: number): Promise<void> {
  for (;;) {
    try {
      const response = await fetch(url);
      await response.body?.cancel();
      if (response.ok) return;
    } catch {
      // Nobody listens yet.
    }
    if (child.exitCode !== null) {
      throw new Error(`It ended with ${child.exitCode} before it answered: ${child.spawnargs.join(" ")}`);
    }
    if (performance.now() - begun > TIMEOUT) throw new Error(`No answer in time: ${child.spawnargs.join(" ")}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

async function residentMemory(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  const own = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) / 1024;
  const children = (await readFile(`/proc/${pid}/task/${pid}/children`, "utf8")).trim().split(" ").filter(Boolean);
  const theirs = await Promise.all(children.map((child) => residentMemory(Number(child)).catch(() => 0)));
  return theirs.reduce((a, b) => a + b, own);
}
