import { Buffer } from "node:buffer";
import { UsageError } from "../model/errors.ts";
import type { Sql } from "./connection.ts";
import type { Lease } from "./lease.ts";

/** Where a frame has its checksum, see `log_frame.ts`. */
const CHECKSUM_AT = 16;

/** Rows that are read at once. */
const PAGE = 200;

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

/** The frames of the log as rows of a table. One statement makes a frame durable, if this program still holds the lease. */
export class DatabaseLog {
  /** The checksum of the newest frame: the next one must follow it. */
  #last = 0;

  constructor(private readonly sql: Sql, private readonly lease: Lease) {}

  /**
   * The frames after `seq`, in order, as they were appended.
   * @throws UsageError if one is missing
   */
  async *read(seq: number): AsyncGenerator<{ seq: number; frame: Uint8Array }> {
    let expected = seq + 1;
    for (let after = -1;;) {
      const rows = await this.sql.unsafe(
        `select seq::text as number, frame from whenthen.log where seq > $1::bigint order by seq limit ${PAGE}`,
        [String(after)],
      );
      for (const row of rows) {
        after = Number(row.number);
        this.#last = checksumOf(row.frame);
        // The newest frame stays in the table after it is folded.
        if (after <= seq) continue;
        if (after !== expected) {
          throw new UsageError(`Frame ${expected} of the log is missing in the database: restore a backup`);
        }
        yield { seq: after, frame: row.frame };
        expected++;
      }
      if (rows.length < PAGE) return;
    }
  }

  /**
   * Makes a frame durable. An append whose answer was lost may be repeated.
   * @throws FolderLostError if another program has taken over, or the database does not end with the frame before; the
   * database's error if it cannot be reached
   */
  async append(seq: number, frame: Uint8Array): Promise<void> {
    this.lease.assertHeld();
    const checksum = checksumOf(frame);
    const numbers = [this.lease.epoch, String(seq), String(checksum)];
    const [{ held, added }] = await this.sql.unsafe(APPEND, [...numbers, Buffer.from(frame), String(this.#last)]);
    if (held !== 1) this.lease.lose();
    if (added !== 1 && !await this.#has(numbers)) this.lease.lose();
    this.#last = checksum;
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

function checksumOf(frame: Uint8Array): number {
  return new DataView(frame.buffer, frame.byteOffset).getUint32(CHECKSUM_AT, true);
}
