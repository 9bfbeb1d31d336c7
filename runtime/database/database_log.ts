import { Buffer } from "node:buffer";
import { FolderLostError } from "../host/lock.ts";
import { UsageError } from "../model/errors.ts";
import { type LoggedFrame, MissingFramesError } from "../store/elsewhere.ts";
import type { Sql } from "./pool.ts";
import type { Lease } from "./lease.ts";
import { pack, unpack } from "./packing.ts";
import { announcement } from "./wakes.ts";

/** Where a frame has its checksum, see `log_frame.ts`. */
const CHECKSUM_AT = 16;

/** The most frames, and bytes of packed frames, in one query; a larger frame is read alone. */
const PAGE = 200;
const PAGE_BYTES = 4 * 1024 * 1024;

const APPEND = `
  with held as (
    update whenthen.lease set beat = beat + 1 where epoch = $1::bigint returning 1
  ), added as (
    insert into whenthen.log (seq, epoch, checksum, frame)
    select $2::bigint, $1::bigint, $3::bigint, $4::bytea from held
    where coalesce((select seq from whenthen.log order by seq desc limit 1), $2::bigint - 1) = $2::bigint - 1
      and coalesce((select checksum from whenthen.log order by seq desc limit 1), $5::bigint) = $5::bigint
    on conflict (seq) do nothing returning 1
  )
  select (select count(*) from held)::int as held, (select count(*) from added)::int as added`;

/** The notification of a frame. It has the checksum of the frame before it: a follower that has another one queries the table instead. */
const ANNOUNCEMENT = announcement("frames", {
  from: "whenthen.log where seq = $2::bigint and epoch = $1::bigint and checksum = $3::bigint",
  words: ["seq", "checksum", "$5"],
  bytes: "frame",
});

/** How far somebody has read the log: up to this frame. Without its checksum if it was not in the table. */
export interface LogCursor {
  seq: number;
  checksum?: number;
}

/** The frames of the log as rows of a table. One statement makes a frame durable, if this program still holds the lease. */
export class DatabaseLog {
  /** The newest frame that was loaded or appended: the next one must follow it. */
  #newest: LogCursor = { seq: 0 };

  /** @param lease of the program that decides; others only read */
  constructor(private readonly sql: Sql, private readonly lease: () => Lease | undefined) {}

  /**
   * The frames after `seq`, in order, as they were appended. The next frame to append follows the last one of them.
   * @throws UsageError if one is missing
   */
  async *read(seq: number): AsyncGenerator<LoggedFrame> {
    const cursor: LogCursor = { seq };
    try {
      for (let page = await this.next(cursor); page.length > 0; page = await this.next(cursor)) yield* page;
    } catch (error) {
      if (error instanceof MissingFramesError) throw new UsageError(`${error.message}: restore a backup`);
      throw error;
    }
    this.#newest = cursor;
  }

  /** For {@link next}: after a frame that was loaded or applied. */
  cursorAt(seq: number): LogCursor {
    return seq === this.#newest.seq ? { ...this.#newest } : { seq };
  }

  /**
   * The frames after a cursor, as many as are read at once; none if there is none yet. Moves the cursor.
   * @throws MissingFramesError if the next one is gone, or it does not follow the last one that was read
   */
  async next(cursor: LogCursor): Promise<LoggedFrame[]> {
    const { seq, checksum } = cursor;
    // The newest frame stays in the table after it is folded, so the last one that was read is there, unless the state was moved here.
    const rows = await this.sql.unsafe(
      `select seq::text as number, checksum::text, case when seq > ${seq} then frame end as frame from (
        select seq, checksum, frame, sum(octet_length(frame)) over (order by seq) - octet_length(frame) as before
        from (select * from whenthen.log where seq >= ${seq} order by seq limit ${PAGE}) page
      ) sized where seq <= ${seq + 1} or before < ${PAGE_BYTES} order by seq`,
    );
    const last = rows[0]?.frame === null ? rows.shift() : undefined;
    if (checksum !== undefined && Number(last?.checksum) !== checksum) {
      throw new MissingFramesError(`Frame ${seq} of the log is not in the database any more`);
    }
    if (last) cursor.checksum = Number(last.checksum);
    const frames: LoggedFrame[] = [];
    for (const { number, frame, checksum } of rows) {
      const expected = cursor.seq + 1;
      if (Number(number) !== expected) {
        throw new MissingFramesError(`Frame ${expected} of the log is missing in the database`);
      }
      [cursor.seq, cursor.checksum] = [expected, Number(checksum)];
      frames.push(loggedFrame(expected, frame));
    }
    return frames;
  }

  /**
   * The frames that follow a cursor, from notifications. Moves the cursor.
   * @param contents of the notifications, see {@link ANNOUNCEMENT}
   * @returns the frames up to the first gap; `isAll` is false if there is one, and a query must find the rest
   */
  nextIn(contents: string[][], cursor: LogCursor): { found: LoggedFrame[]; isAll: boolean } {
    const found: LoggedFrame[] = [];
    for (const [seq, checksum, before, bytes] of contents) {
      if (Number(seq) <= cursor.seq) continue;
      const isNext = Number(seq) === cursor.seq + 1 && Number(before) === cursor.checksum;
      if (!isNext || bytes === undefined) return { found, isAll: false };
      [cursor.seq, cursor.checksum] = [Number(seq), Number(checksum)];
      found.push(loggedFrame(cursor.seq, Buffer.from(bytes, "base64")));
    }
    return { found, isAll: true };
  }

  /**
   * Makes a frame durable, and announces it to those who follow. An append whose answer was lost may be repeated.
   * @throws FolderLostError if another program has taken over, or the database does not end with the frame before; the
   * database's error if it cannot be reached
   */
  async append(seq: number, frame: Uint8Array): Promise<void> {
    const lease = this.lease();
    if (lease === undefined) throw new Error(`Cannot append frame ${seq}: another program decides`);
    lease.assertHeld();
    const checksum = checksumOf(frame);
    const numbers = [lease.epoch, String(seq), String(checksum)];
    const values = [...numbers, pack(frame), String(this.#newest.checksum ?? 0)];
    try {
      const [{ held, added }] = await this.sql.askBoth(APPEND, values, ANNOUNCEMENT);
      if (held !== 1) lease.lose();
      if (added !== 1 && !await this.#has(numbers)) lease.lose();
    } catch (error) {
      // The frame may be committed, and only the announcement after it failed.
      if (error instanceof FolderLostError || !await this.#has(numbers).catch(() => false)) throw error;
    }
    this.#newest = { seq, checksum };
  }

  /** Whether an earlier attempt has appended it. */
  async #has(numbers: string[]): Promise<boolean> {
    const found = await this.sql.unsafe(
      "select 1 from whenthen.log where epoch = $1::bigint and seq = $2::bigint and checksum = $3::bigint",
      numbers,
    );
    return found.length === 1;
  }
}

/** A frame that is unpacked only when it is used: all frames of a query together may be large. */
function loggedFrame(seq: number, packed: Buffer): LoggedFrame {
  return {
    seq,
    get frame() {
      return unpack(packed);
    },
  };
}

function checksumOf(frame: Uint8Array): number {
  return new DataView(frame.buffer, frame.byteOffset).getUint32(CHECKSUM_AT, true);
}
