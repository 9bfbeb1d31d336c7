/** Milliseconds of one slot. */
export const TICK = 10;
/** Slots of one turn: 41 s. Timers further away pass their slot several times. */
const SLOTS = 4096;

/**
 * A hashed timer wheel (Varghese and Lauck 1987, scheme 6): setting and dropping a timer costs the same with ten and with 100,000
 * of them, and allocates nothing. Timers are small whole numbers that the owner chooses; each is set at most once at a time.
 */
export class Wheel {
  readonly #head = new Int32Array(SLOTS).fill(-1);
  #next = new Int32Array(1024);
  #previous = new Int32Array(1024);
  /** The slot of each timer; -1 if it is not set. */
  #slot = new Int32Array(1024).fill(-1);
  #due = new Float64Array(1024);
  #current = 0;

  /** @param origin the time of the first slot, in milliseconds of a monotonic clock, as all other times */
  constructor(private readonly origin: number) {}

  /** Sets a timer, or sets it anew. */
  set(timer: number, due: number): void {
    if (timer >= this.#slot.length) this.#grow(timer);
    this.drop(timer);
    // Never into the current slot: a timer that sets itself again would keep the turn from ending.
    const turn = Math.max(Math.ceil((due - this.origin) / TICK), this.#current + 1);
    const slot = turn % SLOTS;
    const head = this.#head[slot];
    this.#due[timer] = this.origin + turn * TICK;
    this.#slot[timer] = slot;
    this.#next[timer] = head;
    this.#previous[timer] = -1;
    if (head >= 0) this.#previous[head] = timer;
    this.#head[slot] = timer;
  }

  drop(timer: number): void {
    const slot = this.#slot[timer] ?? -1;
    if (slot < 0) return;
    const [previous, next] = [this.#previous[timer], this.#next[timer]];
    if (previous >= 0) this.#next[previous] = next;
    else this.#head[slot] = next;
    if (next >= 0) this.#previous[next] = previous;
    this.#slot[timer] = -1;
  }

  /**
   * Fires timers that are due, for at most `budget` milliseconds.
   * @param now reads the clock
   * @returns milliseconds that the wheel is behind
   */
  turn(now: () => number, fire: (timer: number) => void, budget = 5): number {
    const until = now() + budget;
    const target = Math.floor((now() - this.origin) / TICK);
    while (this.#current < target) {
      this.#current++;
      const end = this.origin + this.#current * TICK;
      for (let timer = this.#head[this.#current % SLOTS]; timer >= 0;) {
        const next = this.#next[timer];
        if (this.#due[timer] <= end) {
          this.drop(timer);
          fire(timer);
          // `fire` may have dropped or moved the next timer: then begin the slot again.
          timer = next >= 0 && this.#slot[next] === this.#current % SLOTS ? next : this.#firstDue(end);
        } else timer = next;
      }
      if (now() > until) break;
    }
    return (target - this.#current) * TICK;
  }

  /** When a timer may be due next; undefined if none is set. For a timer further away than a turn, the time is too early. */
  next(): number | undefined {
    for (let slot = this.#current + 1; slot <= this.#current + SLOTS; slot++) {
      if (this.#head[slot % SLOTS] >= 0) return this.origin + slot * TICK;
    }
    return undefined;
  }

  /** The first timer of the current slot that is due; -1 if there is none. */
  #firstDue(end: number): number {
    let timer = this.#head[this.#current % SLOTS];
    while (timer >= 0 && this.#due[timer] > end) timer = this.#next[timer];
    return timer;
  }

  #grow(timer: number): void {
    const size = 2 ** Math.ceil(Math.log2(timer + 1));
    const grown = <T extends Int32Array | Float64Array>(larger: T, old: T): T => (larger.set(old), larger);
    const slots = new Int32Array(size).fill(-1);
    this.#slot = grown(slots, this.#slot);
    this.#next = grown(new Int32Array(size), this.#next);
    this.#previous = grown(new Int32Array(size), this.#previous);
    this.#due = grown(new Float64Array(size), this.#due);
  }
}
