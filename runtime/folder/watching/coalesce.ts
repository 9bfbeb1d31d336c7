import type { Cancel, Clock } from "../../host/clock.ts";

/** Milliseconds that a load waits for further file events, because one save often causes several. */
const SETTLE = 5;

/**
 * Turns bursts of changes into few loads: the first change loads at once, changes within `gap` after a load's start become
 * one trailing load, and two loads never overlap.
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

  /**
   * Performs work that must not overlap with a load, such as the first load; changes in the meantime cause a load
   * afterwards.
   */
  async alone(work: () => Promise<void>): Promise<void> {
    while (this.#running) await this.#running;
    await this.#run(work);
  }

  /** Starts no further load; resolves when none is running. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#forgetClock();
    this.#timer?.();
    await this.#running;
  }

  #plan(): void {
    if (this.#closed || this.#running || !this.#wanted) return;
    // A clock rollback must not postpone the load until the old time is reached again.
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
    // A failure is reported to the caller of `work`, not to those who wait for its end.
    this.#running = done.catch(() => {});
    return done;
  }
}
