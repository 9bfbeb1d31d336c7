import { readdirSync, readFileSync } from "node:fs";
import type { Program } from "../program.ts";

/** Memory used by the program's own process, without its children. */
export function residentMegabytes({ child }: Program): number {
  const status = readFileSync(`/proc/${child.pid}/status`, "utf8");
  return Math.round(Number(/^VmRSS:\s+(\d+) kB/m.exec(status)![1]) / 1024);
}

/** File descriptors that the program has open. */
export function openFiles({ child }: Program): number {
  return readdirSync(`/proc/${child.pid}/fd`).length;
}
