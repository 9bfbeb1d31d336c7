import type { Disk } from "../../host/disk.ts";
import { collectGarbage } from "../../host/memory.ts";
import { type Merged, mergeFiles } from "./compact.ts";
import { type Folded, foldSegment } from "./fold.ts";
import type { Segment } from "./segment.ts";
import type { FoldHooks } from "./sinks.ts";

/** Fold and merge as tasks for the background. */
export function logTasks(hooks: FoldHooks) {
  return {
    /** Makes part, ids file and delta of the oldest sealed segment. */
    async fold(disk: Disk, folder: string, segment: Segment): Promise<{ result: Folded }> {
      const result = await foldSegment(disk, folder, segment, hooks);
      collectGarbage();
      return { result };
    },
    /** Makes a new base. @param now in ms */
    async merge(disk: Disk, folder: string, now: number): Promise<{ result: Merged | undefined }> {
      const result = await mergeFiles(disk, folder, now, hooks);
      collectGarbage();
      return { result };
    },
  };
}
