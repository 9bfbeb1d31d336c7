import { totalmem } from "node:os";
import process from "node:process";

/** Bytes of memory that the machine or the container has. */
export function memoryBytes(): number {
  return Math.min(process.constrainedMemory?.() || Infinity, totalmem());
}
