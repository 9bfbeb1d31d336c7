import { Buffer } from "node:buffer";
import { type ChildProcess, spawn } from "node:child_process";
import { constants } from "node:os";
import { HandedOn, type Take, within } from "./handed_on.ts";
import { Head, type Kept, lastLines, Tail } from "./kept_output.ts";
import { ProcessGroup } from "./process_group.ts";

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
  /** Gets standard output, all of it, beside what is kept. What it throws ends the child. */
  output?: Take;
  /** Ends the child with its whole process group: SIGTERM, two seconds, SIGKILL. */
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
 * Runs a program in a process group of its own and waits until it and everything it started in that group is gone.
 * A process that made itself a session of its own (`setsid`) is on its own.
 * @throws the system's error (`code` is `ENOENT`, `EACCES`, …) where it cannot be started; the signal's reason once aborted, after
 * the group is gone; what `output` throws
 */
export async function runChild(options: ChildOptions): Promise<ChildEnd> {
  const { program, args, cwd, env, stdin, keep, tail, output, signal } = options;
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
  const handed = output && new HandedOn(child.stdout!, output);
  const failed = new Promise<never>((_, reject) => child.on("error", reject));
  const exited = new Promise<[number | null, string | null]>((resolve) =>
    child.once("exit", (code, endedBy) => resolve([code, endedBy]))
  );
  const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
  if (child.pid === undefined) return await failed;
  failed.catch(() => {});
  feed(child, stdin);

  const group = new ProcessGroup(child.pid);
  groups.add(group);
  const aborted = Promise.withResolvers<void>();
  const end = () => group.end().then(aborted.resolve);
  signal.addEventListener("abort", end);
  try {
    await Promise.race([exited, aborted.promise, ...handed ? [handed.failed] : []]);
    if (!signal.aborted) await (handed?.drained(LINGER, closed) ?? within(LINGER, closed));
    await group.end();
    await handed?.taken;
    signal.throwIfAborted();
    if (handed?.error !== undefined) throw handed.error;
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

function status(code: number | null, endedBy: string | null): { code: number; endedBy?: string } {
  if (!endedBy) return { code: code ?? 0 };
  return { code: 128 + constants.signals[endedBy as NodeJS.Signals], endedBy };
}
