import type { Disk } from "../host/disk.ts";
import { collectGarbage } from "../host/memory.ts";
import { mergeIds, openHistory, openIds, readCatalogue } from "./history/fold_hooks.ts";
import { readIds } from "./history/ids_file.ts";
import { readPart } from "./history/part_reader.ts";
import { thinPart } from "./history/thin_part.ts";
import { type Folded, foldSegment } from "./log/fold.ts";
import { type Merged, mergeFiles } from "./log/merge.ts";
import type { Segment } from "./log/segment_log.ts";
import type { Expiry, FoldHooks } from "./log/sinks.ts";

/** The background tasks of the store. */
export const storeTasks = { ...logTasks({ openHistory, openIds, readCatalogue, mergeIds }), readPart, thin: thinPart };

/** Fold and merge as background tasks. */
function logTasks(hooks: FoldHooks) {
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
