import type { Cancel, Clock } from "../host/clock.ts";

/** A save is often several file events; the first of them waits this long for the others. */
const SETTLE = 10;

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
    this.#forgetClock = clock.onSetBack(() => this.#plan());
  }

  /** Something changed. */
  request(): void {
    if (!this.#wanted) this.#due = Math.max(this.#lastStart + this.gap, this.clock.now() + SETTLE);
    this.#wanted = true;
    this.#plan();
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
    this.#timer = this.clock.at(this.#due, () => this.#start());
  }

  #start(): void {
    this.#timer = undefined;
    this.#wanted = false;
    this.#lastStart = this.clock.now();
    this.#running = this.load().finally(() => {
      this.#running = undefined;
      this.#plan();
    });
  }
}
