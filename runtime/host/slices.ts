import { setImmediate } from "node:timers";

/** Milliseconds of work in one turn of the event loop. */
const SLICE = 5;

/** Work that is long, such as going over 100,000 items, in slices between which everybody else has a turn. */
export class Slices {
  #until = performance.now() + SLICE;

  /** Whether it is time for {@link next}. */
  get isOver(): boolean {
    return performance.now() > this.#until;
  }

  /** Resolves when it is this work's turn again. */
  async next(): Promise<void> {
    await turn();
    this.#until = performance.now() + SLICE;
  }
}

/** Resolves once everybody else had a turn. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
