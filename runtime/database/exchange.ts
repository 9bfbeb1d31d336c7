import { Buffer } from "node:buffer";
import type { FolderLostError } from "../host/lock.ts";
import { codeOf } from "../model/errors.ts";
import { type Batch, type Exchange, type LoggedFrame, MissingFramesError } from "../store/elsewhere.ts";
import type { Sql } from "./pool.ts";
import type { DatabaseLog } from "./database_log.ts";
import type { Registration } from "./members.ts";
import { pack, unpack } from "./packing.ts";
import { announcement, pause, type Wakes } from "./wakes.ts";

/** Milliseconds between two looks for news that nobody has told, while there is some and while there is none. */
const BUSY = 20;
const IDLE = 250;
/** For so many milliseconds after the last call there may be more, or its answer. */
const RECENT = 1_000;
/** Milliseconds between two looks at a database that cannot be reached. */
const UNREACHABLE = 250;

/** The most batches of one replica, and packed bytes of all together, that are received at once; a larger batch comes alone. */
const BATCHES = 50;
const BYTES = 4 * 1024 * 1024;
/** Milliseconds between two removals of decided batches. */
const REMOVAL = 1_000;

/**
 * A batch is added once, and only by a replica that is not fenced: whoever fences it waits for the lock on its row, and finds
 * all that it has sent.
 */
const SEND = `
  with alive as (
    select from whenthen.replicas where id = $1 and not fenced for share
  ), added as (
    insert into whenthen.inbox (replica, seq, calls) select $1, $2::bigint, $3::bytea from alive
    on conflict (replica, seq) do nothing returning 1
  )
  select (select count(*) from alive)::int as alive, (select count(*) from added)::int as added`;

/** What an exchange needs of the database that its replica works on. */
export interface ExchangeParts {
  sql: Sql;
  wakes: Wakes;
  log: DatabaseLog;
  members: Registration;
  /** Set when this replica is lost. */
  lost: () => FolderLostError | undefined;
}

/** Calls go through a table to the one that decides, frames come from the log. */
export class DatabaseExchange implements Exchange {
  readonly me: string;
  /** When the last call was sent or received. */
  #lastCall = -Infinity;
  /** Up to where batches are to be removed. */
  #decided = new Map<string, number>();
  #removing: Promise<void> | undefined;
  readonly #closing = new AbortController();

  constructor(private readonly parts: ExchangeParts) {
    this.me = parts.members.me;
  }

  async send(seq: number, calls: string): Promise<void> {
    const { sql, members } = this.parts;
    this.#assertHeld();
    this.#lastCall = performance.now();
    const [{ alive }] = await sql.askBoth(
      SEND,
      [this.me, String(seq), pack(Buffer.from(calls))],
      announcement("calls"),
    );
    if (alive !== 1) members.lose();
    this.#lastCall = performance.now();
  }

  async receive(cursors: ReadonlyMap<string, number>, signal: AbortSignal): Promise<Batch[]> {
    const next = this.#news("calls", () => this.#batches(cursors), signal);
    const { value = [] } = await next.next();
    if (value.length > 0) this.#lastCall = performance.now();
    return value;
  }

  async rest(replica: string, cursor: number): Promise<Batch[]> {
    const rows = await this.parts.sql.unsafe<BatchRow[]>(
      "select replica, seq::text as number, calls from whenthen.inbox where replica = $1 and seq > $2::bigint order by seq",
      [replica, String(cursor)],
    );
    return rows.map(asBatch);
  }

  forget(cursors: ReadonlyMap<string, number>): Promise<void> {
    for (const [replica, seq] of cursors) this.#decided.set(replica, Math.max(seq, this.#decided.get(replica) ?? 0));
    return this.#removing ??= this.#remove();
  }

  async *tail(seq: number, signal: AbortSignal): AsyncGenerator<LoggedFrame[]> {
    const cursor = this.parts.log.cursorAt(seq);
    yield* this.#news("frames", () => this.parts.log.next(cursor), signal);
  }

  applied(seq: number): void {
    this.parts.members.applied = seq;
  }

  /** Batches beyond the cursors, of replicas that are registered or have a cursor: the first ones of each, in turn. */
  async #batches(cursors: ReadonlyMap<string, number>): Promise<Batch[]> {
    // What was sent by this program itself is in no form that needs quoting: ids and numbers.
    const known = JSON.stringify([...cursors].map(([id, seq]) => ({ id, seq })));
    const rows = await this.parts.sql.unsafe<BatchRow[]>(`
      select replica, seq::text as number, calls from (
        select i.*, i.seq - r.seq as turn,
          sum(octet_length(i.calls)) over (order by i.seq - r.seq, i.replica) - octet_length(i.calls) as before
        from (
          select id, coalesce(c.seq, 0) as seq
          from whenthen.replicas full join json_to_recordset('${known}') as c(id text, seq bigint) using (id)
        ) r cross join lateral (
          select * from whenthen.inbox where replica = r.id and seq > r.seq order by seq limit ${BATCHES}
        ) i
      ) sized where before < ${BYTES} order by turn, replica`);
    return rows.map(asBatch);
  }

  /** Removes what is to be removed, at once. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#removing;
  }

  async #remove(): Promise<void> {
    await pause(REMOVAL, this.#closing.signal);
    const decided = [...this.#decided].map(([id, seq]) => ({ id, seq }));
    this.#decided.clear();
    this.#removing = undefined;
    await this.parts.sql.unsafe(
      "delete from whenthen.inbox using json_to_recordset($1::text::json) as c(id text, seq bigint) " +
        "where inbox.replica = c.id and inbox.seq <= c.seq",
      [JSON.stringify(decided)],
    );
  }

  /** What `look` finds, whenever it finds something. Outlasts a database that cannot be reached. Ends with the signal. */
  async *#news<T>(news: "frames" | "calls", look: () => Promise<T[]>, signal: AbortSignal): AsyncGenerator<T[]> {
    const { wakes } = this.parts;
    while (!signal.aborted) {
      this.#assertHeld();
      const count = wakes.count(news);
      const found = await unlessUnreachable(look());
      if (found !== undefined && found.length > 0) {
        yield found;
        continue;
      }
      const pause = performance.now() - this.#lastCall < RECENT ? BUSY : IDLE;
      // Notifications do not help with a database that cannot be reached.
      await wakes.wait(news, found ? count : Infinity, found ? pause : UNREACHABLE, signal);
    }
  }

  #assertHeld(): void {
    const lost = this.parts.lost();
    if (lost !== undefined) throw lost;
  }
}

type BatchRow = Record<"replica" | "number", string> & { calls: Buffer };

function asBatch({ replica, number, calls }: BatchRow): Batch {
  return { replica, seq: Number(number), calls: unpack(calls).toString() };
}

/** @returns undefined if the database cannot be reached, or gives no answers for a while */
async function unlessUnreachable<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    // The connections were closed; the statement, or what it finds, is wrong (classes 22 and 42 of SQLSTATE).
    if (error instanceof MissingFramesError || /^(?:CONNECTION_ENDED|22...|42...)$/.test(codeOf(error) ?? "")) {
      throw error;
    }
  }
}
