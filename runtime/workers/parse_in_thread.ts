import { clearTimeout, setTimeout } from "node:timers";
import { Worker } from "node:worker_threads";
import type { ParseOptions } from "../formats/feed.ts";
import { type Format, FormatError, nameOfFormat, parse } from "../formats/format.ts";
import { TaskThread } from "../host/task_thread.ts";
import { messageOf } from "../model/errors.ts";
import type { Json } from "../model/json.ts";
import { type Apart, putTogether } from "./parse_pieces.ts";

/** Texts up to this many characters are parsed here: it takes under 30 ms, and starting a thread takes as long. */
const SMALL = 256_000;
/** Milliseconds after which an idle thread ends: it holds the memory that the last text took. */
const IDLE = 30_000;

/**
 * Parses texts in a thread, one after another. The first text starts the thread; it ends when it has been idle for a while,
 * and the next text starts it again.
 */
export class ParseThread {
  #thread: TaskThread | undefined;
  #idle: ReturnType<typeof setTimeout> | undefined;
  /** Settles when the last text in the queue is parsed. */
  #last: Promise<unknown> = Promise.resolve();

  /**
   * @param startWorker creates the thread. Callers write it as `new Worker(new URL(…))` for the bundler
   * @param idle milliseconds after which the thread ends
   */
  constructor(private readonly startWorker: () => Worker, private readonly idle = IDLE) {}

  get isStarted(): boolean {
    return this.#thread !== undefined;
  }

  /** @throws FormatError; Error if the thread dies */
  async parse(text: string, format: Format, { base, warn }: ParseOptions = {}): Promise<Json> {
    const parsing = this.#last.then(() => this.#parse(text, format, base));
    this.#last = parsing.catch(() => {});
    const { warnings, ...apart } = await parsing;
    for (const warning of warnings) warn?.(warning);
    return await putTogether(apart);
  }

  async #parse(text: string, format: Format, base: string | undefined): Promise<Apart & { warnings: string[] }> {
    clearTimeout(this.#idle);
    if (!this.#thread?.isAlive) this.#thread = new TaskThread(this.startWorker());
    try {
      return await this.#thread.run({ text, format, base }) as Apart & { warnings: string[] };
    } catch (error) {
      if (error instanceof Error && error.name === "FormatError") throw new FormatError(error.message);
      throw new Error(`the thread that reads it as ${nameOfFormat(format)} failed: ${messageOf(error)}`, {
        cause: error,
      });
    } finally {
      this.#idle = setTimeout(() => void this.end(), this.idle);
      this.#idle.unref();
    }
  }

  /** Ends the thread; the next text gets another one. */
  async end(): Promise<void> {
    clearTimeout(this.#idle);
    const thread = this.#thread;
    this.#thread = undefined;
    await thread?.end();
  }
}

const parseThread = new ParseThread(() => new Worker(new URL("./parse_worker.ts", import.meta.url)));

/**
 * Reads text as data, see `parse`; a large one in a thread, so that the main thread stays responsive. `text` and `lines`
 * are too fast to be worth that.
 * @returns a promise only if the thread or a library that is loaded on demand parses it: this way parallel steps are
 * recorded in the same order, however large their texts are
 * @throws FormatError; Error if the thread dies
 */
export function parseBeside(text: string, format: Format, options: ParseOptions = {}): Json | Promise<Json> {
  const isQuick = text.length <= SMALL || format === "text" || format === "lines";
  return isQuick ? parse(text, format, options) : parseThread.parse(text, format, options);
}
