import type { Cancel, Clock } from "../../host/clock.ts";

/** A save is often several file events; the first of them waits this long for the others. */
const SETTLE = 5;

/**
 * Turns bursts of changes into few loads: the first change loads at once, those within `gap` after a load's start
 * become one trailing load, and two loads never run at the same time.
 */
export class Coalescer {
  #wanted = false;
  #due = 0;
  #lastStart = -Infinity;
  #timer: Cancel | undefined;
  readonly #forgetClock: Cancel;
  #running: Promise<void> | undefined;
  #closed = false;

  /**
   * @param load must not throw; it sees every change that was requested before it started
   * @param gap milliseconds between the starts of two loads
   */
  constructor(
    private readonly load: () => Promise<void>,
    private readonly clock: Clock,
    private readonly gap: number = 1_000,
  ) {
    this.#forgetClock = clock.onRollback(() => this.#plan());
  }

  /** Something changed. */
  request(): void {
    if (!this.#wanted) this.#due = Math.max(this.#lastStart + this.gap, this.clock.now() + SETTLE);
    this.#wanted = true;
    this.#plan();
  }

  /** Does something that no load must coincide with, such as the first one; changes that come meanwhile bring a load behind it. */
  async alone(work: () => Promise<void>): Promise<void> {
    while (this.#running) await this.#running;
    await this.#run(work);
  }

  /** No load starts after this; resolves once none is under way. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#forgetClock();
    this.#timer?.();
    await this.#running;
  }

  #plan(): void {
    if (this.#closed || this.#running || !this.#wanted) return;
    // A clock that was set back must not postpone the load until the old time comes round again.
    this.#due = Math.min(this.#due, this.clock.now() + this.gap);
    this.#timer?.();
    this.#timer = this.clock.at(this.#due, () => void this.#run(this.load));
  }

  #run(work: () => Promise<void>): Promise<void> {
    this.#timer?.();
    this.#wanted = false;
    this.#lastStart = this.clock.now();
    const done = work().finally(() => {
      this.#running = undefined;
      this.#plan();
    });
    // Who waits for its end does not have to hear how it ended.
    this.#running = done.catch(() => {});
    return done;
  }
}
