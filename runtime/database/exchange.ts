import { Buffer } from "node:buffer";
import type { FolderLostError } from "../host/lock.ts";
import { codeOf } from "../model/errors.ts";
import { type Batch, type Exchange, type LoggedFrame, MissingFramesError } from "../store/elsewhere.ts";
import type { Sql } from "./pool.ts";
import type { DatabaseLog, LogCursor } from "./database_log.ts";
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

/** Tells the one that decides. */
const ANNOUNCEMENT = announcement("calls", {
  from: "whenthen.inbox where replica = $1 and seq = $2::bigint",
  words: ["replica", "seq"],
  bytes: "calls",
});

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
  readonly #calls = { isToLook: true };
  /** How far this replica has read the log. */
  #cursor: LogCursor | undefined;

  constructor(private readonly parts: ExchangeParts) {
    this.me = parts.members.me;
  }

  async send(seq: number, calls: string): Promise<void> {
    const { sql, members } = this.parts;
    this.#assertHeld();
    this.#lastCall = performance.now();
    const [{ alive }] = await sql.askBoth(SEND, [this.me, String(seq), pack(Buffer.from(calls))], ANNOUNCEMENT);
    if (alive !== 1) members.lose();
    this.#lastCall = performance.now();
  }

  async receive(cursors: ReadonlyMap<string, number>, signal: AbortSignal): Promise<Batch[]> {
    const batches = await this.#next("calls", this.#calls, {
      hear: (told) => hearBatches(cursors, told),
      look: () => this.#batches(cursors),
    }, signal);
    if (batches.length > 0) this.#lastCall = performance.now();
    return batches;
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
    const cursor = this.#cursorAt(seq);
    const [state, { log }] = [{ isToLook: true }, this.parts];
    const source = { hear: (told: string[][]) => log.hear(cursor, told), look: () => log.next(cursor) };
    while (!signal.aborted) {
      const frames = await this.#next("frames", state, source, signal);
      if (frames.length > 0) yield frames;
    }
  }

  framesAfter(seq: number): Promise<LoggedFrame[]> {
    return this.parts.log.next(this.#cursorAt(seq));
  }

  /** After a frame that was applied. */
  #cursorAt(seq: number): LogCursor {
    if (this.#cursor?.seq !== seq) this.#cursor = this.parts.log.cursorAt(seq);
    return this.#cursor;
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

  /**
   * What comes next: what notifications have brought, or what a look finds, which is taken after a notification that did not bring
   * what comes next, and from time to time. Outlasts a database that cannot be reached. Empty if the signal is aborted.
   */
  async #next<T>(news: "frames" | "calls", state: Outlook, source: Source<T>, signal: AbortSignal): Promise<T[]> {
    const { wakes } = this.parts;
    while (!signal.aborted) {
      this.#assertHeld();
      const count = wakes.count(news);
      const { found, isAll } = source.hear(wakes.take(news));
      if (!isAll) state.isToLook = true;
      if (found.length > 0) return found;
      const seen = state.isToLook ? await unlessUnreachable(source.look()) : [];
      if (seen !== undefined && seen.length > 0) return seen;
      const pause = performance.now() - this.#lastCall < RECENT ? BUSY : IDLE;
      // Notifications do not help with a database that cannot be reached.
      const isTold = await wakes.wait(news, seen ? count : Infinity, seen ? pause : UNREACHABLE, signal);
      state.isToLook = !isTold;
    }
    return [];
  }

  #assertHeld(): void {
    const lost = this.parts.lost();
    if (lost !== undefined) throw lost;
  }
}

/** Whether there may be more than what notifications have brought. */
interface Outlook {
  isToLook: boolean;
}

/** Where the next frames or batches come from. */
interface Source<T> {
  /** Those that notifications have brought, and whether there are no others to look for. */
  hear(told: string[][]): { found: T[]; isAll: boolean };
  look(): Promise<T[]>;
}

type BatchRow = Record<"replica" | "number", string> & { calls: Buffer };

function asBatch({ replica, number, calls }: BatchRow): Batch {
  return { replica, seq: Number(number), calls: unpack(calls).toString() };
}

/**
 * The batches beyond the cursors that notifications have brought. Only a look finds the first one of a replica: it may have been
 * retired since it sent that, and nobody knows it any more.
 * @param told their words, see {@link ANNOUNCEMENT}
 * @returns whether there are no others to look for, too
 */
function hearBatches(cursors: ReadonlyMap<string, number>, told: string[][]): { found: Batch[]; isAll: boolean } {
  const found: Batch[] = [];
  const last = new Map<string, number>();
  for (const [replica, number, bytes] of told) {
    const cursor = last.get(replica) ?? cursors.get(replica);
    const seq = Number(number);
    if (cursor !== undefined && seq <= cursor) continue;
    if (cursor === undefined || seq !== cursor + 1 || bytes === undefined) return { found, isAll: false };
    last.set(replica, seq);
    found.push(asBatch({ replica, number, calls: Buffer.from(bytes, "base64") }));
  }
  return { found, isAll: true };
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
