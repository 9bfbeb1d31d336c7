import { Buffer } from "node:buffer";
import type { FolderLostError } from "../host/lock.ts";
import type { Batch, Exchange, FollowerState, LoggedFrame } from "../store/elsewhere.ts";
import { isOutage, type Sql } from "./pool.ts";
import type { DatabaseLog, LogCursor } from "./database_log.ts";
import type { Registration } from "./members.ts";
import { pack, unpack } from "./packing.ts";
import { announcement, pause, type Wakes } from "./wakes.ts";

/** Milliseconds between two queries if no notification arrives: while an answer is expected, and otherwise. */
const BUSY = 20;
const IDLE = 250;
/** For so many milliseconds after the last call there may be more, or its answer. */
const RECENT = 1_000;
/** Milliseconds between two queries while the database cannot be reached. */
const UNREACHABLE = 250;

/** The most batches of one replica, and bytes of packed batches in all, in one query; a larger batch is read alone. */
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
    on conflict (replica, seq) do nothing
  )
  select count(*)::int as alive from alive`;

/**
 * The notification of a batch, in the transaction that adds the batch. That does not wait for the disk: a batch that a crash of the
 * server loses is sent again. Once the frame with its decision is on disk, so is the batch, as the server writes its log in order.
 */
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
  readonly #calls = { mustQuery: true };
  /** How far this replica has read the log. */
  #cursor: LogCursor | undefined;

  constructor(private readonly parts: ExchangeParts) {
    this.me = parts.members.me;
  }

  async send(seq: number, calls: string): Promise<void> {
    const { sql, members } = this.parts;
    this.#assertHeld();
    this.#lastCall = performance.now();
    const values = [this.me, String(seq), pack(Buffer.from(calls))];
    // The server refuses notifications if its queue for them is full, see docs/operating.md.
    const [{ alive }] = await sql.unsafe<Sent[]>(`${SEND}; ${ANNOUNCEMENT}`, values)
      .then(([sent]) => sent, () => sql.unsafe<Sent>(SEND, values));
    if (alive !== 1) members.lose();
    this.#lastCall = performance.now();
  }

  async receive(cursors: ReadonlyMap<string, number>, signal: AbortSignal): Promise<Batch[]> {
    const batches = await this.#next("calls", this.#calls, {
      fromNotifications: (contents) => batchesIn(contents, cursors),
      query: () => this.#batches(cursors),
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
    const [state, { log }] = [{ mustQuery: true }, this.parts];
    const source = {
      fromNotifications: (contents: string[][]) => log.nextIn(contents, cursor),
      query: () => log.next(cursor),
    };
    while (!signal.aborted) {
      const frames = await this.#next("frames", state, source, signal);
      if (frames.length > 0) yield frames;
    }
  }

  framesAfter(seq: number): Promise<LoggedFrame[]> {
    return this.parts.log.next(this.#cursorAt(seq));
  }

  /** The cursor after a frame that was applied. */
  #cursorAt(seq: number): LogCursor {
    if (this.#cursor?.seq !== seq) this.#cursor = this.parts.log.cursorAt(seq);
    return this.#cursor;
  }

  applied(seq: number): void {
    this.parts.members.applied = seq;
  }

  async followers(): Promise<FollowerState[]> {
    const members = await this.parts.members.list();
    const version = members.find(({ id }) => id === this.me)?.version;
    // Commands have no address, and end soon.
    return members.filter((one) =>
      one.id !== this.me && one.isAlive && one.address !== null && one.version === version
    );
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
   * Waits for the next frames or batches, from notifications or from a query. It queries the table if notifications leave a gap, and if
   * none arrives for a while. It goes on while the database cannot be reached. Empty if the signal is aborted.
   */
  async #next<T>(news: "frames" | "calls", state: QueryState, source: Source<T>, signal: AbortSignal): Promise<T[]> {
    const { wakes } = this.parts;
    while (!signal.aborted) {
      this.#assertHeld();
      const count = wakes.count(news);
      const { found, isAll } = source.fromNotifications(wakes.take(news));
      if (!isAll) state.mustQuery = true;
      if (found.length > 0) return found;
      const rows = state.mustQuery ? await unlessUnreachable(source.query()) : [];
      if (rows !== undefined && rows.length > 0) return rows;
      const pause = performance.now() - this.#lastCall < RECENT ? BUSY : IDLE;
      // Notifications do not help with a database that cannot be reached.
      const isNotified = await wakes.wait(news, rows ? count : Infinity, rows ? pause : UNREACHABLE, signal);
      state.mustQuery = !isNotified;
    }
    return [];
  }

  #assertHeld(): void {
    const lost = this.parts.lost();
    if (lost !== undefined) throw lost;
  }
}

/** Whether the next step is a query, because notifications may have left a gap. */
interface QueryState {
  mustQuery: boolean;
}

/** Where the next frames or batches come from. */
interface Source<T> {
  /** Those from notifications; `isAll` is false if there is a gap, and a query must find the rest. */
  fromNotifications(contents: string[][]): { found: T[]; isAll: boolean };
  query(): Promise<T[]>;
}

/** The result of {@link SEND}: whether the replica is not fenced. */
type Sent = { alive: number }[];

type BatchRow = Record<"replica" | "number", string> & { calls: Buffer };

function asBatch({ replica, number, calls }: BatchRow): Batch {
  return { replica, seq: Number(number), calls: unpack(calls).toString() };
}

/**
 * The batches after the cursors, from notifications. For the first batch of a replica it asks for a query: the notification may be a late
 * one, of a replica that was retired and forgotten since, and only the table shows that.
 * @param contents of the notifications, see {@link ANNOUNCEMENT}
 * @returns the batches up to the first gap; `isAll` is false if there is one
 */
function batchesIn(contents: string[][], cursors: ReadonlyMap<string, number>): { found: Batch[]; isAll: boolean } {
  const found: Batch[] = [];
  const last = new Map<string, number>();
  for (const [replica, number, bytes] of contents) {
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
    if (!isOutage(error)) throw error;
  }
}
