import process from "node:process";
import { memoryBytes } from "../host/memory.ts";
import type { Pool } from "./pool.ts";
import type { RuleWorker } from "./rule_worker.ts";

/** Milliseconds; a loop that fills memory takes some 100 MB in this time. */
const INTERVAL = 100;
/** Milliseconds until the memory of ended workers is back with the system and can be judged anew. */
const SETTLE = 1_500;

/**
 * Ends workers while they and the process use more than `limit` bytes. Hosts differ in what they limit by themselves (Bun
 * nothing, Deno no buffers), so the process is measured from outside. Work that was among the suspects is attempted
 * again alone, and of those that run alone only the heaviest is ended at a time: that one is to blame.
 * @returns a function that stops watching
 */
export function watchMemory(pool: Pool, limit: number, used: () => number = residentBytes): () => void {
  let quietUntil = 0;
  const check = () => {
    const bytes = pool.size > 0 && Date.now() >= quietUntil ? used() + sum(pool.workers()) : 0;
    if (bytes <= limit) return;
    quietUntil = Date.now() + SETTLE;
    const alone = pool.workers("alone");
    const suspects = alone.length > 0 ? [heaviest(alone)] : pool.workers();
    const reason = `the program used ${inMegabytes(bytes)}, its limit is ${inMegabytes(limit)}`;
    for (const worker of suspects) worker.end({ kind: "memory", used: reason });
  };
  const timer = setInterval(check, INTERVAL);
  return () => clearInterval(timer);
}

/** 1.5 GB, or three quarters of what the machine or container has. */
export function defaultMemoryLimit(): number {
  return Math.min(1.5e9, 0.75 * memoryBytes());
}

function sum(workers: RuleWorker[]): number {
  return workers.reduce((bytes, worker) => bytes + worker.memory, 0);
}

function residentBytes(): number {
  return process.memoryUsage().rss;
}

/** One that does not answer can have any size by now. */
function heaviest(workers: RuleWorker[]): RuleWorker {
  return workers.toSorted((a, b) => b.memory - a.memory || b.missed - a.missed || b.heap - a.heap)[0];
}

function inMegabytes(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`;
}
