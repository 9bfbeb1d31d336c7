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

/** Requests a concurrent garbage collection if much memory is in use. */
export function relieveMemory(): void {
  if (bun && process.memoryUsage.rss() > MUCH) bun.gc(false);
}
