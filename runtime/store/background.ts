import { Worker } from "node:worker_threads";
import { type Disk, realDisk } from "../host/disk.ts";
import type { Answer, Order, Task, Tasks } from "./background_thread.ts";

type Args<T extends Task> = Parameters<T>[2];
type Result<T extends Task> = Awaited<ReturnType<T>>["result"];

export interface BackgroundOptions<T extends Tasks> {
  disk: Disk;
  folder: string;
  /** Throws if the folder must not be changed any more. */
  assertHeld?: () => void;
  /** The table; loaded only if the tasks run in this thread. */
  tasks: () => Promise<T>;
  /** Makes the thread, whose file calls `serveTasks` with the same table. Written as `new Worker(new URL(…))` for the bundler. */
  startWorker: () => Worker;
}

/**
 * Runs tasks one after the other: in a worker thread if the disk is the machine's, else in this one, on the disk that is
 * given. The thread is started by the first task, and again after it has died.
 */
export class Background<T extends Tasks> {
  readonly #options: BackgroundOptions<T>;
  #thread: Thread | undefined;
  /** Ends with the last task that was asked for. */
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(options: BackgroundOptions<T>) {
    this.#options = options;
  }

  /**
   * Runs a task once those before it have ended.
   * @param transfer buffers in `args` that are handed over
   * @throws what the task throws, by name, message and code; Error if the thread dies or the background is closed
   */
  run<N extends keyof T & string>(name: N, args: Args<T[N]>, transfer: ArrayBuffer[] = []): Promise<Result<T[N]>> {
    const running = this.#last.then(() => this.#run(name, args, transfer));
    this.#last = running.catch(() => {});
    return running;
  }

  /**
   * Ends the thread, once the task that runs has ended; those behind it fail.
   * @param signal ends it at once: what it was doing is left as a kill would leave it
   */
  async close(signal?: AbortSignal): Promise<void> {
    this.#closed = true;
    const aborted = Promise.withResolvers<void>();
    const abort = () => aborted.resolve();
    signal?.addEventListener("abort", abort, { once: true });
    if (signal?.aborted) abort();
    await Promise.race([this.#last, aborted.promise]);
    signal?.removeEventListener("abort", abort);
    await this.#thread?.end();
    this.#thread = undefined;
  }

  async #run<N extends keyof T & string>(name: N, args: Args<T[N]>, transfer: ArrayBuffer[]): Promise<Result<T[N]>> {
    if (this.#closed) throw new Error(`Cannot run ${name}: the background is closed`);
    const { disk, folder, tasks, assertHeld } = this.#options;
    assertHeld?.();
    if (disk !== realDisk) return (await (await tasks())[name](disk, folder, args)).result;
    if (!this.#thread?.isAlive) this.#thread = new Thread(this.#options.startWorker());
    return await this.#thread.run({ name, folder, args }, transfer) as Result<T[N]>;
  }
}

/** A worker thread that does one task at a time. It does not keep the program alive, except while a task runs. */
class Thread {
  readonly #worker: Worker;
  #answer: ReturnType<typeof Promise.withResolvers<Answer>>;
  #ready: Promise<unknown> | undefined;
  isAlive = true;

  constructor(worker: Worker) {
    this.#worker = worker;
    this.#answer = this.#nextAnswer();
    worker.on("message", (answer: Answer) => this.#answer.resolve(answer));
    worker.once("error", (error) => this.#die(error as Error));
    worker.once("exit", (code) => this.#die(new Error(`the background thread ended with code ${code}`)));
    worker.unref();
  }

  async run(order: Order, transfer: ArrayBuffer[]): Promise<unknown> {
    this.#worker.ref();
    try {
      // An order that came before the thread listens would be lost.
      await (this.#ready ??= this.#take());
      this.#worker.postMessage(order, transfer);
      const answer = await this.#take();
      if ("error" in answer) throw toError(answer.error);
      return answer.result;
    } finally {
      this.#worker.unref();
    }
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  async #take(): Promise<Answer> {
    const answer = await this.#answer.promise;
    this.#answer = this.#nextAnswer();
    return answer;
  }

  #nextAnswer() {
    const answer = Promise.withResolvers<Answer>();
    // The thread may die while nobody waits for it.
    answer.promise.catch(() => {});
    return answer;
  }

  #die(error: Error): void {
    this.isAlive = false;
    this.#answer.reject(error);
  }
}

function toError({ name, message, stack, code }: Extract<Answer, { error: unknown }>["error"]): Error {
  return Object.assign(new Error(message), { name, stack }, code === undefined ? {} : { code });
}
