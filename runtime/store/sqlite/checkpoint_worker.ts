import { parentPort } from "node:worker_threads";
import { crc32 } from "node:zlib";
import { type CheckpointFile, openCheckpoint } from "./checkpoint_file.ts";
import { Database } from "./database.ts";
import { replay, type SegmentBytes } from "./replay.ts";
import { SCHEMA_VERSION } from "./schema.ts";

/**
 * What a new checkpoint is made of: the one before, where there is one, and the segments behind it. Plain buffers, as
 * Deno looks at each element of a typed array that comes to a worker (10 s for 33 MB; a buffer takes 2 ms).
 */
export interface CheckpointJob {
  base?: { file: CheckpointFile; bytes: ArrayBuffer };
  segments: (Omit<SegmentBytes, "bytes"> & { bytes: ArrayBuffer })[];
  /** The last frame to be in it. */
  seq: number;
}

/** The file's bytes, or why it cannot be made. */
export type CheckpointAnswer = { bytes: Uint8Array<ArrayBuffer>; crc: number } | { failure: string };

parentPort!.once("message", async (job: CheckpointJob) => {
  const answer = await attempt(job);
  parentPort!.postMessage(answer, "bytes" in answer ? [answer.bytes.buffer] : []);
});
// A message that had come before this listener would be lost.
parentPort!.postMessage("ready");

async function attempt(job: CheckpointJob): Promise<CheckpointAnswer> {
  try {
    return await make(job);
  } catch (error) {
    return { failure: String(error) };
  }
}

async function make({ base, segments, seq }: CheckpointJob): Promise<CheckpointAnswer> {
  const { database, schema } = base
    ? await openCheckpoint(base.file, new Uint8Array(base.bytes))
    : { database: await Database.exportable(), schema: 0 };
  const files = segments.map((segment) => ({ ...segment, bytes: new Uint8Array(segment.bytes) }));
  const reached = replay(database, { seq: base?.file.seq ?? 0, schema }, files, seq);
  database.migrate(reached.schema, SCHEMA_VERSION);
  database.setMeta(seq, SCHEMA_VERSION);
  const bytes = database.export();
  return { bytes, crc: crc32(bytes) };
}
