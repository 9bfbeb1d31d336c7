import type { Cancel, Clock } from "../host/clock.ts";
import { Coalescer } from "../folder/watch_folder.ts";

/** Milliseconds until a load that must succeed is attempted again. */
const AGAIN = 10_000;

/** When the rules folder is loaded: after changes, and when a part of the program needs it. Two loads never overlap. */
export class Reloads {
  readonly #changes: Coalescer;
  #again: Cancel = () => {};
  #closed = false;

  /** @param load reports its own failure, too */
  constructor(private readonly load: () => Promise<void>, private readonly clock: Clock) {
    // After a failure, a later change of the folder is the next attempt.
    this.#changes = new Coalescer(() => load().catch(() => {}), clock);
  }

  /** Something changed. */
  request(): void {
    this.#changes.request();
  }

  /** @throws what the load throws */
  now(): Promise<void> {
    return this.#changes.alone(this.load);
  }

  /** Loads now; if that fails, again and again until a load succeeds. Resolves after the first attempt. */
  async untilLoaded(): Promise<void> {
    try {
      await this.now();
    } catch {
      if (!this.#closed) this.#again = this.clock.after(AGAIN, () => void this.untilLoaded());
    }
  }

  /** Starts no further load; resolves when none is running. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#again();
    await this.#changes.close();
  }
}
