import { totalmem } from "node:os";
import process from "node:process";

/** Bytes of memory that the machine or the container has. */
export function memoryBytes(): number {
  return Math.min(process.constrainedMemory?.() || Infinity, totalmem());
}

/** Frees what nothing holds any more, if the engine can be asked to: one in the binary may else wait for hours. */
export function collectGarbage(): void {
  (globalThis as { Bun?: { gc(force: boolean): void } }).Bun?.gc(true);
}
