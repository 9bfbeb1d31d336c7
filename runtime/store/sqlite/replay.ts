import { DamagedError, NewerSchemaError } from "./damage.ts";
import type { Database } from "./database.ts";
import { decodeFrame, decodeHead, type Frame, newerFrameBehind, readFrame } from "./frame.ts";
import { SCHEMA_VERSION } from "./schema.ts";

/** A segment's bytes. */
export interface SegmentBytes {
  name: string;
  firstSeq: number;
  bytes: Uint8Array;
}

/** How far a database has come. */
export interface Reached {
  seq: number;
  schema: number;
}

/**
 * Replays segments, in order and without a gap, onto a database that stands at `from`.
 * @param until the last frame to replay, where the end is known; else the last segment may end in a torn frame
 * @returns how far it came, and up to which byte the last segment checks
 * @throws DamagedError, NewerSchemaError
 */
export function replay(
  database: Database,
  from: Reached,
  segments: SegmentBytes[],
  until?: number,
): Reached & { end: number } {
  let { seq, schema } = from;
  let end = 0;
  if (segments.length > 0 && segments[0].firstSeq > seq + 1) {
    throw new DamagedError(`the journal begins at frame ${segments[0].firstSeq}, frame ${seq + 1} is missing`);
  }
  for (const [at, segment] of segments.entries()) {
    // What stands behind the first frame of the next segment is what a failed write left there.
    const last = at + 1 < segments.length ? segments[at + 1].firstSeq - 1 : until;
    const read = readSegment(segment, last, seq);
    end = read.end;
    if (read.schema === undefined) continue;
    if (read.schema > SCHEMA_VERSION) throw new NewerSchemaError(read.schema);
    if (read.schema > schema) {
      database.migrate(schema, read.schema);
      schema = read.schema;
    }
    apply(database, segment.name, read.frames, seq);
    seq = Math.max(seq, read.frames.at(-1)?.seq ?? 0);
  }
  return { seq, schema, end };
}

/**
 * The frames of a segment up to `last`, or up to a torn one at its end where no `last` is given. Damage among frames
 * that the database has already (up to `seq`) does no harm, as long as no newer frame stands behind it.
 */
function readSegment({ name, firstSeq, bytes }: SegmentBytes, last: number | undefined, seq: number) {
  const frames: Frame[] = [];
  const head = readFrame(bytes, 0);
  let at = head?.end ?? 0;
  let expected = firstSeq;
  while (head?.seq === firstSeq - 1 && (last === undefined || expected <= last)) {
    const frame = readFrame(bytes, at);
    if (frame?.seq !== expected) break;
    frames.push(frame);
    at = frame.end;
    expected++;
  }
  const known = Math.max(expected - 1, seq);
  const complete = last === undefined ? !newerFrameBehind(bytes, at - 1, known) : known >= last;
  if (!complete) throw new DamagedError(`${name} is damaged at byte ${at}, where frame ${expected} should begin`);
  const covered = expected <= seq;
  return { frames, schema: head && decodeHead(head.payload).schema, end: covered ? bytes.length : at };
}

/** Executes the frames behind `seq`; all of them are read, as later ones use the texts of earlier ones. */
function apply(database: Database, name: string, frames: Frame[], seq: number): void {
  const texts: string[] = [];
  database.begin();
  try {
    for (const frame of frames) {
      const writes = decodeFrame(frame.payload, texts);
      if (frame.seq > seq) { for (const write of writes) database.replay(write); }
    }
  } catch (error) {
    database.rollback();
    throw new DamagedError(`${name} cannot be replayed: ${String(error)}`, { cause: error });
  }
  database.commit(1);
}
