import { totalmem } from "node:os";
import process from "node:process";

/** Bytes of memory that the machine or the container has. */
export function memoryBytes(): number {
  return Math.min(process.constrainedMemory?.() || Infinity, totalmem());
}

/** Of the engine in the binary. */
const bun = (globalThis as { Bun?: { gc(force: boolean): void } }).Bun;

/** Resident bytes from which on the engine is asked to collect garbage more often than it would by itself. */
const MUCH = 350_000_000;

/** Frees what nothing holds any more, if the engine can be asked to: one in the binary may else wait for hours. */
export function collectGarbage(): void {
  bun?.gc(true);
}

/** Where much memory is in use, has the engine look beside all other work for what nothing holds any more. */
export function relieveMemory(): void {
  if (bun && process.memoryUsage.rss() > MUCH) bun.gc(false);
}
