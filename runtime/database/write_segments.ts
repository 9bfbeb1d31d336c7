import { join } from "node:path";
import { realDisk } from "../host/disk.ts";
import { FORMAT_VERSION, segmentName, sortFiles } from "../store/log/files.ts";
import { encodeHead } from "../store/log/log_frame.ts";
import type { DatabaseLog } from "./database_log.ts";

/** A new segment is begun above this size, because a fold has a whole one in memory. */
const SEGMENT_BYTES = 6 * 1024 * 1024;

/**
 * Replaces the segments in a folder of this machine by the frames of the log in the database.
 * @param seq the last frame that is folded: the first segment begins with the next one
 */
export async function writeSegments(folder: string, log: DatabaseLog, seq: number): Promise<void> {
  for (const { name } of sortFiles(await realDisk.list(folder)).segments) await realDisk.remove(join(folder, name));
  let pieces: Uint8Array[] = [];
  let bytes = 0;
  let first = seq + 1;
  const write = async () => {
    const file = await realDisk.create(join(folder, segmentName(first)));
    for (const piece of [encodeHead(first, FORMAT_VERSION), ...pieces]) await file.write(piece);
    await file.close();
  };
  for await (const { seq: next, frame } of log.read(seq)) {
    if (bytes > SEGMENT_BYTES) {
      await write();
      [pieces, bytes, first] = [[], 0, next];
    }
    pieces.push(frame);
    bytes += frame.length;
  }
  if (pieces.length > 0) await write();
}
