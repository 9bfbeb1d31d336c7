import type { Disk } from "../../host/disk.ts";
import { collectGarbage } from "../../host/memory.ts";
import { type Merged, mergeFiles } from "./compact.ts";
import { type Folded, foldSegment } from "./fold.ts";
import type { Segment } from "./segment.ts";
import type { Expiry, FoldHooks } from "./sinks.ts";

/** Fold and merge as background tasks. */
export function logTasks(hooks: FoldHooks) {
  return {
    /** Makes part, ids file and delta of the oldest sealed segment. */
    async fold(disk: Disk, folder: string, segment: Segment): Promise<{ result: Folded }> {
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
  };
}
