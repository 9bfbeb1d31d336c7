import type { Worker } from "node:worker_threads";
import { type Disk, realDisk } from "../host/disk.ts";
import { serveOrders, type TaskResult, TaskThread } from "../host/task_thread.ts";

type Args<T extends Task> = Parameters<T>[2];
type Result<T extends Task> = Awaited<ReturnType<T>>["result"];

export interface BackgroundOptions<T extends Tasks> {
  disk: Disk;
  folder: string;
  /** Throws if the folder must no longer be changed. */
  assertHeld?: () => void;
  /** Loads the table, only if the tasks run in this thread. */
  tasks: () => Promise<T>;
  /** Makes the thread, whose file calls `serveTasks` with the same table. Written as `new Worker(new URL(…))` for the bundler. */
  startWorker: () => Worker;
}

/**
 * Runs tasks one after the other: in a worker thread if the disk is the machine's, else in this thread, on the given disk. The
 * first task starts the thread, and so does the next task after the thread has died.
 */
export class Background<T extends Tasks> {
  readonly #options: BackgroundOptions<T>;
  #thread: TaskThread | undefined;
  /** Settles with the last task that was added. */
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(options: BackgroundOptions<T>) {
    this.#options = options;
  }

  /**
   * Runs a task after those before it have ended.
   * @param transfer buffers in `args` that are transferred
   * @throws what the task throws, by name, message and code; Error if the thread dies or the background is closed
   */
  run<N extends keyof T & string>(name: N, args: Args<T[N]>, transfer: ArrayBuffer[] = []): Promise<Result<T[N]>> {
    const running = this.#last.then(() => this.#run(name, args, transfer));
    this.#last = running.catch(() => {});
    return running;
  }

  /**
   * Ends the thread after the running task has ended. Tasks after it fail.
   * @param signal ends the thread at once and leaves its work as a kill would
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

  /** Ends the thread, and frees its memory, after the tasks so far; the next task starts another one. */
  async rest(): Promise<void> {
    await this.#last;
    const thread = this.#thread;
    this.#thread = undefined;
    await thread?.end();
  }

  async #run<N extends keyof T & string>(name: N, args: Args<T[N]>, transfer: ArrayBuffer[]): Promise<Result<T[N]>> {
    if (this.#closed) throw new Error(`Cannot run ${name}: the background is closed`);
    const { disk, folder, tasks, assertHeld } = this.#options;
    assertHeld?.();
    if (disk !== realDisk) return (await (await tasks())[name](disk, folder, args)).result;
    if (!this.#thread?.isAlive) this.#thread = new TaskThread(this.#options.startWorker());
    return await this.#thread.run({ name, folder, args }, transfer) as Result<T[N]>;
  }
}

/**
 * Work outside the main thread. Arguments and results are cloned, except for plain ArrayBuffers listed in `transfer`, which are
 * transferred.
 */
// deno-lint-ignore no-explicit-any
type Task = (disk: Disk, folder: string, args: any) => Promise<TaskResult>;

/** Tasks by their names. */
type Tasks = Record<string, Task>;

/**
 * A message to the thread. Large data are plain ArrayBuffers: Deno visits each element of a typed array that a thread receives
 * (10 s for 33 MB; a buffer takes 2 ms).
 */
export interface Order {
  name: string;
  folder: string;
  args: unknown;
}

/** Runs the tasks that the main thread sends, on the machine's disk. Called once, by the thread's own file. */
export function serveTasks(tasks: Tasks): void {
  serveOrders(({ name, folder, args }: Order) => tasks[name](realDisk, folder, args));
}
