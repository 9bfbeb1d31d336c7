import { Buffer } from "node:buffer";
import { type ChildProcess, spawn } from "node:child_process";
import { constants } from "node:os";
import { type DecodeOptions, decodeReadable, decodeText } from "../formats/decode_text.ts";
import { messageOf } from "../model/errors.ts";
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

/** The part of a stream that was kept. */
export interface Kept {
  text: string;
  /** Why the bytes cannot be decoded; `text` then has U+FFFD for invalid bytes. */
  undecodable?: string;
  /** How many bytes were dropped. */
  dropped: number;
}

const groups = new Set<ProcessGroup>();

/**
 * Runs a program in its own process group and waits until it and everything that it started in that group has ended. Processes
 * that start their own session (`setsid`) are not included.
 * @throws the system's error (`code` is `ENOENT`, `EACCES`, …) if it cannot be started; if aborted, the signal's reason, after the
 * group has ended
 */
export async function runChild(options: ChildOptions): Promise<ChildEnd> {
  const { program, args, cwd, env, stdin, charset, keep, signal } = options;
  signal.throwIfAborted();
  const child = spawn(program, args, {
    cwd,
    env,
    detached: true,
    stdio: [stdin === undefined ? "ignore" : "pipe", "pipe", "pipe"],
  });
  const stdout = new Head(keep.stdout);
  const stderr = new Tail(keep.stderr);
  child.stdout!.on("data", (chunk: Buffer) => stdout.add(chunk));
  child.stderr!.on("data", (chunk: Buffer) => stderr.add(chunk));
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
    await Promise.race([exited, aborted.promise]);
    if (!signal.aborted) await within(LINGER, closed);
    await group.end();
    signal.throwIfAborted();
    const [code, endedBy] = await exited;
    return { ...status(code, endedBy), stdout: stdout.kept(charset), stderr: stderr.kept(charset) };
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

/** Keeps the first bytes. */
class Head {
  #chunks: Buffer[] = [];
  #room: number;
  #dropped = 0;

  constructor(limit: number) {
    this.#room = limit;
  }

  add(chunk: Buffer): void {
    const part = chunk.subarray(0, this.#room);
    if (part.length > 0) this.#chunks.push(part);
    this.#room -= part.length;
    this.#dropped += chunk.length - part.length;
  }

  kept(charset?: string): Kept {
    const cut = this.#dropped > 0;
    return { ...decode(Buffer.concat(this.#chunks), { charset, cut }), dropped: this.#dropped };
  }
}

/** Keeps the last bytes. */
class Tail {
  #chunks: Buffer[] = [];
  #bytes = 0;
  #dropped = 0;

  constructor(private readonly limit: number) {}

  add(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    while (this.#bytes - this.#chunks[0].length >= this.limit) this.#drop(this.#chunks.shift()!.length);
  }

  kept(charset?: string): Kept {
    const bytes = Buffer.concat(this.#chunks);
    let start = Math.max(0, bytes.length - this.limit);
    // Bytes 10xxxxxx continue a character whose beginning was dropped.
    if (start > 0 || this.#dropped > 0) { while ((bytes[start] & 0xc0) === 0x80) start++; }
    return { ...decode(bytes.subarray(start), { charset }), dropped: this.#dropped + start };
  }

  #drop(bytes: number): void {
    this.#bytes -= bytes;
    this.#dropped += bytes;
  }
}

function decode(bytes: Uint8Array, options: DecodeOptions): Pick<Kept, "text" | "undecodable"> {
  try {
    return { text: decodeText(bytes, options) };
  } catch (error) {
    return { text: decodeReadable(bytes, options), undecodable: messageOf(error) };
  }
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

/** Resolves with the promise, or after this time. */
async function within(ms: number, promise: Promise<void>): Promise<void> {
  let timer;
  await Promise.race([promise, new Promise<void>((resolve) => timer = setTimeout(resolve, ms))]);
  clearTimeout(timer);
}
