import { parentPort } from "node:worker_threads";
import { crc32 } from "node:zlib";
import { type CheckpointFile, openCheckpoint } from "./checkpoint_file.ts";
import { Database } from "./database.ts";
import { letGo } from "./let_go.ts";
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
  const { database, schema } = base ? await open(base) : { database: await Database.exportable(), schema: 0 };
  const files = segments.map((segment) => ({ ...segment, bytes: new Uint8Array(segment.bytes) }));
  const reached = replay(database, { seq: base?.file.seq ?? 0, schema }, files, seq);
  for (const { bytes } of files) letGo(bytes);
  database.migrate(reached.schema, SCHEMA_VERSION);
  database.setMeta(seq, SCHEMA_VERSION);
  const bytes = database.export();
  return { bytes, crc: crc32(bytes) };
}

/** The database has a copy of the bytes. */
async function open({ file, bytes }: NonNullable<CheckpointJob["base"]>) {
  const view = new Uint8Array(bytes);
  const opened = await openCheckpoint(file, view);
  letGo(view);
  return opened;
}
