import process from "node:process";
import { memoryBytes } from "../host/memory.ts";
import type { Pool } from "./pool.ts";
import type { RuleWorker } from "./rule_worker.ts";

/** Milliseconds; a loop that fills memory takes some 100 MB in this time. */
const INTERVAL = 100;
/** Milliseconds until the memory of ended workers has returned to the system, so that the next measurement is valid. */
const SETTLE = 1_500;
/** Share of the memory of the machine or container. */
const SHARE = 0.75;

/**
 * Ends workers while they and the process use more than `limit` bytes; `limit` is read each time. Hosts differ in what they
 * limit by themselves (Bun nothing, Deno no buffers), so the process is measured from outside. Work that was among the
 * suspects is attempted again in a worker of its own. Of those that run alone, only the heaviest is ended at a time, which
 * is then to blame.
 * @returns a function that stops watching
 */
export function watchMemory(pool: Pool, limit: () => number, used: () => number = residentBytes): () => void {
  let quietUntil = 0;
  const check = () => {
    if (pool.size === 0 || Date.now() < quietUntil) return;
    const [bytes, most] = [used() + sum(pool.workers()), limit()];
    if (bytes <= most) return;
    quietUntil = Date.now() + SETTLE;
    const alone = pool.workers("alone");
    const suspects = alone.length > 0 ? [heaviest(alone)] : pool.workers();
    const reason = `the program used ${inMegabytes(bytes)}, its limit is ${inMegabytes(most)}`;
    for (const worker of suspects) worker.end({ kind: "memory", used: reason });
  };
  const timer = setInterval(check, INTERVAL);
  return () => clearInterval(timer);
}

/** 1.5 GB, or three quarters of what the machine or container has. */
export function defaultMemoryLimit(): number {
  return Math.min(1.5e9, SHARE * memoryBytes());
}

/**
 * The limit of a program that has a store of this size in memory. A checkpoint takes up to three times as much in addition
 * (the previous file, a database, the new file), and no rule is to blame for that.
 * @param limit what the program may use without a store
 */
export function limitBeside(storeBytes: number, limit: number): number {
  return Math.min(limit + 4 * storeBytes, Math.max(limit, SHARE * memoryBytes()));
}

function sum(workers: RuleWorker[]): number {
  return workers.reduce((bytes, worker) => bytes + worker.memory, 0);
}

function residentBytes(): number {
  return process.memoryUsage().rss;
}

/** A worker that does not answer may have grown to any size by now. */
function heaviest(workers: RuleWorker[]): RuleWorker {
  return workers.toSorted((a, b) => b.memory - a.memory || b.missed - a.missed || b.heap - a.heap)[0];
}

function inMegabytes(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`;
}
