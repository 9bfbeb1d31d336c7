import { setTimeout as sleep } from "node:timers/promises";
import { openConnections } from "./connection.ts";
import type { Sql } from "./pool.ts";

/** What a notification is about: new frames, new calls, or the free lease. */
type News = "frames" | "calls" | "lease";

/** The most packed bytes in a notification. PostgreSQL allows 8,000 bytes of text, and base64 with its line ends takes 1.36 times as many. */
const MOST_BYTES = 5_700;

/**
 * The statement that notifies the other replicas. Its transaction does not wait for the disk, because the server commits transactions with
 * notifications one after the other. Behind a pooler in transaction mode nobody receives it.
 * @param row the row whose content is sent: `from` is its table and condition, and if there is no such row, nobody is notified; `words` are
 * SQL expressions for texts without spaces; `bytes` is a column, sent last if it is short enough
 */
export function announcement(news: News, row?: { from: string; words: string[]; bytes: string }): string {
  const text = row === undefined ? `'${news}'` : [
    `concat_ws(' ', '${news}', ${row.words.join(", ")}`,
    `case when octet_length(${row.bytes}) <= ${MOST_BYTES} then encode(${row.bytes}, 'base64') end)`,
  ].join(", ");
  const from = row === undefined ? "" : `, ${row.from}`;
  return "select set_config('synchronous_commit', 'off', true), " +
    `pg_notify(channel, ${text}) from whenthen.version${from}`;
}

/** The most notifications that are kept for {@link Wakes.take}. */
const MOST_KEPT = 64;

/**
 * The connection that notifications arrive on, also for what must not wait behind uploads: signs of life, and looks at those of others.
 * A notification may be lost, and nothing is wrong then: queries of the tables find the same, later.
 */
export class Wakes {
  readonly #waiting = new Set<() => void>();
  readonly #counts: Record<News, number> = { frames: 0, calls: 0, lease: 0 };
  readonly #contents: Record<News, string[][]> = { frames: [], calls: [], lease: [] };
  #isListening = false;

  private constructor(readonly sql: Sql) {}

  static async open(url: string): Promise<Wakes> {
    const onnotify = (_channel: string, text: string) => {
      const [news, ...words] = text.split(" ");
      wakes.#wake(news as News, words);
    };
    const onclose = () => wakes.#isListening = false;
    const options = { max: 1, onclose, onnotify };
    const wakes: Wakes = new Wakes(await openConnections(url, options));
    return wakes;
  }

  /** Asks for notifications, if this connection does not get them yet: it may be another one than at the last call. */
  async listen(): Promise<void> {
    if (this.#isListening) return;
    this.#isListening = true;
    try {
      const [{ channel }] = await this.sql.unsafe("select channel from whenthen.version");
      await this.sql.unsafe(`listen ${channel}`);
    } catch (error) {
      this.#isListening = false;
      throw error;
    }
    // What came before it was not told.
    for (const news of ["frames", "calls", "lease"] as const) this.#wake(news, []);
  }

  /** How often there was news. */
  count(news: News): number {
    return this.#counts[news];
  }

  /**
   * The contents of the notifications since the last call, in order. Each is the words of its row, with the bytes in base64 at the end if
   * they were sent; empty if it had no row. If there were too many: the first ones, then an empty one.
   */
  take(news: News): string[][] {
    return this.#contents[news].splice(0);
  }

  /**
   * Waits until there is more news than `count`, at most `ms`, or until the signal is aborted.
   * @returns whether there is
   */
  async wait(news: News, count: number, ms: number, signal?: AbortSignal): Promise<boolean> {
    if (signal?.aborted || this.#counts[news] > count) return this.#counts[news] > count;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, ms);
    const look = () => {
      if (this.#counts[news] > count) resolve();
    };
    this.#waiting.add(look);
    const abort = () => resolve();
    signal?.addEventListener("abort", abort, { once: true });
    await promise;
    signal?.removeEventListener("abort", abort);
    this.#waiting.delete(look);
    clearTimeout(timer);
    return this.#counts[news] > count;
  }

  #wake(news: News, words: string[]): void {
    this.#counts[news]++;
    const contents = this.#contents[news];
    // The empty one makes the reader query the table.
    if (contents.length <= MOST_KEPT) contents.push(contents.length < MOST_KEPT ? words : []);
    for (const look of [...this.#waiting]) look();
  }
}

/** Waits so many milliseconds, or until the signal is aborted. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => {});
}
