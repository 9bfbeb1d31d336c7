import { clearTimeout, setTimeout } from "node:timers";
import { Worker } from "node:worker_threads";
import { TaskThread } from "../../host/task_thread.ts";
import { messageOf } from "../../model/errors.ts";
import type { Json } from "../../model/json.ts";
import { type Format, FormatError, nameOfFormat, parse } from "../../formats/format.ts";
import { type Apart, putTogether } from "./pieces.ts";

/** Characters up to which a text is parsed here: it takes under 30 ms, and to start a thread takes as long. */
const SMALL = 256_000;
/** Milliseconds after which a thread that has nothing to do ends: it holds the memory that the last text took. */
const IDLE = 30_000;

/**
 * Parses texts in a thread, one after the other. The thread is started by the first text, ends when it has had nothing to do for
 * a while, and is started again by the next.
 */
export class ParseThread {
  #thread: TaskThread | undefined;
  #idle: ReturnType<typeof setTimeout> | undefined;
  /** Ends with the last text that is to be parsed. */
  #last: Promise<unknown> = Promise.resolve();

  /**
   * @param startWorker makes the thread. Written as `new Worker(new URL(…))` for the bundler
   * @param idle milliseconds after which the thread ends
   */
  constructor(private readonly startWorker: () => Worker, private readonly idle = IDLE) {}

  get isStarted(): boolean {
    return this.#thread !== undefined;
  }

  /** @throws FormatError; Error if the thread dies */
  async parse(text: string, format: Format): Promise<Json> {
    const parsing = this.#last.then(() => this.#parse(text, format));
    this.#last = parsing.catch(() => {});
    return await putTogether(await parsing);
  }

  async #parse(text: string, format: Format): Promise<Apart> {
    clearTimeout(this.#idle);
    if (!this.#thread?.isAlive) this.#thread = new TaskThread(this.startWorker());
    try {
      return await this.#thread.run({ text, format }) as Apart;
    } catch (error) {
      if ((error as Error).name === "FormatError") throw new FormatError((error as Error).message);
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
 * Reads text as data, see `parse`; a large one in a thread, so that everybody else goes on meanwhile. `text` and `lines` take no
 * time worth that.
 * @returns a promise only for what is parsed in the thread: parallel steps are recorded in the same order whatever they read
 * @throws FormatError; Error if the thread dies
 */
export function parseBeside(text: string, format: Format): Json | Promise<Json> {
  const isQuick = text.length <= SMALL || format === "text" || format === "lines";
  return isQuick ? parse(text, format) : parseThread.parse(text, format);
}
