import { setTimeout as sleep } from "node:timers/promises";
import { openConnections } from "./connection.ts";
import type { Sql } from "./pool.ts";

/** What a notification says: there are new frames, or new calls, or the lease is free. */
type News = "frames" | "calls" | "lease";

const CHANNEL = "whenthen";

/**
 * The statement that tells the others. It has a transaction of its own, as those that notify commit one after the other in the whole
 * server, and does not wait for the disk, as it is a hint. Behind a pooler in transaction mode nobody receives it.
 */
export function announcement(news: News): string {
  return `select set_config('synchronous_commit', 'off', true), pg_notify('${CHANNEL}', '${news}')`;
}

/**
 * The connection that notifications arrive on, also for what must not wait behind uploads: signs of life, and looks at those of others.
 * A notification is a hint: it may be lost, and nothing is wrong then.
 */
export class Wakes {
  readonly #waiting = new Set<() => void>();
  readonly #counts: Record<News, number> = { frames: 0, calls: 0, lease: 0 };
  #isListening = false;

  private constructor(readonly sql: Sql) {}

  static async open(url: string): Promise<Wakes> {
    const onnotify = (_channel: string, news: string) => wakes.#wake(news as News);
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
      await this.sql.unsafe(`listen ${CHANNEL}`);
    } catch (error) {
      this.#isListening = false;
      throw error;
    }
    // What came before it was not told.
    this.#wake("frames");
    this.#wake("calls");
    this.#wake("lease");
  }

  /** How often there was news. */
  count(news: News): number {
    return this.#counts[news];
  }

  /** Waits until there is more news than `count`, at most `ms`, or until the signal is aborted. */
  async wait(news: News, count: number, ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted || this.#counts[news] > count) return;
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
  }

  #wake(news: News): void {
    // Whatever another program of this database has written to the channel.
    if (!(news in this.#counts)) return;
    this.#counts[news]++;
    for (const look of [...this.#waiting]) look();
  }
}

/** Waits so many milliseconds, or until the signal is aborted. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => {});
}
