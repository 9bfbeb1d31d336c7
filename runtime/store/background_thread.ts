import { type Disk, realDisk } from "../host/disk.ts";
import { serveOrders, type TaskResult } from "../host/task_thread.ts";

/**
 * A piece of work beside the main thread. Arguments and result are cloned or, if they are plain ArrayBuffers that are listed
 * in `transfer`, handed over.
 */
// deno-lint-ignore no-explicit-any
export type Task = (disk: Disk, folder: string, args: any) => Promise<TaskResult>;

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

/** Runs the tasks that the main thread sends, on the machine's disk. Called once, by the thread's own file. */
export function serveTasks(tasks: Tasks): void {
  serveOrders(({ name, folder, args }: Order) => tasks[name](realDisk, folder, args));
}
