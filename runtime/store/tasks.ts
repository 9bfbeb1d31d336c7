import * as foldHooks from "./history/fold_hooks.ts";
import { readPart } from "./history/part_reader.ts";
import { logTasks } from "./log/tasks.ts";

/** What the store does beside the main thread. */
export const storeTasks = { ...logTasks(foldHooks), readPart };
