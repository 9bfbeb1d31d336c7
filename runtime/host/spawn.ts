import { Buffer } from "node:buffer";
import { type ChildProcess, spawn } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { constants } from "node:os";
import process from "node:process";
import type { Readable } from "node:stream";
import { basename } from "node:path";
import { codeOf, messageOf, StillRunningError } from "../model/errors.ts";
import { logLine } from "./log_line.ts";
import { Head, type Kept, lastLines, Tail } from "./program_output.ts";

/** How long background processes of a finished command may continue to write before its group is ended. */
const LINGER = 2_000;

export interface ChildOptions {
  program: string;
  args: string[];
  cwd: string;
  /** The whole environment; nothing else is inherited. */
  env: Record<string, string>;
  /** Written to its standard input, which is empty if this is absent. The child need not read it all. */
  stdin?: string;
  /** The charset of its output, if not UTF-8. */
  charset?: string;
  /** Bytes kept: the first ones of standard output, the last ones of standard error. The rest is only counted. */
  keep: { stdout: number; stderr: number };
  /** Keeps the last lines of both streams instead, as many as take up to this many bytes as JSON together. */
  tail?: number;
  /** Receives all of standard output, in addition to the bytes kept. An error that it throws ends the child. */
  output?: Consume;
  /** Sees both streams as they are written. */
  watch?: (stream: "stdout" | "stderr", bytes: Uint8Array) => void;
  /**
   * Ends the child with its whole process group: SIGTERM, two seconds, SIGKILL. Processes that sudo has started belong to root and
   * are ended by `sudo -n kill`.
   */
  signal: AbortSignal;
}

export interface ChildEnd {
  /** Its exit code; 128 + the signal's number if a signal ended it, as in a shell. */
  code: number;
  /** The signal that ended it. */
  endedBy?: string;
  stdout: Kept;
  stderr: Kept;
}

const groups = new Set<ProcessGroup>();

/**
 * Runs a program in its own process group and waits until it and everything it started in that group has ended.
 * It does not wait for a process that has made a session of its own (`setsid`).
 * @throws the system's error (`code` is `ENOENT`, `EACCES`, …) if it cannot be started; the signal's reason if aborted, after
 * the group has ended; a StillRunningError if it could not be ended; the error of `output`
 */
export async function runChild(options: ChildOptions): Promise<ChildEnd> {
  const { program, args, cwd, env, stdin, keep, tail, output, watch, signal } = options;
  signal.throwIfAborted();
  const child = spawn(program, args, {
    cwd,
    env,
    detached: true,
    stdio: [stdin === undefined ? "ignore" : "pipe", "pipe", "pipe"],
  });
  const stdout = tail === undefined ? new Head(keep.stdout) : new Tail(keep.stdout);
  const stderr = new Tail(keep.stderr);
  child.stdout!.on("data", (chunk: Buffer) => stdout.add(chunk));
  child.stderr!.on("data", (chunk: Buffer) => stderr.add(chunk));
  if (watch !== undefined) {
    child.stdout!.on("data", (chunk: Buffer) => watch("stdout", chunk));
    child.stderr!.on("data", (chunk: Buffer) => watch("stderr", chunk));
  }
  const forwarder = output && new Forwarder(child.stdout!, output);
  const failed = new Promise<never>((_, reject) => child.on("error", reject));
  const exited = new Promise<[number | null, NodeJS.Signals | null]>((resolve) =>
    child.once("exit", (code, endedBy) => resolve([code, endedBy]))
  );
  const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
  if (child.pid === undefined) return await failed;
  failed.catch(() => {});
  feed(child, stdin);

  const group = new ProcessGroup(child.pid, basename(program) === "sudo" ? { program, cwd, env } : undefined);
  groups.add(group);
  const aborted = Promise.withResolvers<void>();
  const end = () => group.end().then(() => aborted.resolve());
  signal.addEventListener("abort", end);
  try {
    await Promise.race([exited, aborted.promise, ...forwarder ? [forwarder.failed] : []]);
    if (!signal.aborted) await (forwarder?.drained(LINGER, closed) ?? within(LINGER, closed));
    const hasEnded = await group.end();
    await forwarder?.consumed;
    if (signal.aborted && !hasEnded) {
      // Otherwise the child would delay the exit of this program.
      child.unref();
      throw stillRunning(signal.reason, group.id);
    }
    signal.throwIfAborted();
    if (forwarder?.error !== undefined) throw forwarder.error;
    const [code, endedBy] = await exited;
    return { ...status(code, endedBy), ...keptOf(stdout, stderr, options) };
  } finally {
    groups.delete(group);
    signal.removeEventListener("abort", end);
    child.stdout!.destroy();
    child.stderr!.destroy();
  }
}

/** Ends all children with their process groups; resolves when they have ended. */
export async function endChildren(): Promise<void> {
  await Promise.all([...groups].map((group) => group.end()));
}

function keptOf(stdout: Head | Tail, stderr: Tail, { tail, charset }: ChildOptions): { stdout: Kept; stderr: Kept } {
  if (tail !== undefined && stdout instanceof Tail) return lastLines({ stdout, stderr }, tail, charset);
  return { stdout: stdout.kept(charset), stderr: stderr.kept(charset) };
}

function feed(child: ChildProcess, stdin: string | undefined): void {
  if (stdin === undefined) return;
  // EPIPE: it ended or closed its input without reading everything, as `head -1` does.
  child.stdin!.on("error", () => {});
  child.stdin!.end(stdin);
}

function status(code: number | null, endedBy: NodeJS.Signals | null): { code: number; endedBy?: string } {
  if (!endedBy) return { code: code ?? 0 };
  return { code: 128 + constants.signals[endedBy], endedBy };
}

/** Milliseconds between SIGTERM and SIGKILL. */
const GRACE = 2_000;
/** Milliseconds within which the system carries out SIGKILL. */
const KILLED_WITHIN = 500;
const FIRST_LOOK = 5;
const LONGEST_PAUSE = 100;

/** How to run `sudo` as the child was run. */
interface Sudo {
  program: string;
  cwd: string;
  env: Record<string, string>;
}

/** A child process that leads its own process group, with all processes that it started there. */
class ProcessGroup {
  #ended?: Promise<boolean>;

  /** @param sudo given if the child was started by sudo, so that its processes belong to root */
  constructor(readonly id: number, private readonly sudo: Sudo | undefined) {}

  /**
   * Ends the remaining processes: SIGTERM, two seconds, SIGKILL. Resolves when none of them runs.
   * @returns false if some still run: they belong to another user, or the system did not carry out SIGKILL in time
   */
  end(): Promise<boolean> {
    return this.#ended ??= this.#end();
  }

  async #end(): Promise<boolean> {
    if (!await this.#runs()) return true;
    if (await this.#kill("TERM") && await this.#goneWithin(GRACE)) return true;
    return await this.#kill("KILL") && await this.#goneWithin(KILLED_WITHIN) || !await this.#runs();
  }

  async #goneWithin(ms: number): Promise<boolean> {
    const until = performance.now() + ms;
    for (let pause = FIRST_LOOK; performance.now() < until; pause = Math.min(pause * 2, LONGEST_PAUSE)) {
      await new Promise((resolve) => setTimeout(resolve, pause));
      if (!await this.#runs()) return true;
    }
    return false;
  }

  async #runs(): Promise<boolean> {
    return this.#signal(0) !== "gone" && (process.platform !== "linux" || await hasRunningMember(this.id));
  }

  /** @returns whether the processes have received the signal, or have ended */
  async #kill(signal: "TERM" | "KILL"): Promise<boolean> {
    const done = this.#signal(`SIG${signal}`);
    // The group may have processes of both users. Those of this user have received the signal, those of root have not.
    if (this.sudo === undefined) return done !== "forbidden";
    return await this.#killAsRoot(this.sudo, signal) || done !== "forbidden";
  }

  #killAsRoot({ program, cwd, env }: Sudo, signal: string): Promise<boolean> {
    return new Promise((resolve) => {
      const killing = spawn(program, ["-n", "kill", `-${signal}`, "--", `-${this.id}`], { cwd, env, stdio: "ignore" });
      killing.once("error", () => resolve(false));
      killing.once("exit", (code) => resolve(code === 0));
    });
  }

  /** `forbidden` (EPERM): the remaining processes belong to another user. */
  #signal(signal: "SIGTERM" | "SIGKILL" | 0): "done" | "gone" | "forbidden" {
    try {
      process.kill(-this.id, signal);
      return "done";
    } catch (error) {
      const code = codeOf(error);
      if (code === "ESRCH") return "gone";
      if (code === "EPERM") return "forbidden";
      throw error;
    }
  }
}

/** The error of a child that could not be ended. */
function stillRunning(reason: unknown, group: number): StillRunningError {
  const message = `${messageOf(reason)}; it still runs, because it belongs to another user and cannot be ended: ` +
    `process group ${group}`;
  logLine("warn", message, { group });
  return new StillRunningError(message);
}

/**
 * Ignores zombies, which signals also reach. In a container whose first process does not reap orphans they stay for ever, and
 * waiting for them would make every abort take its maximum time.
 */
async function hasRunningMember(group: number): Promise<boolean> {
  const entries = await readdir("/proc").catch(() => undefined);
  if (entries === undefined) return true;
  const members = await Promise.all(
    entries.filter((name) => /^\d+$/.test(name)).map(async (pid) => {
      const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
      // `pid (name) state parent group …`; the name may contain anything.
      const [state, , itsGroup] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return Number(itsGroup) === group && state !== "Z" && state !== "X";
    }),
  );
  return members.includes(true);
}

/** Consumes a chunk of a stream; the next one comes after it resolves. */
type Consume = (bytes: Uint8Array) => Promise<void>;

/** Polling interval in milliseconds for whether a stream is consumed. */
const LOOK = 50;

/** Forwards a stream chunk by chunk, with backpressure. */
class Forwarder {
  /** Resolves if a chunk could not be consumed. */
  readonly failed: Promise<void>;
  error: unknown;
  #consuming: Promise<void> = Promise.resolve();
  readonly #fail: () => void;

  constructor(private readonly stream: Readable, private readonly consume: Consume) {
    const { promise, resolve } = Promise.withResolvers<void>();
    [this.failed, this.#fail] = [promise, resolve];
    stream.on("data", (chunk: Buffer) => {
      stream.pause();
      this.#consuming = this.#consuming.then(() => this.#forward(chunk));
    });
  }

  /** Everything received so far is consumed. */
  get consumed(): Promise<void> {
    return this.#consuming;
  }

  /**
   * Waits until everything is consumed, including data that a slow disk leaves in the pipe. A process that still has
   * the stream open may write for `ms`, not counting the time spent consuming.
   * @param closed resolves when the stream has ended and was read
   */
  async drained(ms: number, closed: Promise<void>): Promise<void> {
    let isClosed = false;
    closed.then(() => isClosed = true);
    for (let left = ms; left > 0 && !isClosed && this.error === undefined;) {
      await this.#consuming;
      const began = performance.now();
      await within(Math.min(left, LOOK), closed);
      left -= performance.now() - began;
    }
    await this.#consuming;
  }

  async #forward(chunk: Buffer): Promise<void> {
    if (this.error !== undefined) return;
    try {
      await this.consume(chunk);
      this.stream.resume();
    } catch (error) {
      this.error = error;
      this.#fail();
    }
  }
}

/** Resolves with the promise, or after that time. */
async function within(ms: number, promise: Promise<void>): Promise<void> {
  let timer;
  await Promise.race([promise, new Promise<void>((resolve) => timer = setTimeout(resolve, ms))]);
  clearTimeout(timer);
}
