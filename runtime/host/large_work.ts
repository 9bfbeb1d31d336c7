import { getPriority, setPriority, totalmem } from "node:os";
import process from "node:process";
import { setImmediate, setTimeout } from "node:timers";
import { bun } from "./bun.ts";

/** Milliseconds of work in one turn of the event loop. */
const SLICE = 5;

let pauses = 0;

/** Whether work is under way that pauses between two slices and needs no event to continue. */
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

/** Bytes of memory of the machine or the container. */
export function memoryBytes(): number {
  return Math.min(process.constrainedMemory?.() || Infinity, totalmem());
}

/** Resident bytes above which the program requests garbage collections, as the engine would collect too rarely. */
const MUCH = 350_000_000;

/** Collects garbage if the host offers that. In the binary, the engine may otherwise wait for hours. */
export function collectGarbage(): void {
  bun?.gc(true);
}

/**
 * From now on, code that runs often is compiled to machine code as usual. The binary starts reluctant to do so (see
 * `bin/build/compile.ts`): most code of a start runs once.
 */
export function endReluctance(): void {
  bun?.unsafe.setJITPolicy(1);
}

/** The niceness of a thread that gives way: on a busy processor it gets a third of the time of one with niceness 0. */
const NICE = 5;

/** Lowers the priority of this thread, so that it delays the other threads of the program less on a busy machine. Linux only. */
export function giveWay(): void {
  // On other systems a priority is that of the whole process.
  if (process.platform !== "linux") return;
  try {
    // The program may have been started with a lower priority.
    setPriority(Math.max(getPriority(), NICE));
  } catch {
    // A sandbox may forbid it: nothing depends on it.
  }
}

/** Items of about 1 kB after which large work requests a collection. */
export const RELIEF = 10_000;

/** Factor by which the heap grows between two full collections. */
const GROWTH = 1.5;
/** Bytes of the heap after the last full collection. */
let heapAfter = 0;

/**
 * Collects garbage if much memory is in use: the young objects, or all after the heap has grown. An object that outlives a young
 * collection stays until a full one, and the engine lets the heap double before that.
 */
export function relieveMemory(): void {
  const { rss, heapUsed } = process.memoryUsage();
  if (bun === undefined || rss < MUCH) return;
  if (heapUsed < GROWTH * heapAfter) return bun.gc(false);
  collectGarbage();
  heapAfter = process.memoryUsage().heapUsed;
}
