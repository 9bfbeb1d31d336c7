import type { Clock } from "../../host/clock.ts";

/** How many attempts are allowed within a time. */
export interface AttemptLimit {
  most: number;
  /** Milliseconds. */
  within: number;
}

/** The most names counted at once; trying ever new names evicts the oldest instead of filling the memory. */
const MOST_NAMES = 10_000;

/** Counts attempts by name, in memory: a restart resets the counts. */
export class Attempts {
  readonly #times = new Map<string, number[]>();

  constructor(private readonly clock: Clock, private readonly limit: AttemptLimit) {}

  /** Counts an attempt. */
  add(name: string): void {
    const times = [...this.#recent(name), this.clock.now()];
    this.#times.delete(name);
    this.#times.set(name, times);
    const [oldest] = this.#times.keys();
    if (this.#times.size > MOST_NAMES) this.#times.delete(oldest);
  }

  /** Forgets the attempts of a name after the right person has signed in. */
  clear(name: string): void {
    this.#times.delete(name);
  }

  /** Takes back the last attempt, because it succeeded. */
  takeBack(name: string): void {
    this.#times.set(name, this.#recent(name).slice(0, -1));
  }

  /** Milliseconds until another attempt is allowed; 0 if it is allowed now. */
  wait(name: string): number {
    const { most, within } = this.limit;
    const times = this.#recent(name);
    return times.length < most ? 0 : times[times.length - most] + within - this.clock.now();
  }

  #recent(name: string): number[] {
    const since = this.clock.now() - this.limit.within;
    return (this.#times.get(name) ?? []).filter((time) => time > since);
  }
}
