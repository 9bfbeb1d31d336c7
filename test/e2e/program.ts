import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { isDatabaseUrl, localFolderOf } from "../../runtime/database/connection.ts";
import { TIMEOUT, within } from "./until.ts";

const ROOT = new URL("../..", import.meta.url).pathname;

/** The program under test: `WHENTHEN_COMMAND` (words separated by blanks), else the source on Deno. */
const COMMAND = process.env.WHENTHEN_COMMAND?.split(" ") ?? fromSource("bin/whenthen.ts");

/** The same program with a faulty clock and disk, set by the environment; for the binary a separate build. */
const COMMAND_WITH_FAULTS = process.env.WHENTHEN_COMMAND === undefined
  ? fromSource("test/faults/whenthen.ts")
  : [join(ROOT, "bin/whenthen-with-faults")];

/** The tests have set up `node_modules`: that each start checks it again takes Deno 0.3 s, and one start waits for another. */
function fromSource(entry: string): string[] {
  const flags = ["-A", "--node-modules-dir=manual", "--config", join(ROOT, "deno.json")];
  return [Deno.execPath(), "run", ...flags, join(ROOT, entry)];
}

/** JSON of any shape, as a test reads it. */
// deno-lint-ignore no-explicit-any
export type Answered = any;

/** One line of the program's log. */
export interface LogLine {
  level: string;
  message: string;
  properties: Record<string, unknown>;
}

export interface Finished {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs one command of the program to its end. */
export function whenthen(
  args: string[],
  options: LaunchOptions = {},
): Promise<Finished> {
  const child = launch(args, options);
  const output = { stdout: "", stderr: "" };
  child.stdout!.setEncoding("utf8").on("data", (text) => output.stdout += text);
  child.stderr!.setEncoding("utf8").on("data", (text) => output.stderr += text);
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, ...output })));
}

/** Starts one command that waits for something; its output can be read meanwhile. */
export function whenthenAsk(args: string[], options: LaunchOptions = {}): Program {
  return new Program(launch(args, options), "");
}

/** Runs one command whose output nobody reads: the pipe is closed before it begins. */
export function whenthenUnread(args: string[]): Promise<Omit<Finished, "stdout">> {
  const child = launch(args, {});
  let stderr = "";
  child.stdout!.destroy();
  child.stderr!.setEncoding("utf8").on("data", (text) => stderr += text);
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, stderr })));
}

/** The real program, running; made by {@link start}, used with `await using`. */
export class Program implements AsyncDisposable {
  readonly lines: LogLine[] = [];
  readonly exited: Promise<number | null>;
  #text = "";
  #isClosed = false;
  #url: Promise<string> | undefined;
  #watchers = new Set<() => void>();

  constructor(readonly child: ChildProcess, readonly data: string) {
    for (const stream of [child.stdout!, child.stderr!]) {
      // Each stream has its own: an unfinished line of one must not be mixed with the other.
      let rest = "";
      stream.setEncoding("utf8").on("data", (text: string) => {
        this.#text += text;
        const parts = (rest + text).split("\n");
        rest = parts.pop()!;
        for (const part of parts) if (part.startsWith("{")) this.lines.push(JSON.parse(part));
        this.#watchers.forEach((look) => look());
      });
    }
    this.exited = new Promise((resolve) =>
      child.on("close", (code) => {
        this.#isClosed = true;
        resolve(code);
        this.#watchers.forEach((look) => look());
      })
    );
  }

  /** Everything it has printed. */
  get output(): string {
    return this.#text;
  }

  /** Drops the output so far: hours of it exceed the maximum length of a string. */
  forget(): void {
    this.lines.length = 0;
    this.#text = "";
  }

  /** Waits for a log line that `matches`; fails after `timeout` milliseconds or when the program ends, showing the log. */
  waitFor(what: string, matches: (line: LogLine) => boolean, timeout = TIMEOUT): Promise<LogLine> {
    return new Promise((resolve, reject) => {
      const fail = (why: string) =>
        finish(() => reject(new Error(`${why} without ${what}; it printed:\n${this.#text}`)));
      const finish = (settle: () => void) => {
        clearTimeout(timer);
        this.#watchers.delete(look);
        settle();
      };
      let seen = 0;
      const look = () => {
        const line = this.lines.slice(seen).find(matches);
        seen = this.lines.length;
        if (line) finish(() => resolve(line));
        // Its last lines may come after its exit.
        const end = this.child.exitCode ?? this.child.signalCode;
        if (line === undefined && this.#isClosed) fail(`The program ended with ${end}`);
      };
      const timer = setTimeout(() => fail(`${timeout} ms passed`), timeout);
      this.#watchers.add(look);
      look();
    });
  }

  /** Waits for a log line whose message contains the text. */
  waitForMessage(text: string, timeout?: number): Promise<LogLine> {
    return this.waitFor(`a log line with "${text}"`, ({ message }) => message.includes(text), timeout);
  }

  /** Where it listens, without a trailing slash. */
  url(): Promise<string> {
    return this.#url ??= this.#findUrl();
  }

  async #findUrl(): Promise<string> {
    const line = await this.waitForMessage("Listening on ");
    return /http:\/\/[^\s"]+/.exec(line.message)![0].replace(/\/$/, "");
  }

  /** Sends a request to it; aborts after two minutes, so that a hanging program does not hang the tests. */
  async fetch(path: string, init?: RequestInit): Promise<Response> {
    return await fetch(await this.url() + path, { signal: AbortSignal.timeout(120_000), ...init });
  }

  /** Posts JSON and returns status and parsed response. */
  async post(
    path: string,
    body: unknown,
    headers: Record<string, string> = {},
  ): Promise<{ status: number; body: Answered }> {
    const init = {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify(body),
    };
    const response = await this.fetch(path, init);
    const text = await response.text();
    return { status: response.status, body: text.startsWith("{") || text.startsWith("[") ? JSON.parse(text) : text };
  }

  /** A listing of the API. */
  async api(path: string): Promise<Answered> {
    const response = await this.fetch(`/api/${path}`);
    return await response.json();
  }

  /** Waits until it has ended; fails after two minutes, showing the log. Its code, or null if a signal ended it. */
  async end(): Promise<number | null> {
    try {
      return await within(TIMEOUT, "the end of the program", this.exited);
    } catch (error) {
      throw new Error(`${(error as Error).message}; it printed:\n${this.#text}`);
    }
  }

  /** Asks it to stop, as a service manager does. */
  async stop(): Promise<number | null> {
    process.kill(this.child.pid!, "SIGTERM");
    return await this.end();
  }

  /** Kills it without a warning, as a crash would. */
  async kill(): Promise<void> {
    try {
      if (this.child.exitCode === null && this.child.signalCode === null) process.kill(this.child.pid!, "SIGKILL");
    } catch (error) {
      // It has just ended by itself, which this process has yet to hear.
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
    await this.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

/** Starts `whenthen run` over a folder on a free port, with the log as JSON. */
export function start(
  folder: string,
  options: LaunchOptions & { data: string; args?: string[] },
): Program {
  const args = ["run", folder, "--data", options.data, "--port", "0", "--log", "json", ...options.args ?? []];
  return new Program(launch(args, options), isDatabaseUrl(options.data) ? localFolderOf(options.data) : options.data);
}

/** A temporary folder, removed with `await using`. */
export async function temporaryFolder(): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), "whenthen-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

interface LaunchOptions {
  env?: Record<string, string>;
  cwd?: string;
  /** A command that executes the program, such as `["nice"]`. */
  under?: string[];
}

function launch(args: string[], options: LaunchOptions): ChildProcess {
  const hasFaults = Object.keys(options.env ?? {}).some((name) => name.startsWith("WHENTHEN_TEST_"));
  const [command, ...before] = [...options.under ?? [], ...hasFaults ? COMMAND_WITH_FAULTS : COMMAND];
  // A time of day without a zone is in the zone of the machine.
  const env = { ...process.env, TZ: "UTC", WHENTHEN_TOKEN: "", NO_COLOR: "1", ...options.env };
  return spawn(command, [...before, ...args], { cwd: options.cwd, env, stdio: ["ignore", "pipe", "pipe"] });
}
