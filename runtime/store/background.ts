import type { Worker } from "node:worker_threads";
import { type Disk, realDisk } from "../host/disk.ts";
import { collectGarbage, giveWay } from "../host/large_work.ts";
import { serveOrders, type TaskResult, TaskThread } from "../host/task_thread.ts";
import type { Elsewhere } from "./elsewhere.ts";
import { isFoldTask } from "./fold_order.ts";
import type { Catalogue } from "./ledger/tables.ts";
import { IdentityPacker, mergeIds, readIds, writeIds } from "./history/ids_file.ts";
import { PartWriter } from "./history/part_file.ts";
import { type PartAnswer, type PartQuestion, type PartRead, type ReadPart, readPart } from "./history/part_reader.ts";
import { thinPart } from "./history/trim.ts";
import type { SeqRange } from "./log/files.ts";
import { type Expiry, type Folded, type FoldHooks, foldSegment, type HistorySink, type IdsSink } from "./log/fold.ts";
import { type Merged, mergeFiles } from "./log/merge.ts";
import type { Segment } from "./log/segment_log.ts";

type Args<T extends Task> = Parameters<T>[2];
type Result<T extends Task> = Awaited<ReturnType<T>>["result"];

export interface BackgroundOptions<T extends Tasks> {
  disk: Disk;
  folder: string;
  /** Throws if the folder must no longer be changed. */
  assertHeld?: () => void;
  /** Used in this thread only if the disk is not the machine's. */
  tasks: T;
  /** Where the files are durable, if that is not the disk. */
  elsewhere?: Elsewhere;
  /** Starts the thread, whose file calls `serveTasks` with the same table. `new Worker(new URL(…))`, for the bundler. */
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
    const { assertHeld, elsewhere } = this.#options;
    assertHeld?.();
    if (typeof args?.file === "string") await elsewhere?.fetch(args.file);
    const task: { name: string; args: unknown } = { name, args };
    if (isFoldTask(task)) await elsewhere?.fetchStore(task.name);
    const result = await this.#execute(name, args, transfer);
    if (CHANGING.has(name)) await elsewhere?.publish();
    return result;
  }

  async #execute<N extends keyof T & string>(
    name: N,
    args: Args<T[N]>,
    transfer: ArrayBuffer[],
  ): Promise<Result<T[N]>> {
    const { disk, folder, tasks } = this.#options;
    if (disk !== realDisk) return (await tasks[name](disk, folder, args)).result;
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

/** Queries parts of history in a thread. The answer has the type of its question. */
export function partReader(reads: Background<typeof storeTasks>): ReadPart {
  return async <K extends PartRead>(question: PartQuestion<K>) =>
    await reads.run("readPart", question) as PartAnswer<K>;
}

/** Runs the tasks that the main thread sends, on the machine's disk. Called once, by the thread's own file. */
export function serveTasks(tasks: Tasks): void {
  serveOrders(({ name, folder, args }: Order) => {
    // Reads have a thread of their own, as somebody waits for their answer; nobody waits for a fold.
    if (CHANGING.has(name)) giveWay();
    return tasks[name](realDisk, folder, args);
  });
}

/** The tasks that change files. */
const CHANGING: ReadonlySet<string> = new Set(["fold", "merge", "thin"]);

/** Runs the background tasks of the store. */
export type StoreTasks = Pick<Background<typeof storeTasks>, "run" | "close">;

/** The background tasks of the store. */
export const storeTasks = { ...logTasks({ openHistory, openIds, readCatalogue, mergeIds }), readPart, thin: thinPart };

/** Fold and merge as background tasks. */
function logTasks(hooks: FoldHooks<Catalogue>) {
  return {
    /** Makes part, ids file and delta of the oldest sealed segment. */
    async fold(disk: Disk, folder: string, segment: Segment): Promise<{ result: Folded<Catalogue> }> {
      const result = await foldSegment(disk, folder, segment, hooks);
      collectGarbage();
      return { result };
    },
    /** Makes a new base. */
    async merge(disk: Disk, folder: string, expiry: Expiry): Promise<{ result: Merged | undefined }> {
      const result = await mergeFiles(disk, folder, expiry, hooks);
      collectGarbage();
      return { result };
    },
    /** The packed identities of an ids file. */
    async ids(
      _disk: Disk,
      _folder: string,
      file: ArrayBuffer,
    ): Promise<{ result: ArrayBuffer; transfer: ArrayBuffer[] }> {
      const { buffer } = await readIds(new Uint8Array(file));
      return { result: buffer, transfer: [buffer] };
    },
  };
}

/**
 * Creates the part of a segment.
 * @param range its frames
 * @param bytes of the segment
 */
export async function openHistory(range: SeqRange, bytes: number): Promise<HistorySink<Catalogue>> {
  const writer = await PartWriter.create(range.first, bytes);
  return {
    event: (header, text) => writer.event(JSON.parse(header), text),
    run: (header, text) => writer.run(JSON.parse(header), text),
    more: (header, text) => writer.more(JSON.parse(header), text),
    finish: () => writer.finish(range.last),
    discard: () => writer.discard(),
  };
}

/** Reads the catalogue from a part; undefined if that cannot be read. */
async function readCatalogue(disk: Disk, folder: string, file: string): Promise<Catalogue | undefined> {
  const { result } = await readPart(disk, folder, { file, read: "catalogue", args: {} });
  return result.kind === "read" ? result.result : undefined;
}

/** Creates the ids file of a segment. */
export function openIds(): Promise<IdsSink> {
  const packer = new IdentityPacker();
  return Promise.resolve({
    id(hash, text) {
      const [event, at, within, runs, flags] = JSON.parse(text);
      packer.add(hash, { event, at, within, runs, flags });
    },
    finish: () => writeIds(packer.finish()),
  });
}
