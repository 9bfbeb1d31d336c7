import { parentPort } from "node:worker_threads";
import { type Disk, realDisk } from "../host/disk.ts";

/**
 * A piece of work beside the main thread. Arguments and result are cloned or, if they are plain ArrayBuffers that are listed
 * in `transfer`, handed over.
 */
// deno-lint-ignore no-explicit-any
export type Task = (disk: Disk, folder: string, args: any) => Promise<{ result: unknown; transfer?: ArrayBuffer[] }>;

/** Tasks by their names. */
export type Tasks = Record<string, Task>;

/**
 * What the thread is told to do. Large bytes are plain ArrayBuffers: Deno looks at each element of a typed array that comes to
 * a thread (10 s for 33 MB; a buffer takes 2 ms).
 */
export interface Order {
  name: string;
  folder: string;
  args: unknown;
}

/** What the thread answers. An error keeps what a structured clone would lose. */
export type Answer = { result: unknown } | { error: { name: string; message: string; stack?: string; code?: unknown } };

/** Runs the tasks that the main thread sends, on the machine's disk. Called once, by the thread's own file. */
export function serveTasks(tasks: Tasks): void {
  parentPort!.on("message", async ({ name, folder, args }: Order) => {
    try {
      const { result, transfer } = await tasks[name](realDisk, folder, args);
      answer({ result }, transfer);
    } catch (error) {
      const { name, message, stack, code } = error as Error & { code?: unknown };
      answer({ error: { name, message, stack, code } });
    }
  });
  answer({ result: "ready" });
}

function answer(message: Answer, transfer: ArrayBuffer[] = []): void {
  parentPort!.postMessage(message, transfer);
}
