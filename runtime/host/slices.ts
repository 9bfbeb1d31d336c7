import { setImmediate, setTimeout } from "node:timers";

/** Milliseconds of work in one turn of the event loop. */
const SLICE = 5;

let pauses = 0;

/** Whether work that is split into slices is under way: between two of them it only waits for its next turn. */
export function isSlicing(): boolean {
  return pauses > 0;
}

/** Splits long work, such as a loop over 100,000 items, into slices, so that other work can run in between. */
export class Slices {
  #until = performance.now() + SLICE;

  /** Whether it is time for {@link next}. */
  get isOver(): boolean {
    return performance.now() > this.#until;
  }

  /**
   * Resolves when this work may continue. Uses a timer: on Deno (2.9), consecutive immediates delay requests by 300 ms and more.
   */
  async next(): Promise<void> {
    pauses++;
    await new Promise((resolve) => setTimeout(resolve, 0));
    pauses--;
    this.#until = performance.now() + SLICE;
  }
}

/** Resolves after other pending work has run. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Maps values with `make`, in slices. */
export async function inSlices<From, To>(values: From[], make: (value: From, index: number) => To): Promise<To[]> {
  const made: To[] = [];
  const slices = new Slices();
  for (const [index, value] of values.entries()) {
    made.push(make(value, index));
    if (slices.isOver) await slices.next();
  }
  return made;
}
