import { sharedMemory } from "../host/code_worker.ts";
import { memoryBytes } from "../host/large_work.ts";
import { writeEvent } from "../formats/lazy_json.ts";
import type { Job, LogLevel, SentScope, WorkOrder } from "./thread_messages.ts";
import { Pool, type WorkerGroup } from "./pool.ts";
import type { RuleWorker } from "./watched_worker.ts";
import { type CodeScope, type DefinedTest, type Description, InterruptedError, type Isolates } from "./workers.ts";

/** What workers may use, and how long they may take. */
export interface IsolateOptions {
  /** All secrets that rule code may ask for, by name; read when a worker starts. */
  secrets: () => Record<string, string>;
  /** Called with a secret's name before its value can leave the worker, so that it is masked. */
  onSecret: (name: string) => void;
  /** What workers see as `env` and `process.env`: without secrets. */
  env: () => Record<string, string>;
  /** Takes the `console.*` lines of rule code. */
  onLog: (line: CodeLog) => void;
  /** Resident workers for rules, the same number again for called functions, and for modules that listen. @default 32 */
  maxWorkers?: number;
  /**
   * Bytes of resident memory of all workers, and of the program if they are its threads, above which workers are ended.
   * @default 1.5 GB, at most 3/4 of the memory
   */
  memoryLimit?: number;
  /** Bytes of the store in memory: the limit is raised by the memory of the store and its checkpoints. @default 0 */
  storeBytes?: () => number;
  /** Resolves when the destination of a `fetch` of rule code has room. @default at once */
  admit?: (url: string, signal: AbortSignal) => Promise<void>;
  /** The code must reach nothing outside: no requests, sockets, commands, changes of files. The reason is in each error. */
  sealed?: string;
  /** The time that `Date` returns in rule code, if it differs from the machine's. */
  now?: () => number | undefined;
  /** Milliseconds without an answer after which a worker counts as blocked. @default 10_000 */
  blockedAfter?: number;
  /** Milliseconds after which a worker without work is discarded. @default 60_000 */
  idleAfter?: number;
}

/** A line that rule code wrote with `console.*`. */
export interface CodeLog {
  level: LogLevel;
  message: string;
  file: string;
  /** The run that wrote it, if known. */
  run?: string;
}

/** How many workers may run one suspected job each, and how many may read a declaration. */
const FEW = 4;

/** Opens the pool of workers. No worker starts until the first call. */
export function openIsolates(options: IsolateOptions): Isolates {
  const { secrets, env, onSecret, onLog, maxWorkers = 32, memoryLimit = defaultMemoryLimit() } = options;
  const { blockedAfter = 10_000, idleAfter = 60_000, now = () => undefined, storeBytes = () => 0 } = options;
  const { admit = () => Promise.resolve(), sealed } = options;
  const slots: Record<WorkerGroup, number> = {
    rules: maxWorkers,
    functions: maxWorkers,
    listeners: maxWorkers,
    alone: FEW,
    describe: FEW,
  };
  const pool = new Pool({
    slots,
    idleAfter,
    blockedAfter,
    heapLimit: memoryLimit / 2,
    secrets,
    env,
    sealed,
    now,
    admit,
    onSecret,
    onLog,
  });
  const stopWatching = watchMemory(pool, () => limitBeside(storeBytes(), memoryLimit));
  const groupOf = (scope: { alone: boolean }): WorkerGroup => scope.alone ? "alone" : "rules";
  return {
    async describe(module) {
      return await pool.do("describe", module, { work: { kind: "describe" } }) as unknown as Description;
    },
    async askCondition(module, scope, signal) {
      const order: WorkOrder = { work: { kind: "condition", scope: toSend(scope) }, signal };
      return await untilUndisturbed(pool, () => pool.do(groupOf(scope), module, order)) === true;
    },
    async runRule(module, scope, execute, signal, onQuiet) {
      const work: Job = { kind: "rule", scope: toSend(scope) };
      return await pool.do(groupOf(scope), module, { work, execute, signal, onQuiet });
    },
    async callFunction(module, name, args, signal, begin) {
      const order = (): WorkOrder => ({ work: { kind: "function", name, args }, signal, execute: begin?.() });
      return await untilUndisturbed(pool, () => pool.do("functions", module, order()));
    },
    async callDefinition(module, call, begin, signal) {
      const order = (): WorkOrder => ({ work: { kind: "source", call }, signal, execute: begin() });
      if (call.method === "listen") return await pool.do("listeners", module, order());
      return await untilUndisturbed(pool, () => pool.do("functions", module, order()));
    },
    async describeTests(module) {
      return await pool.do("rules", module, { work: { kind: "tests" } }) as unknown as DefinedTest[];
    },
    async runTest(module, test, execute, signal) {
      await pool.do("rules", module, { work: { kind: "test", ...test }, execute, signal });
    },
    handedSecrets: (version) => pool.handedSecrets(version),
    discard: (version) => pool.discard(version),
    count: () => pool.size,
    async close() {
      stopWatching();
      await pool.close();
    },
  };
}

function toSend({ event, ...scope }: CodeScope): SentScope {
  return { ...scope, event: writeEvent(event) };
}

/** Work without recorded steps is repeated if it was interrupted because of other work. */
async function untilUndisturbed<T>(pool: Pool, work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof InterruptedError) || pool.closed) throw error;
    }
  }
}

/** Milliseconds; a loop that fills memory takes some 100 MB in this time. */
const INTERVAL = 100;
/** Milliseconds until the memory of ended workers has returned to the system, so that the next measurement is valid. */
const SETTLE = 1_500;
/** Share of the memory of the machine or container. */
const SHARE = 0.75;

/**
 * Ends workers while they, with the program if they are its threads, use more than `limit` bytes; `limit` is read each time.
 * Hosts differ in what they limit by themselves (Bun nothing, Deno no buffers), so processes are measured from outside. Work
 * that was among the suspects is attempted again in a worker of its own. Of those that run alone, only the heaviest is ended
 * at a time, which is then to blame.
 * @returns a function that stops watching
 */
function watchMemory(pool: Pool, limit: () => number): () => void {
  let quietUntil = 0;
  const check = () => {
    if (pool.size === 0 || Date.now() < quietUntil) return;
    const [bytes, most] = [sharedMemory() + sum(pool.workers()), limit()];
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

/** 1.5 GB, but at most three quarters of the memory of the machine or container. */
function defaultMemoryLimit(): number {
  return Math.min(1.5e9, SHARE * memoryBytes());
}

/**
 * The limit of a program that has a store of this size in memory. A checkpoint takes up to three times as much in addition
 * (the previous file, a database, the new file), and no rule is to blame for that.
 * @param limit bytes that the program may use without a store
 */
export function limitBeside(storeBytes: number, limit: number): number {
  return Math.min(limit + 4 * storeBytes, Math.max(limit, SHARE * memoryBytes()));
}

function sum(workers: RuleWorker[]): number {
  return workers.reduce((bytes, worker) => bytes + worker.memory, 0);
}

/** A worker that does not answer may have grown to any size by now. */
function heaviest(workers: RuleWorker[]): RuleWorker {
  return workers.toSorted((a, b) => b.memory - a.memory || b.missed - a.missed || b.heap - a.heap)[0];
}

function inMegabytes(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`;
}
