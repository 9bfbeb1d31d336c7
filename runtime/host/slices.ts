import { setImmediate, setTimeout } from "node:timers";

/** Milliseconds of work in one turn of the event loop. */
const SLICE = 5;

/** Work that is long, such as going over 100,000 items, in slices between which everybody else has a turn. */
export class Slices {
  #until = performance.now() + SLICE;

  /** Whether it is time for {@link next}. */
  get isOver(): boolean {
    return performance.now() > this.#until;
  }

  /**
   * Resolves when it is this work's turn again. A timer: on Deno (2.9) immediates that follow each other keep requests waiting
   * for 300 ms and more.
   */
  async next(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 0));
    this.#until = performance.now() + SLICE;
  }
}

/** Resolves once everybody else had a turn. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** What `make` gives for each value, in slices. */
export async function inSlices<From, To>(values: From[], make: (value: From, index: number) => To): Promise<To[]> {
  const made: To[] = [];
  const slices = new Slices();
  for (const [index, value] of values.entries()) {
    made.push(make(value, index));
    if (slices.isOver) await slices.next();
  }
  return made;
}
