import type { Clock } from "../../host/clock.ts";

/** How often something may be tried within a time. */
export interface AttemptLimit {
  most: number;
  /** Milliseconds. */
  within: number;
}

/** Names counted at once; who tries ever new ones pushes out the oldest, not the memory. */
const MOST_NAMES = 10_000;

/** Counts attempts by name, in memory: after a restart everybody begins anew. */
export class Attempts {
  readonly #times = new Map<string, number[]>();

  constructor(private readonly clock: Clock, private readonly limit: AttemptLimit) {}

  /** Counts one. */
  add(name: string): void {
    const times = [...this.#recent(name), this.clock.now()];
    this.#times.delete(name);
    this.#times.set(name, times);
    const [oldest] = this.#times.keys();
    if (this.#times.size > MOST_NAMES) this.#times.delete(oldest);
  }

  /** Forgets what was counted: it was all the right person. */
  clear(name: string): void {
    this.#times.delete(name);
  }

  /** Takes the last one back: it was none of those that are counted. */
  takeBack(name: string): void {
    this.#times.set(name, this.#recent(name).slice(0, -1));
  }

  /** Milliseconds until another attempt is allowed; 0 where it is now. */
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
