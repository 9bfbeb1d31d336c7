/** The longest pause until a worker is started again that ended for an unknown reason. The first pause is a second. */
export const LONGEST_PAUSE = 60_000;
/** Milliseconds without such an end after which the pauses begin with a second again. */
const CALM = 300_000;

/** How long to wait until a worker is started again: twice as long with each one that ends soon after another. */
export class CrashPauses {
  #count = 0;
  #last = -Infinity;

  /** @returns milliseconds to wait after one that has ended now */
  next(now: number): number {
    this.#count = now - this.#last > CALM ? 0 : this.#count + 1;
    this.#last = now;
    return Math.min(1_000 * 2 ** this.#count, LONGEST_PAUSE);
  }
}
