import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { stdout } from "node:process";
import type { Installed } from "./install.ts";
import { load } from "./load/load.ts";
import type { Job, Load } from "./load/job.ts";
import { Server } from "./server.ts";

/** What a part of the benchmark works with. */
export class Lab {
  readonly #skipped: string[] = [];
  #folders = 0;
  /** Webhooks per second that the binary accepted, if that was measured. */
  ingestRate: number | undefined;

  constructor(
    /** A folder for everything, removed at the end. */
    readonly scratch: string,
    readonly binary: Installed,
    readonly source: Installed,
    /** Seconds of the longest measurement; the others take a part of it. */
    readonly seconds: number,
  ) {}

  /** What could not be installed. */
  get skipped(): readonly string[] {
    return this.#skipped;
  }

  /** Reports progress. */
  say(text: string): void {
    stdout.write(`  … ${text}\n`);
  }

  /** Installs a program; undefined if that fails, which is reported. */
  install<T>(make: (scratch: string) => T): T | undefined {
    try {
      return make(this.scratch);
    } catch (error) {
      const { message } = error as Error;
      this.#skipped.push(message);
      stdout.write(`  skipped: ${message}\n`);
      return undefined;
    }
  }

  /** A new folder with these files. */
  async folder(files: Record<string, string> = {}): Promise<string> {
    const folder = join(this.scratch, `folder-${++this.#folders}`);
    await mkdir(folder);
    for (const [name, text] of Object.entries(files)) {
      await mkdir(dirname(join(folder, name)), { recursive: true });
      await writeFile(join(folder, name), text);
    }
    return folder;
  }

  /** Starts whenthen over rule files. @param data an existing data folder; a new one by default */
  async start(program: Installed, rules: Record<string, string>, data?: string): Promise<Server> {
    const folder = await this.folder(rules);
    return await this.startOn(program, folder, data);
  }

  /**
   * Starts whenthen over a folder of rules.
   * @param data a data folder, or the URL of a database; a new folder by default
   * @param cache where its files of a database are
   */
  async startOn(program: Installed, folder: string, data?: string, cache = ""): Promise<Server> {
    const at = data ?? await this.folder();
    const args = ["run", folder, "--data", at, "--log", "json"];
    return await Server.start({
      command: (port) => [...program.command, ...args, "--port", String(port)],
      readyPath: "/readyz",
      cwd: folder,
      env: { HOOK_SECRET: SECRET, ...cache !== "" && { XDG_CACHE_HOME: cache } },
    });
  }

  /** Sends orders of 1 kB to a server. */
  load(server: { port: number }, job: Omit<Job, "port">): Promise<Load> {
    return load(this.binary.command[0], { bytes: 1_000, ...job, port: server.port });
  }

  /** Starts a server that does nothing: its delays are those of the machine under its current load. */
  async startIdle(): Promise<Server> {
    const cwd = await this.folder({ "idle.js": IDLE_SERVER });
    const command = (port: number) => [...this.binary.command, "run", "idle.js", String(port)];
    return await Server.start({ command, cwd, readyPath: "/healthz", env: { BUN_BE_BUN: "1" } });
  }

  /** Requests a page without cost 200 times a second: the longest response time is the longest pause of the server. */
  async longestPause(server: { port: number }, seconds: number): Promise<number> {
    const job = { port: server.port, paths: ["/healthz"], connections: 8, rate: 200, seconds };
    return (await load(this.binary.command[0], job)).longest;
  }
}

const IDLE_SERVER =
  `Bun.serve({ hostname: "127.0.0.1", port: Number(process.argv[2]), fetch: () => new Response("ok") });\n`;

/** What webhooks are signed with. */
export const SECRET = "correct horse battery staple";

/** A value of whenthen's metrics; 0 if it is not there yet. */
export async function metric(server: Server, name: string): Promise<number> {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  const line = text.split("\n").find((line) => line.startsWith(`whenthen_${name} `));
  return Number(line?.split(" ")[1] ?? 0);
}

/** Runs that whenthen has not finished. */
export async function liveRuns(server: Server): Promise<number> {
  return await metric(server, 'runs{state="queued"}') + await metric(server, 'runs{state="running"}');
}
