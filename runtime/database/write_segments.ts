import { rm } from "node:fs/promises";
import { join } from "node:path";
import { realDisk } from "../host/disk.ts";
import { MissingFramesError } from "../store/elsewhere.ts";
import { FORMAT_VERSION, segmentName, sortFiles } from "../store/log/files.ts";
import { encodeHead } from "../store/log/log_frame.ts";
import type { Segment } from "../store/log/segment_log.ts";
import type { DatabaseLog, LogCursor } from "./database_log.ts";

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
  const write = () => writeSegmentFile(folder, first, pieces);
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

/**
 * Writes one segment, with the frames from the database.
 * @throws MissingFramesError if one is gone
 */
export async function writeSegment(
  folder: string,
  log: DatabaseLog,
  { firstSeq, lastSeq }: Segment,
  signal: AbortSignal,
): Promise<void> {
  const pieces: Uint8Array[] = [];
  const cursor: LogCursor = { seq: firstSeq - 1 };
  while (cursor.seq < lastSeq) {
    signal.throwIfAborted();
    const frames = await log.next(cursor);
    if (frames.length === 0) throw new MissingFramesError(`Frame ${cursor.seq + 1} of the log is not in the database`);
    for (const logged of frames) if (logged.seq <= lastSeq) pieces.push(logged.frame);
  }
  await writeSegmentFile(folder, firstSeq, pieces);
}

/** Replaces the file of a segment. */
async function writeSegmentFile(folder: string, first: number, frames: Uint8Array[]): Promise<void> {
  const path = join(folder, segmentName(first));
  await rm(path, { force: true });
  const file = await realDisk.create(path);
  try {
    for (const piece of [encodeHead(first, FORMAT_VERSION), ...frames]) await file.write(piece);
  } finally {
    await file.close();
  }
}
