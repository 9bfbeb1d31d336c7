import { type ChildProcess, spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createServer } from "node:net";
import process from "node:process";

/** What one start showed. */
export interface Start {
  /** Milliseconds from starting the process to the first answer. */
  ready: number;
  /** Milliseconds of processor time until then, of the process itself: less moved by what else the machine does. */
  cpu: number;
  /** Resident memory of the process and its children once it has come to rest, in MB. */
  memory: number;
}

/** How long a program is left alone before its memory is read. */
const REST = 3_000;
const PATIENCE = 120_000;

/** Starts a program, asks it until it answers 200, lets it rest, reads its memory, ends it. */
export async function measureStart(
  command: (port: number) => string[],
  readyPath: string,
  cwd: string,
): Promise<Start> {
  const port = await freePort();
  const [program, ...args] = command(port);
  const begun = performance.now();
  const child = spawn(program, args, { cwd, stdio: "ignore", env: { ...process.env, PORT: "", WHENTHEN_TOKEN: "" } });
  const ended = new Promise<void>((resolve) => child.on("close", () => resolve()));
  try {
    await answers(`http://127.0.0.1:${port}${readyPath}`, child, begun);
    const ready = performance.now() - begun;
    const cpu = await processorTime(child.pid!);
    await new Promise((resolve) => setTimeout(resolve, REST));
    return { ready, cpu, memory: await residentMemory(child.pid!) };
  } finally {
    child.kill("SIGTERM");
    const killer = setTimeout(() => child.kill("SIGKILL"), 20_000);
    await ended;
    clearTimeout(killer);
  }
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
    if (performance.now() - begun > PATIENCE) throw new Error(`No answer in time: ${child.spawnargs.join(" ")}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** `utime` and `stime` of proc(5), in ticks of 10 ms. */
async function processorTime(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, "utf8")).replace(/^.*\) /, "").split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

async function residentMemory(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  const own = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) / 1024;
  const children = (await readFile(`/proc/${pid}/task/${pid}/children`, "utf8")).trim().split(" ").filter(Boolean);
  const theirs = await Promise.all(children.map((child) => residentMemory(Number(child)).catch(() => 0)));
  return theirs.reduce((a, b) => a + b, own);
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
