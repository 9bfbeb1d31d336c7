import { mergeIds, openHistory, openIds, readCatalogue } from "./history/fold_hooks.ts";
import { readPart } from "./history/part_reader.ts";
import { thinPart } from "./history/thin_part.ts";
import { logTasks } from "./log/tasks.ts";

/** The background tasks of the store. */
export const storeTasks = { ...logTasks({ openHistory, openIds, readCatalogue, mergeIds }), readPart, thin: thinPart };
