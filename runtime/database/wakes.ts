import { openConnections, type Sql } from "./connection.ts";

/** What a notification says: there are new frames, or new calls. */
type News = "frames" | "calls";

const CHANNEL = "whenthen";

/** The end of a statement that tells the others. Behind a pooler in transaction mode nobody gets it, and polling finds the news. */
export function notify(news: News): string {
  return `pg_notify('${CHANNEL}', '${news}')`;
}

/**
 * The connection that notifications arrive on, also for what must not wait behind uploads: signs of life, and looks at those of others.
 * A notification is a hint: it may be lost, and nothing is wrong then.
 */
export class Wakes {
  readonly #waiting = new Set<() => void>();
  readonly #counts: Record<News, number> = { frames: 0, calls: 0 };
  #isListening = false;

  private constructor(readonly sql: Sql) {}

  static async open(url: string): Promise<Wakes> {
    const onnotify = (_channel: string, news: string) => wakes.#wake(news as News);
    const onclose = () => wakes.#isListening = false;
    // The types of the library do not name `onnotify`.
    const options = { max: 1, max_lifetime: null, onclose, onnotify };
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
  }

  /** How often there was news. */
  count(news: News): number {
    return this.#counts[news];
  }

  /** Waits until there is more news than `count`, at most `ms`, or until the signal is aborted. */
  async wait(news: News, count: number, ms: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.#counts[news] > count) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, ms);
    const look = () => {
      if (this.#counts[news] > count) resolve();
    };
    this.#waiting.add(look);
    const abort = () => resolve();
    signal.addEventListener("abort", abort, { once: true });
    await promise;
    signal.removeEventListener("abort", abort);
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
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, signal.aborted ? 0 : ms);
    signal.addEventListener("abort", end);
  });
}
