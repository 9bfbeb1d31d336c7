import { totalmem } from "node:os";
import process from "node:process";

/** Bytes of memory of the machine or the container. */
export function memoryBytes(): number {
  return Math.min(process.constrainedMemory?.() || Infinity, totalmem());
}

/** Bun, if this is the binary. */
const bun = (globalThis as { Bun?: { gc(force: boolean): void } }).Bun;

/** Resident bytes above which the program requests garbage collections, as the engine would collect too rarely. */
const MUCH = 350_000_000;

/** Collects garbage, if the engine offers that: the one in the binary may otherwise wait for hours. */
export function collectGarbage(): void {
  bun?.gc(true);
}

/** Items of about 1 kB, or what takes as much, after which large work requests a collection. */
export const RELIEF = 10_000;

/** Share by which the heap grows until a whole collection. */
const GROWTH = 1.5;
/** Bytes of the heap after the last whole collection. */
let kept = 0;

/**
 * Collects garbage if much memory is in use: the young objects, or all once the heap has grown. What outlives one young
 * collection stays until a whole one, before which the engine lets the heap double.
 */
export function relieveMemory(): void {
  const { rss, heapUsed } = process.memoryUsage();
  if (bun === undefined || rss < MUCH) return;
  if (heapUsed < GROWTH * kept) return bun.gc(false);
  collectGarbage();
  kept = process.memoryUsage().heapUsed;
}
