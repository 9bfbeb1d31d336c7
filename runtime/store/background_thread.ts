import { type Disk, realDisk } from "../host/disk.ts";
import { serveOrders, type TaskResult } from "../host/task_thread.ts";

/**
 * Work outside the main thread. Arguments and results are cloned, except for plain ArrayBuffers listed in `transfer`, which are
 * transferred.
 */
// deno-lint-ignore no-explicit-any
export type Task = (disk: Disk, folder: string, args: any) => Promise<TaskResult>;

/** Tasks by their names. */
export type Tasks = Record<string, Task>;

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
